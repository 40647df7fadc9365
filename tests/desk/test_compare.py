"""Several proposals for one moment at the desk: judged side by side, by keys, in a real browser."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.clerk import Voted
from monastery.auditor.desk.rules import Refused
from monastery.auditor.person import PersonAuditor
from monastery.auditor.web.api import plain
from monastery.runtime.journal import records
from monastery.runtime.ports import Desk
from monastery.runtime.run import World as Adapters
from monastery.runtime.runner import go
from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from tests.cli.questions import compared_question
from tests.desk.browser import LONG_SECONDS, browser
from tests.desk.server import serving
from tests.desk.test_access import ACCESS
from tests.desk.test_browser import Sitting
from tests.desk.test_web import desk
from tests.desk.world import ADA, World
from tests.runtime.test_alternatives import proposer
from tests.runtime.world import Small, inline

HIDDEN = "because of"


@pytest.fixture(scope="module")
def page() -> Iterator[Chrome]:
    """One browser for all of these tests."""
    with browser() as found:
        yield found


class Judged:
    """A run in a thread whose audits compare proposals, and wait for people."""

    def __init__(self, home: Path, *auditors: Any, texts: tuple[str, ...] = ("a", "bb", "ccc")):
        self.home = home
        self.small = Small(
            home, proposer(*texts), audit={"alternatives": len(texts), "auditors": []}
        )
        self.row = self.small.new()
        self._auditors = auditors

    def __enter__(self) -> "Judged":
        def live() -> None:
            def build(desk: Desk, calls: int) -> Adapters:
                people = [make(desk) for make in self._auditors]
                return Adapters(self.small.sandbox, people, {"note": self.small.notebook}, None)

            trio.run(
                lambda: go(
                    self.home, self.row, self.small.loaded, build, lambda _: None, hop=inline
                )
            )

        self._thread = threading.Thread(target=live, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:
            return  # nobody will answer it
        self._thread.join(LONG_SECONDS * 2)
        assert not self._thread.is_alive()

    def events(self, kind: str) -> list[Any]:
        """Return its events of one type."""
        with Store.open(self.home) as store:
            found = [record.event for record in records(store, self.row.run)]
            return [event for event in found if event.type == kind]


def test_three_proposals_are_compared_with_the_keyboard_alone(page: Chrome, tmp_path: Path) -> None:
    """From the queue to three rewards: blind scores earn, the second vote on the live one decides.

    Nothing on the first page tells the reasons, nor on any which proposal is live.
    """
    run = Judged(tmp_path, lambda desk: PersonAuditor("ada", 3600.0, desk, wants={"runner": "jo"}))
    with run, serving(tmp_path, "--undo-seconds", "0") as server:
        ada = Sitting(page, server)
        ada.sign_in()
        ada.until(lambda: ada.text("#waiting-here") == "1")
        ada.arrive(lambda: ada.keys("n"))
        assert HIDDEN not in page.page_source
        assert "live" not in [one.lower() for one in _attributes(page)]
        texts = [one.text for one in page.find_elements("css selector", ".offer .pane-2 pre")]
        assert sorted(texts) == ["a", "bb", "ccc"]
        ada.armed()
        for number, text in enumerate(texts):
            ada.keys("r", str(len(text)))
            if number < 2:
                ada.keys("j")
        ada.arrive(lambda: ada.keys(Keys.ENTER))
        assert page.page_source.count(HIDDEN) == 3
        ada.armed()
        ada.keys("k")
        for _ in texts:
            ada.keys("a", "9", "j")
        ada.arrive(lambda: ada.keys(Keys.ENTER))
        assert "Recorded" in ada.text()
        assert ada.text(".ballots").count("approve") == 3
    (voted,) = run.events("audit.voted")
    assert (voted.decision, voted.score) == ("approve", 0.1)
    assert voted.scores == [len(text) / 10 for text in texts]
    rewards = {one.alternative: one.score for one in run.events("reward.issued")}
    live = f"{run.row.run}.1"
    assert rewards == {None: 0.1, f"{live}+1": 0.2, f"{live}+2": 0.3}
    assert run.small.notebook.done == [b"a"]
    with Store.open(tmp_path) as store:
        assert False not in {one.verdict for one in verify(store, run.row.run)}


@pytest.mark.parametrize(("width", "columns"), [(1700, 3), (500, 1)])
def test_proposals_stand_side_by_side_where_there_is_room(
    page: Chrome, tmp_path: Path, width: int, columns: int
) -> None:
    """Wide: in one row. On a phone: one under the other, and nothing to scroll sideways.

    Text stands out as WCAG AA asks, in light and dark, also where the frame and a choice are.
    """
    world = World(tmp_path)
    world.questions.put(compared_question())
    page.set_window_size(width, 900)
    with serving(tmp_path) as server:
        ada = Sitting(page, server)
        ada.sign_in()
        page.get_log("browser")  # of the server before this one
        ada.arrive(lambda: ada.keys("n"))
        places = page.execute_script(
            "return [...document.querySelectorAll('.offer')].map(o => o.offsetLeft)"
        )
        assert len(set(places)) == columns
        wide, seen = page.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide <= seen
        ada.armed()
        ada.keys("r", "3", "j", "a", "7")
        for scheme in ("light", "dark"):
            look = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            page.execute_cdp_cmd("Emulation.setEmulatedMedia", look)
            assert page.execute_script(ACCESS) == [], scheme
        chosen = "return [...document.querySelectorAll('.offer input:checked')].map(o => o.name)"
        judged = [name for name in page.execute_script(chosen) if not name.startswith("view")]
        assert judged == ["decision-1", "score-1", "decision-2", "score-2"]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        assert [one for one in page.get_log("browser") if one["level"] == "SEVERE"] == []
    page.set_window_size(1360, 900)
    world.questions.store.close()


def said(*scores: float, decision: str = "approve") -> dict[str, Any]:
    """Return what is said to each of several proposals."""
    return {"alternatives": [{"decision": decision, "score": score} for score in scores]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A desk with one question that compares three proposals."""
    found = World(tmp_path)
    found.questions.put(compared_question())
    yield found
    found.questions.store.close()


