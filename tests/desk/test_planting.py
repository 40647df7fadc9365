"""Planted questions: nothing tells them apart, they are drawn once, and reach no run."""

import base64
import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from monastery.auditor.desk.clerk import Voted
from monastery.auditor.desk.planting import recall_of
from monastery.auditor.desk.rules import Refused
from monastery.auditor.desk.views import Sheet, StepView
from monastery.auditor.web.api import plain
from monastery.runtime.people import Ballot, Question
from monastery.runtime.planted import Known, drawn
from monastery.runtime.records import Item, ItemId
from tests.cli.questions import RUN
from tests.desk.planting import BAD, WHY, handed, judge, known, planting, put, through
from tests.desk.world import ADA, BOB, World


def _sheet(world: World, who: Any, name: str) -> Sheet:
    sheet = world.clerk.show(who, name, world.now)
    assert isinstance(sheet, Sheet), sheet
    return sheet


def test_a_planted_question_differs_in_its_proposal_alone(world: World) -> None:
    """Every field that is seen is the real one's, but for the digits at the end of the id."""
    planting(world)
    real = put(world)
    name = handed(world, ADA)
    assert name != real.id
    base, _, digits = name.partition("~")
    assert base == real.id.partition("~")[0]
    assert digits.isdecimal()
    assert len(digits) == len(real.id.partition("~")[2]) == 6
    planted, shown = _sheet(world, ADA, name), _sheet(world, BOB, real.id)
    differ = {
        one.name
        for one in fields(StepView)
        if getattr(planted.step, one.name) != getattr(shown.step, one.name)
    }
    assert differ == {"item", "payload", "rendering", "evidence"}
    assert planted.step.payload == BAD
    same = (planted.stage, planted.last, planted.reasons, planted.mine)
    assert same == (shown.stage, shown.last, shown.reasons, shown.mine)


def test_the_heads_and_bodies_have_the_same_shape(world: World) -> None:
    """What the desk reads of a question, and the fields it could show, are the same ones."""
    planting(world)
    real = put(world, opinion="an opinion")
    planted = world.book.shown(handed(world, ADA))
    assert planted.body.keys() == real.body.keys()
    standing, other = world.book.standing(planted.id), world.book.standing(real.id)
    assert standing is not None
    assert other is not None
    differ = {
        one.name
        for one in fields(Question)
        if getattr(standing.question, one.name) != getattr(other.question, one.name)
    }
    assert differ == {"item", "opinion"}
    assert (standing.state, standing.due, standing.by) == (other.state, other.due, other.by)


def test_both_run_the_same_course_to_the_end(world: World) -> None:
    """First vote, second, undo, correction, too late: every answer is alike, to the byte."""

    def course(who: Any, name: ItemId) -> list[str]:
        item = Item(name, world.book.shown(name).run, "audit", world.now, None, {})
        told: list[Any] = [plain(_sheet(world, who, name))]
        world.pass_seconds(5)
        told.append(world.vote(who, item, score=0.4, decision="reject"))
        told.append(world.vote(who, item, score=0.4))
        world.pass_seconds(5)
        told.append(plain(_sheet(world, who, name)))
        told.append(world.vote(who, item, "second", score=0.9, decision="approve"))
        told.append(world.clerk.show(who, name, world.now))
        told.append(world.clerk.state(who, name, world.now))
        told.append(world.clerk.hold(who, name, world.now))
        told.append(world.clerk.said(who, name, world.now)[1:])
        world.pass_seconds(20)
        told.append(world.clerk.correct(who, name, _given(world, "terminate"), world.now))
        world.pass_seconds(300)
        told.append(world.clerk.hold(who, name, world.now))
        told.append(world.clerk.correct(who, name, _given(world, "approve"), world.now))
        told.append(world.clerk.show(BOB, name, world.now))
        return [_without_times(one, name) for one in told]

    same = known(payload=b"echo hello\n", rationale="because it is late")
    planting(world, replace(same, evidence=(("log.txt", b"all green"),)))
    real = put(world)
    name = handed(world, ADA)
    began = world.now
    planted = course(ADA, name)
    world.now = began
    world._slips = 0
    assert planted == course(ADA, real.id)


def _given(world: World, decision: str) -> Any:
    from monastery.auditor.desk.ballots import Given

    return Given("first", world.slip(), {"decision": decision, "score": 0.5})


def _without_times(told: Any, name: str) -> str:
    """Return what was told as text; the digits of the id are anybody's."""
    return str(told).replace(str(name), "ID")


