"""The researcher's page: both votes of settled steps, persuasion, what was late; nothing open."""

import re
from typing import Any

import pytest

from monastery.auditor.desk import door
from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.study import study, votes
from monastery.auditor.intervals import mean
from monastery.auditor.web.figure import differences, reach
from monastery.runtime.events import AuditScored, AuditUnmeasured, AuditVoted
from monastery.runtime.people import ROLES, Role
from monastery.runtime.records import Item
from tests.cli.questions import RUN
from tests.desk.test_web import Client, desk
from tests.desk.world import ADA, BOB, SECRETS, World

SEEN = "0" * 64


def settle(world: World, item: Item, step: int, score: float, decision: Any = "approve") -> None:
    """Let the run take the answer: the vote and the score stand in its journal."""
    segment = f"{RUN}.{step}"
    world.questions.close(item, "answered")
    by = str(item.body.get("for", "ada"))
    world.questions.record(
        AuditVoted(
            segment=segment,
            digest=SEEN,
            auditor=by,
            decision=decision,
            score=score,
            note="",
            modified=None,
            seen=SEEN,
            seconds=1.0,
        )
    )
    scored(world, step, score, decision)


def scored(world: World, step: int, score: float, decision: Any = "approve") -> None:
    """Note what the votes on a step came to."""
    world.questions.record(
        AuditScored(
            segment=f"{RUN}.{step}",
            score=score,
            decision=decision,
            modified=None,
            note="",
            seen=SEEN,
        )
    )


def judge(world: World, step: int, first: tuple[str, float], second: tuple[str, float]) -> Item:
    """Let Ada vote twice on a question."""
    item = world.put(step)
    for stage, (decision, score) in (("first", first), ("second", second)):
        world.take(ADA, item)
        voted = world.vote(ADA, item, stage, decision=decision, score=score, note="NOTE-OF-ADA")
        assert voted.final == (stage == "second")
    return item


def researched(world: World) -> Any:
    """Return what is known by now."""
    return study(world.book.told(most=20))


def test_both_votes_and_their_difference(world: World) -> None:
    """Ada let one through that she would have stopped, by the reasons; it is counted so."""
    for step, first, second in (
        (1, ("reject", 0.2), ("approve", 0.9)),
        (2, ("approve", 0.8), ("approve", 0.7)),
    ):
        settle(world, judge(world, step, first, second), step, first[1])
    found = researched(world)
    assert [step.segment for step in found.steps] == [f"{RUN}.1", f"{RUN}.2"]
    (ada,) = found.persuasion
    assert (ada.auditor, ada.moved.of) == ("ada", 2)
    assert ada.differences == pytest.approx((0.7, -0.1))
    assert (ada.let_through, ada.stopped) == (1, 0)
    assert [(one.stage, one.body["score"]) for one in found.steps[0].ballots] == [
        ("first", 0.2),
        ("second", 0.9),
    ]


def test_a_step_is_hidden_until_nobody_can_be_asked_about_it(world: World) -> None:
    """Neither an answer that its run has not taken, nor one of two seats, is enough."""
    item = judge(world, 1, ("reject", 0.2), ("approve", 0.9))
    assert (researched(world).steps, researched(world).hidden) == ((), 1)
    settle(world, item, 1, 0.2)
    assert researched(world).hidden == 0
    gate = world.questions.put(
        Item(
            id=type(item.id)(f"{RUN}.1.gate"),
            run=RUN,
            purpose="gate",
            created=item.created,
            deadline=None,
            body=item.body,
        )
    )
    assert (researched(world).steps, researched(world).hidden) == ((), 1)
    world.questions.close(gate, "withdrawn")
    assert researched(world).hidden == 0


def test_an_audit_that_failed_is_over_too(world: World) -> None:
    """It is shown without a score."""
    item = world.put(1)
    world.questions.close(item, "expired")
    assert researched(world).hidden == 1
    world.questions.record(AuditUnmeasured(segment=f"{RUN}.1", reason="late", expired=True))
    (step,) = researched(world).steps
    assert (step.score, step.decision, step.settled) == (None, None, True)


def test_who_sat_on_a_panel_is_the_auditor_and_not_the_panel(world: World) -> None:
    """Each by the blind score and the last decision; the panel's own vote is left out."""
    wants = {"two_votes": False, "panel": True, "opinion": "o"}
    seat = world.put(1, desk=wants, **{"for": "reviewers"})
    world.take(BOB, seat)
    world.vote(BOB, seat, score=0.4, decision="reject")
    settle(world, seat, 1, 0.4, "reject")
    (vote,) = votes(researched(world).steps)
    assert (vote.auditor, vote.decision, vote.score) == ("bob", "reject", 0.4)


