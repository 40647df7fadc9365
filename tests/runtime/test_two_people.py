"""What cannot be taken back is done when two different people have approved the very bytes."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.project import StepSettings
from monastery.runtime.records import Answer, Vote
from monastery.runtime.store import Store
from tests.runtime.world import SetAuditor, Small, approve, notes

pytestmark = pytest.mark.virtual


async def _live(home: Path, said: list[tuple[str, str]], **more: Any) -> Small:
    """Live a run of one irreversible step; `said` is who answers the questions, and what."""
    small = Small(home, notes("launch"), audit={"escalate_seconds": 30.0}, **more)
    small.extra = {"steps": {"note": StepSettings(irreversible=True)}}
    left, payloads = list(said), []

    async def answer() -> None:
        with Store.open(home) as store:
            while left:
                for stored in store.items():
                    if store.answered(stored.item.id) is None and left:
                        by, decision = left.pop(0)
                        body = {"decision": decision, "digest": stored.item.body["digest"]}
                        payloads.append(base64.b64decode(stored.item.body["payload_base64"]))
                        store.answer(Answer(stored.item.id, by, datetime.now(UTC), body))
                await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await small.live(small.new())
        nursery.cancel_scope.cancel()
    small.shown = payloads  # type: ignore[attr-defined]
    return small


async def test_two_different_people_have_it_done(tmp_path: Path) -> None:
    """Also where nothing is audited; both are named in the record."""
    small = await _live(tmp_path, [("ada", "approve"), ("bob", "approve")], rate=0.0)
    assert small.notebook.done == [b"launch"]
    (decided,) = small.events("gate.decided")
    assert decided.by == "ada and bob"


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([("ada", "approve"), ("ada", "approve")], "reject"),
        ([("ada", "approve"), ("bob", "reject")], "reject"),
        ([("ada", "reject"), ("bob", "approve")], "reject"),
        ([("ada", "approve"), ("bob", "modify")], "reject"),
        ([("ada", "terminate")], "terminate"),
        ([("ada", "approve")], "expired"),
        ([], "expired"),
    ],
)
async def test_anything_less_leaves_it_undone(
    tmp_path: Path, said: list[tuple[str, str]], verdict: str
) -> None:
    """One person, twice the same, a refusal, or nobody in time; no question is left open."""
    small = await _live(tmp_path, said, rate=0.0)
    assert small.notebook.done == []
    (decided,) = small.events("gate.decided")
    assert decided.verdict == verdict
    with Store.open(tmp_path) as store:
        assert store.items() == []


async def test_they_are_shown_the_bytes_that_an_auditor_put_in_their_place(tmp_path: Path) -> None:
    """What two approve is what is used, not what was proposed."""
    modify = SetAuditor(Vote("set", "modify", 0.5, modified=b"launch later"))
    small = await _live(
        tmp_path, [("ada", "approve"), ("bob", "approve")], auditors=[modify], rate=1.0
    )
    assert small.notebook.done == [b"launch later"]
    assert small.shown == [b"launch later"] * 2  # type: ignore[attr-defined]


async def test_what_an_auditor_refused_is_asked_of_nobody(tmp_path: Path) -> None:
    """Two people may not overrule an audit."""
    reject = SetAuditor(Vote("set", "reject", 0.1))
    small = await _live(tmp_path, [], auditors=[reject], rate=1.0)
    assert small.events("item.posted") == []
    assert small.notebook.done == []


async def test_who_decided_an_escalated_step_is_one_of_the_two(tmp_path: Path) -> None:
    """One more is asked, and it must be another."""
    escalate = [SetAuditor(Vote("set", "escalate", 0.5))]
    small = await _live(
        tmp_path, [("ada", "approve"), ("bob", "approve")], auditors=escalate, rate=1.0
    )
    assert small.notebook.done == [b"launch"]
    again = await _live(
        tmp_path / "2", [("ada", "approve"), ("ada", "approve")], auditors=escalate, rate=1.0
    )
    assert again.notebook.done == []


async def test_a_step_that_can_be_taken_back_asks_nobody(tmp_path: Path) -> None:
    """Without the word nothing changes."""
    small = Small(tmp_path, notes("one"), [SetAuditor(approve())])
    await small.live(small.new())
    assert small.notebook.done == [b"one"]
    assert small.events("item.posted") == []