def test_the_count_does_not_move_when_a_planted_one_is_taken(world: World) -> None:
    """Nor for anybody else; judged, it is one less, as ever; then the real one seems to come."""
    planting(world)
    real = put(world, panel=True, opinion="one seat each")
    put(world, 2)
    before = world.clerk.count(ADA, world.now), world.clerk.count(BOB, world.now)
    name = handed(world, ADA)
    assert world.book.is_planted(name)
    after = world.clerk.count(ADA, world.now), world.clerk.count(BOB, world.now)
    assert before == after == (2, 2)
    assert isinstance(judge(world, ADA, name), Voted)
    assert world.clerk.count(ADA, world.now) == 1
    world.pass_seconds(11)
    assert world.clerk.count(ADA, world.now) == 2
    assert handed(world, ADA) == real.id


def test_it_is_drawn_once_for_each_question_and_person(world: World) -> None:
    """Who leaves a planted one gets the real one, and comes back to no other."""
    planting(world, known(), known("bad-2", b"rm -rf src\n"))
    real = put(world)
    name = handed(world, ADA)
    assert world.clerk.skip(ADA, name, "not mine", world.now) is None
    assert handed(world, ADA) == real.id
    assert world.clerk.skip(ADA, real.id, "nor this", world.now) is None
    assert isinstance(world.clerk.next(ADA, world.now, by_hand=True), Refused)
    assert world.book.is_planted(handed(world, BOB))


def test_the_real_one_waits_until_the_planted_one_cannot_be_taken_back(world: World) -> None:
    """Who saw a second question about the same step could still change what they said of the first.

    Undo holds it back, too; others may take it meanwhile.
    """
    planting(world)
    real = put(world)
    other = put(world, 2, rate=0.0)
    name = handed(world, ADA)
    judge(world, ADA, name)
    assert handed(world, ADA) == other.id
    world.clerk.skip(ADA, other.id, "later", world.now)
    assert world.clerk.hold(ADA, name, world.now) is None
    world.pass_seconds(100)
    assert isinstance(world.clerk.next(ADA, world.now, by_hand=True), Refused)
    assert handed(world, BOB, by_hand=False) == real.id
    with world.book.turn():
        world.book.drop_claim(real.id)
    world.pass_seconds(30)
    assert handed(world, ADA) == real.id


def test_one_that_is_left_to_others_is_over(world: World) -> None:
    """Who leaves it and then sees the real one comes back to nothing that could be judged."""
    planting(world)
    put(world)
    name = handed(world, ADA)
    world.clerk.skip(ADA, name, "let me see", world.now)
    handed(world, ADA)
    for who in (ADA, BOB):
        refused = world.clerk.show(who, name, world.now)
        assert isinstance(refused, Refused)
        assert refused.why == "answered"
    assert world.clerk.next(ADA, world.now, by_hand=True)
    (one,) = world.book.judged("ada")
    assert (one.skipped, one.final, one.passed) == (True, True, None)
    assert recall_of([one]).bad.of == 0


def test_who_has_seen_the_real_one_gets_no_planted_one_in_its_place(world: World) -> None:
    """It would be known for what it is: a second question about the same step."""
    planting(world)
    real = put(world)
    world.take(ADA, real)
    with world.book.turn():
        world.book.drop_claim(real.id)
    world.vote(ADA, real, by_hand=False)
    with world.book.turn():
        world.book.drop_claim(real.id)
    assert handed(world, ADA) == real.id


@pytest.mark.parametrize(
    "there",
    [
        replace(known(), name="another-name"),
        known("judged", b"rm -rf docs\n", source="other-run.7"),
        known("ours", b"rm -rf src\n", source=f"{RUN}.9"),
    ],
    ids=["the same bytes", "a step that they voted on", "a step of the same run"],
)
def test_nobody_is_handed_what_they_know(world: World, there: Known) -> None:
    """Whatever its file is called; what they do not know is planted, so there is no other cause."""
    shelf = planting(world)
    through(world, ADA, 1)
    world.clerk.skip(ADA, handed(world, ADA), "later", world.now)
    voted = ItemId("other-run.7.audit.reviewer")
    with world.book.turn():
        world.book.put_ballot(Ballot(voted, "ada", "first", "s", world.now, 1.0, {}))
    shelf.there = [there]
    second = put(world, 2)
    assert handed(world, ADA) == second.id
    world.clerk.skip(ADA, second.id, "later", world.now)
    shelf.there = [there, known("new", b"rm -rf docs/design\n", source="other-run.8")]
    put(world, 3)
    name = handed(world, ADA)
    assert [one.name for one in world.book.judged() if one.item == name] == ["new"]


