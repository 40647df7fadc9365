"""A run's past and its history: what going on needs, the same as the whole story tells."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime import recall
from monastery.runtime.cases import EARLIER_STEPS
from monastery.runtime.history import HISTORY_BYTES, WHOLE_BYTES, history
from monastery.runtime.journal import records
from monastery.runtime.past import read_past
from monastery.runtime.records import Case, EarlierStep, RunId, Vote
from monastery.runtime.rows import Entry
from monastery.runtime.store import Store
from monastery.runtime.story import Story, fold, tell
from tests.runtime.world import SetAuditor, Small, approve, expired, notes

pytestmark = pytest.mark.virtual


class Upto(Store):
    """A store whose journals end before this number."""

    end = 1 << 62

    def entries(self, run: RunId | str, *, start: int = 0) -> Iterator[Entry]:
        """Return the entries before the end."""
        return (entry for entry in super().entries(run, start=start) if entry.seq < self.end)


class Late(SetAuditor):
    """Answers after many other steps, and fails now and then."""

    async def judge(self, case: Case, box: Any) -> Vote:
        """Wait for a while that depends on the step."""
        await trio.sleep(case.proposal.index * 7 % 40)
        return await super().judge(case, box)


class Echo:
    """A policy."""

    name = "echo"

    async def call(self, body: Any) -> Any:
        """Answer."""
        await trio.lowlevel.checkpoint()
        return body


async def eventful(inside: Any) -> int:
    """Propose good and bad notes, with model calls between them."""
    for number in range(len(inside.history), 24):
        inside.print(f"{number}")
        await inside.model({"n": number})
        await inside.propose("note", b"bad", "refused")
        await inside.propose("note", f"note {number}", "because")
        await inside.sleep(3)
    return 0


@pytest.mark.parametrize("mode", ["blocking", "deferred"])
async def test_the_past_is_what_the_whole_story_tells_of_it(tmp_path: Path, mode: str) -> None:
    """After each event: open segments, awaited audits with their cases' steps, calls, questions."""
    asks = Vote("set", "escalate", 0.5)
    auditor = Late(approve(), asks, expired(), *[approve()] * 4, expired(), approve())
    small = Small(
        tmp_path,
        eventful,
        [auditor],
        rate=0.5,
        audit={"mode": mode, "escalate_seconds": 5},
        policy=Echo(),
    )
    row = small.new()
    await small.live(row)
    awaited = asked = 0
    with Upto.open(tmp_path) as store:
        for end in range(1, store.run(row.run).seq + 1):
            store.end = end
            past, expected, steps = read_past(store, row.run), tell(store, row.run), []
            for told in expected.segments:
                if told.completed is not None:
                    steps.append(recall.earlier_step(store, told))
            kept = {
                name: replace(told, calls=[], refused=[], at={})
                for name, told in expected.by_id.items()
                if told.completed is None or told.awaits_audit
            }
            found = {name: replace(told, at={}) for name, told in past.story.by_id.items()}
            assert found == kept, end
            assert list(found) == list(kept)
            assert past.story.call_count == expected.call_count
            assert past.story.spent == expected.spent
            assert past.story.started == expected.started
            assert past.story.posted == expected.posted
            assert list(past.earlier) == steps[-EARLIER_STEPS:]
            assert past.deferred == {
                name: tuple(steps[: told.index - 1][-EARLIER_STEPS:])
                for name, told in kept.items()
                if told.completed is not None
            }
            awaited, asked = max(awaited, len(past.deferred)), asked + len(past.story.posted)
            assert json.loads(history(store, row.run)) == [_line(step) for step in steps]
    assert (awaited > 2, asked > 0) == (mode == "deferred", mode == "blocking")


def _line(step: EarlierStep) -> dict[str, Any]:
    return {
        "step": step.index,
        "kind": step.kind,
        "payload": step.payload.decode(),
        "status": step.status,
        "content": step.content,
    }


async def test_a_segment_of_many_calls_is_not_kept(tmp_path: Path) -> None:
    """The story that the loop keeps counts calls, keeps no refusals, drops finished segments."""
    small = Small(tmp_path, eventful, [SetAuditor(approve())], policy=Echo())
    row = small.new()
    await small.live(row)
    with Store.open(tmp_path) as store:
        story = Story(brief=True)
        for record in records(store, row.run):
            story.take(record)
            if record.event.type == "step.completed":
                story.forget(record.event.segment)
            assert sum(len(one.calls) + len(one.refused) for one in story.segments) == 0
            assert len(story.by_id) <= 1
        assert story.call_count == fold(records(store, row.run)).call_count == 24


async def test_modified_bytes_are_the_ones_in_the_history(tmp_path: Path) -> None:
    """The history tells what was used, not what was proposed; what is not UTF-8 is null."""
    votes = [Vote("set", "modify", 0.5, "", b"uno"), Vote("set", "modify", 0.5, "", b"\xff")]
    small = Small(tmp_path, notes("one", "two", "three"), [SetAuditor(*votes, approve())])
    row = small.new()
    await small.live(row)
    with Store.open(tmp_path) as store:
        told = json.loads(history(store, row.run))
    assert [step["payload"] for step in told] == ["uno", None, "three"]
    assert [step["step"] for step in told] == [1, 2, 3]
    assert not any("cut" in step for step in told)


async def test_a_long_history_is_cut_from_its_oldest_end(tmp_path: Path) -> None:
    """Newest steps whole, older ones without contents; never longer than what a box has room for.

    With control characters, which are six times as long in JSON.
    """
    texts = [f"{number} " + "\x01" * 250_000 for number in range(9)]
    small = Small(tmp_path, notes(*texts), rate=0.0)
    row = small.new()
    await small.live(row)
    with Store.open(tmp_path) as store:
        found = history(store, row.run)
    told = json.loads(found)
    assert len(found) <= WHOLE_BYTES + 9 * 100 < HISTORY_BYTES
    assert [step["step"] for step in told] == list(range(1, 10))
    cut = [step.get("cut", False) for step in told]
    assert cut == [True] * 5 + [False] * 4
    assert [step["payload"] for step in told] == [None] * 5 + texts[5:]
    assert [step["status"] for step in told] == ["done"] * 9
    assert [step["content"] for step in told[:5]] == [{}] * 5


async def test_of_a_history_without_end_the_oldest_steps_are_left_out(tmp_path: Path) -> None:
    """What is told is whole JSON within the bound, and ends with the last step."""
    small = Small(tmp_path, notes(*map(str, range(40))), rate=0.0)
    row = small.new()
    await small.live(row)
    with Store.open(tmp_path) as store:
        for limit in (2, 100, 500, 1999, 2000):
            found = history(store, row.run, limit_bytes=limit, whole_bytes=300)
            assert len(found) <= limit
            steps = [step["step"] for step in json.loads(found)]
            assert steps == list(range(41 - len(steps), 41))
        assert len(steps) > 20