def test_what_came_too_late_is_told(world: World) -> None:
    """A correction after its run has the answer changes nothing, and a researcher sees it."""
    item = judge(world, 1, ("approve", 0.9), ("approve", 0.9))
    settle(world, item, 1, 0.9)
    world.pass_seconds(60)
    said = {"decision": "reject", "score": 0.0, "note": "I misread it"}
    refused = world.clerk.correct(ADA, item.id, Given("second", "late", said), world.now)
    assert refused.why == "late"  # type: ignore[union-attr]
    found = researched(world)
    (late,) = found.late
    assert (late.person, late.stage, late.body["note"]) == ("ada", "correction", "I misread it")
    assert [one.moved.value for one in found.persuasion] == [pytest.approx(0.0)]


def test_a_second_vote_that_came_too_late_persuades_nobody(world: World) -> None:
    """It is told among what was late, and is no half of a pair."""
    item = world.put(1)
    world.take(ADA, item)
    world.vote(ADA, item, decision="reject", score=0.1)
    world.take(ADA, item)
    world.questions.close(item, "expired")
    assert world.vote(ADA, item, "second", decision="approve", score=1.0).why == "expired"
    scored(world, 1, 0.5)
    found = researched(world)
    assert found.persuasion == ()
    assert [(one.stage, one.counts) for one in found.late] == [("second", False)]


async def get(client: Client, path: str, *roles: Role) -> Any:
    """Ask for a page as someone with these roles."""
    client.sign_in("mira", *roles)
    return await client.get(path)


async def test_the_page_is_for_researchers_alone(world: World) -> None:
    """Whoever else may do everything does not see it, nor the way to it."""
    others = tuple(role for role in ROLES if role != "researcher")
    async with desk(world) as client:
        assert (await client.get("/record")).headers["location"] == "/enter"
        assert (await get(client, "/record", *others)).status_code == 403
        assert "/record" not in (await client.get("/")).text
        shown = await get(client, "/record", "researcher")
        assert shown.status_code == 200
        assert "Nobody has voted twice" in shown.text
        assert (await client.get("/record?run=nobody")).status_code == 404


async def test_the_page_tells_what_is_settled_and_nothing_of_what_is_open(world: World) -> None:
    """Votes, persuasion with a picture, what came late; of an open step not even who voted."""
    settle(world, judge(world, 1, ("reject", 0.25), ("approve", 0.95)), 1, 0.25)
    settle(world, judge(world, 2, ("approve", 0.75), ("approve", 0.85)), 2, 0.75)
    hidden = {"model": SECRETS[2], "risk": "RISKY", "planted": True}
    evil = world.put(3, rationale=SECRETS[0], **hidden)
    world.take(BOB, evil)
    world.vote(BOB, evil, decision="terminate", score=0.0123)
    async with desk(world) as client:
        shown = (await get(client, "/record", "researcher")).text
        for word in ("+0.40", "reject</b> 0.25", "approve</b> 0.95", 'class="moved"', "1 audited"):
            assert word in shown, word
        for word in ("0.0123", "terminate", f"{RUN}.3", "bob", "RISKY", "planted", *SECRETS):
            assert word not in shown, word
        only = await client.get(f"/record?run={RUN}")
        assert only.status_code == 200
        assert "All of the newest runs" in only.text


async def test_the_json_form_tells_the_same(world: World) -> None:
    """To a token with the role, of all runs or of one; to no other."""
    settle(world, judge(world, 1, ("reject", 0.25), ("approve", 0.95)), 1, 0.25)
    async with desk(world) as client:
        told: dict[Role, Any] = {}
        for role in ("researcher", "auditor"):
            world.add(f"p-{role}", role)
            person = world.book.person(f"p-{role}")
            assert person is not None
            token = door.issue(world.book, person, "token", now=world.now)
            headers = {"authorization": f"Bearer {token}"}
            told[role] = await client.http.get("/api/record", headers=headers)
            if role == "researcher":
                one = await client.http.get(f"/api/record/{RUN}", headers=headers)
                none = await client.http.get("/api/record/nobody", headers=headers)
    assert told["auditor"].status_code == 403
    assert none.status_code == 404
    assert one.json() == told["researcher"].json()
    data = one.json()
    assert (data["runs"], data["votes"], data["hidden"]) == ([RUN], 1, 0)
    (ada,) = data["persuasion"]
    assert (ada["auditor"], ada["let_through"]) == ("ada", 1)
    assert ada["moved"]["value"] == pytest.approx(0.7)


def test_the_picture_lies_within_its_frame() -> None:
    """However many differences there are; and it holds numbers alone."""
    values = [(-1) ** number * number / 500 for number in range(500)]
    drawn = str(differences(values, mean([-0.9, 0.9]), reach(values)))
    assert drawn.count("<circle") == 400
    for name, value in re.findall(r'(cx|x1|x2)="(-?[\d.]+)"', drawn):
        assert 0 <= float(value) <= 240, (name, value)
    assert "nan" not in str(differences([], mean([]), reach([])))
    assert (reach([]), reach([0.05, -0.31]), reach([0.3]), reach([-1.0])) == (0.1, 0.4, 0.3, 1.0)
