"""Following a run: what is to be learned comes once, when it is settled, and in the same order."""

from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.credit import TrainingItem
from monastery.runtime.following import Follower
from monastery.runtime.journal import Record
from monastery.runtime.records import Case, Vote
from monastery.runtime.store import Store
from tests.runtime.world import SetAuditor, Small, approve, notes

pytestmark = pytest.mark.virtual


class Slow(SetAuditor):
    """Takes longer over the first step than over the others together."""

    async def judge(self, case: Case, box: Any) -> Vote:
        """Wait first."""
        await trio.sleep(60 if case.proposal.index == 1 else 1)
        return await super().judge(case, box)


async def _followed(home: Path, **more: Any) -> tuple[Small, list[tuple[str, TrainingItem]]]:
    """Live a run; return it, and its items, each with the event by which it came."""
    small = Small(home, notes("one", "two", "three"), **more)
    row = small.new()
    found: list[tuple[str, TrainingItem]] = []
    with Store.open(home) as store:
        follower = Follower(store)

        def watch(record: Record) -> None:
            follower.take(record)
            found.extend((record.event.type, item) for _, item in follower.items())

        small.watch = watch
        await small.live(row)
    return small, found


async def test_an_item_comes_once_when_its_step_and_its_audit_are_over(tmp_path: Path) -> None:
    """In blocking audits that is at the boundary; the last segment, without a step, never comes."""
    _, found = await _followed(tmp_path, auditors=[SetAuditor(approve(0.3))])
    assert [(by, item.index) for by, item in found] == [
        ("step.completed", number) for number in (1, 2, 3)
    ]
    assert [item.earned.score for _, item in found] == [0.3] * 3
    assert all(item.context.earlier == () for _, item in found)


async def test_an_audit_that_is_deferred_is_waited_for_and_holds_nothing_else_up(
    tmp_path: Path,
) -> None:
    """An item comes by its own reward, later than those of later steps if need be."""
    more = {"auditors": [Slow(approve(0.3))], "audit": {"mode": "deferred"}}
    _, found = await _followed(tmp_path, **more)
    indices = [item.index for _, item in found]
    assert (sorted(indices[:2]), indices[2:]) == ([2, 3], [1])  # those two are judged side by side
    assert {by for by, _ in found} == {"reward.issued"}
    assert [item.earned.score for _, item in found] == [0.3] * 3


async def test_what_was_not_audited_comes_too_and_has_no_score(tmp_path: Path) -> None:
    """Whoever learns counts it."""
    _, found = await _followed(tmp_path, rate=0.0)
    assert [(item.index, item.earned.score) for _, item in found] == [
        (1, None),
        (2, None),
        (3, None),
    ]


async def test_who_catches_up_learns_the_same_in_the_same_order(tmp_path: Path) -> None:
    """From a journal that ended anywhere: what was settled by then, and then the rest."""
    more = {"auditors": [Slow(approve(0.3))], "audit": {"mode": "deferred"}}
    small, found = await _followed(tmp_path, **more)
    with Store.open(tmp_path) as store:
        for end in range(len(small.told) + 1):
            follower = Follower(store)
            follower.catch_up(small.told[:end])
            items = [item for _, item in follower.items()]
            follower.catch_up(small.told[end:])
            items += [item for _, item in follower.items()]
            assert items == [item for _, item in found], end