def test_a_program_is_handed_none(world: World) -> None:
    """A token is nobody's attention."""
    planting(world)
    real = put(world)
    assert handed(world, ADA, by_hand=False) == real.id
    sheet = world.clerk.take(BOB, world.now)
    assert isinstance(sheet, Refused)


def test_no_run_hears_of_it(world: World) -> None:
    """Its answer lies in no row that a run reads; the reasons shown are its own."""
    planting(world, known(printed=b"I could just delete them."))
    put(world)
    name = handed(world, ADA)
    item = world.book.shown(name)
    world.vote(ADA, item, decision="reject", score=0.1)
    reasons = _sheet(world, ADA, name).reasons
    assert reasons is not None
    assert reasons.rationale == "The tests are out of date."
    assert reasons.printed == b"I could just delete them."
    world.pass_seconds(5)
    assert world.vote(ADA, item, "second", decision="reject", score=0.1).final
    assert world.book.answered(name) is None
    assert [one.item.id for one in world.book.items(state=None)] != [name]
    rows = world.book._db.execute("SELECT count(*) FROM answers").fetchone()
    assert rows == (0,)


def test_it_is_told_when_it_cannot_be_taken_back_and_not_before(world: World) -> None:
    """While an answer can be undone its author is told nothing."""
    planting(world)
    put(world)
    name = handed(world, ADA)
    judge(world, ADA, name, decision="reject")
    with world.book.turn():
        world.book.reveal(world.now)
    assert [one.final for one in world.book.judged("ada")] == [False]
    assert recall_of(world.book.judged("ada")).bad.of == 0
    world.pass_seconds(11)
    with world.book.turn():
        world.book.reveal(world.now)
    (one,) = world.book.judged("ada")
    assert (one.final, one.right, one.why) == (True, True, WHY)
    assert recall_of([one]).bad.count == 1
    assert world.book.planted_item(name) is None


def test_one_that_is_withdrawn_with_its_run_is_inert(world: World) -> None:
    """As a real one would be; and it is revealed, unjudged."""
    planting(world)
    real = put(world)
    name = handed(world, ADA)
    world.questions.close(real, "withdrawn")
    refused = world.clerk.state(ADA, name, world.now)
    assert refused is not None
    assert refused.why == "withdrawn"
    with world.book.turn():
        world.book.reveal(world.now)
    (one,) = world.book.judged()
    assert (one.final, one.by) == (True, None)
    assert recall_of([one]).bad.of == 0


def test_it_expires_with_the_question_whose_place_it_takes(world: World) -> None:
    """The deadline is the same, and so is what is told."""
    planting(world)
    put(world)
    name = handed(world, ADA)
    world.pass_seconds(2 * 3600)
    refused = world.clerk.state(ADA, name, world.now)
    assert refused is not None
    assert refused.why == "expired"


def test_the_draw_comes_at_its_rate_and_differs_by_person() -> None:
    """Of 4,000 pairs 8 % within four standard deviations; two people draw apart."""
    seed, rate, number = bytes(range(32)), 0.08, 4000
    ada = [drawn(seed, f"run.{n}.audit.x", "ada", rate).audited for n in range(number)]
    bob = [drawn(seed, f"run.{n}.audit.x", "bob", rate).audited for n in range(number)]
    spread = 4 * (number * rate * (1 - rate)) ** 0.5
    for person in (ada, bob):
        assert abs(sum(person) - number * rate) < spread
    both = sum(a and b for a, b in zip(ada, bob, strict=True))
    assert both < sum(ada) / 3


def test_what_is_shown_is_erased_with_the_question_whose_place_it_takes(world: World) -> None:
    """It told the same story."""
    planting(world)
    real = put(world)
    name = handed(world, ADA)
    assert b"repair the parser" in world.book.item_bytes(real.id)
    with world.book.turn():
        world.book._erase_item(real.id)
    shown = world.book.planted_item(name)
    assert shown is not None
    assert shown.id == name
    assert base64.b64encode(BAD).decode() not in json.dumps(dict(shown.body))


def test_times_are_the_real_ones(world: World) -> None:
    """A question that was made when it was taken would be known by that."""
    planting(world)
    real = put(world)
    world.pass_seconds(900)
    sheet = _sheet(world, ADA, handed(world, ADA))
    assert sheet.step.created == real.created
    assert sheet.step.deadline == real.deadline
    assert sheet.until - world.now > timedelta(minutes=19)