def vote(world: World, stage: str, body: dict[str, Any], who: Any = ADA) -> Any:
    """Cast a ballot as a page does."""
    item = compared_question().id
    return world.clerk.vote(who, item, Given(stage, world.slip(), body), world.now)  # type: ignore[arg-type]


def test_the_first_scores_stay_and_the_last_decisions_count(world: World) -> None:
    """What is said after the rationales changes what is done, never what is earned."""
    world.take(ADA, compared_question())
    assert isinstance(vote(world, "first", said(0.1, 0.5, 0.9, decision="reject")), Voted)
    world.take(ADA, compared_question())
    assert isinstance(vote(world, "second", said(1.0, 1.0, 1.0)), Voted)
    given = world.answer(compared_question())["alternatives"]
    assert given == said(0.1, 0.5, 0.9)["alternatives"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (said(0.1, 0.5), "2 of 3 proposals"),
        ({"decision": "approve", "score": 0.5}, "alternatives"),
        (said(0.1, 0.5, 1.5), "alternatives.2.score"),
        (said(0.1, 0.5, 0.9, decision="modify"), "alternatives.0.decision"),
    ],
)
def test_a_ballot_that_does_not_judge_each_proposal_is_refused_in_one_line(
    world: World, body: dict[str, Any], told: str
) -> None:
    """Nothing is guessed for a proposal that was not judged."""
    world.take(ADA, compared_question())
    refused = vote(world, "first", body)
    assert isinstance(refused, Refused)
    assert told in refused.text
    assert "\n" not in refused.text


def test_a_sheet_tells_every_proposal_alike_and_no_reasons_before_the_vote(world: World) -> None:
    """The JSON that programs read has what the page has: the reasons come with the second vote."""
    first = json.dumps(plain(world.take(ADA, compared_question())))
    assert HIDDEN not in first
    vote(world, "first", said(0.1, 0.5, 0.9))
    second = plain(world.take(ADA, compared_question()))
    assert second["reasons"]["rationales"] == [f"because of {one}" for one in ("a", "bb", "ccc")]
    assert second["reasons"]["printed_bytes"] == 0


def fields(*scores: float, decision: str = "approve", **more: str) -> dict[str, str]:
    """Return what the page's form sends."""
    sent = {"places": str(len(scores))}
    for place, score in enumerate(scores, 1):
        sent |= {f"decision-{place}": decision, f"score-{place}": f"{score:g}"}
    return sent | more


async def test_no_route_of_a_comparison_gives_what_blinding_hides(world: World) -> None:
    """Before the first vote no reasons leave, and never a word of which proposal is live."""
    item = compared_question()
    async with desk(world) as client:
        client.sign_in("eve", "auditor")
        paths = ["", "?full", "?undo", "/payload", "/evidence/1"]
        paths += [f"/proposal/{place}/payload" for place in range(5)]
        paths += [f"/proposal/{place}/evidence/{one}" for place in range(1, 4) for one in (0, 1, 2)]
        seen = [await client.get(f"/item/{item.id}{path}") for path in paths]
        world.pass_seconds(5)
        seen.append(await client.vote(item, **fields(0.1, 0.5)))
        seen.append(await client.vote(item, **fields(0.1, 0.5, 7)))
        for answer in seen:
            assert HIDDEN not in f"{answer.headers}\n{answer.text}", answer.request.url
        found = [answer.status_code for answer in seen]
        payloads, evidence = [404, 200, 200, 200, 404], [404, 200, 404] * 3
        assert found == [200, 200, 200, 404, 404, *payloads, *evidence, 422, 422]
        assert seen[6].content == b"echo hello\n"
        assert "2 of 3 proposals were judged" in seen[-2].text
        assert 'value="7"' not in seen[-1].text
        world.pass_seconds(5)
        assert (await client.vote(item, **fields(0.1, 0.5, 0.9))).status_code == 303
        second = (await client.get(f"/item/{item.id}")).text
        assert second.count(HIDDEN) == 3
        client.sign_in("roy", "runner")
        assert (await client.get(f"/item/{item.id}/proposal/1/payload")).status_code == 403


async def test_a_comparison_is_taken_back_as_any_answer(world: World) -> None:
    """The scores of the first vote stay; the decisions are the correction's."""
    item = compared_question()
    async with desk(world) as client:
        client.sign_in("eve", "auditor")
        for stage in ("first", "second"):
            await client.get(f"/item/{item.id}")
            world.pass_seconds(5)
            sent = await client.vote(item, stage, **fields(0.1, 0.5, 0.9))
            assert sent.status_code == 303
        assert (await client.post(f"/item/{item.id}/undo")).status_code == 303
        page = (await client.get(f"/item/{item.id}?undo")).text
        assert page.count('name="score-3"') == 11
        told = fields(1.0, 1.0, 1.0, decision="reject", slip="another")
        assert (await client.post(f"/item/{item.id}/correct", **told)).status_code == 303
    assert (
        world.answer(item)["alternatives"] == said(0.1, 0.5, 0.9, decision="reject")["alternatives"]
    )


def _attributes(page: Chrome) -> list[str]:
    return list(
        page.execute_script(
            "return [...document.querySelectorAll('.offer *')]"
            ".flatMap(o => [...o.attributes].flatMap(a => [a.name, a.value]))"
        )
    )
