"""What is carried out are the bytes whose hash was shown, once; a change voids the approval."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from monastery.auditor.person import PersonAuditor
from monastery.runtime.content import Sealer
from monastery.runtime.errors import BadInput, StoreError
from monastery.runtime.journal import Record
from monastery.runtime.ports import Forkable
from monastery.runtime.records import Answer, Case, ItemId, Step, Vote
from monastery.runtime.runner import cause
from monastery.runtime.store import Store
from tests.runtime.world import Notebook, SetAuditor, Small, approve, notes

pytestmark = pytest.mark.virtual


async def stopped_at(small: Small, event: str) -> Any:
    """Live a new run until this event is durable, and stop it there."""
    row = small.new()
    with trio.CancelScope() as scope:

        def watch(record: Record) -> None:
            if record.event.type == event:
                scope.cancel()

        small.watch = watch
        await small.live(row)
    assert scope.cancelled_caught
    small.watch = None
    return row


def tamper(home: Path, statement: str, *values: Any) -> None:
    """Change the database behind the runtime's back."""
    with apsw.Connection(str(home / "monastery.sqlite3")) as database:
        database.execute(statement, values)
        assert database.changes() == 1


async def test_a_payload_changed_in_the_store_after_the_vote_is_not_used(tmp_path: Path) -> None:
    """Stopped between vote and execution, with other bytes put in place: nothing is carried out."""
    small = Small(tmp_path, notes("pay 1"), [SetAuditor(approve())])
    row = await stopped_at(small, "reward.issued")
    tamper(tmp_path, "UPDATE blobs SET content = ? WHERE content = ?", b"pay 1000", b"pay 1")
    small.auditors = []
    with pytest.raises((StoreError, ExceptionGroup)) as caught:
        await small.live(small.claim(row.run))
    assert isinstance(cause(caught.value), StoreError)
    assert small.notebook.done == []


async def test_a_vote_changed_in_the_journal_is_not_used(tmp_path: Path) -> None:
    """A rejection made an approval while the run was stopped: the run does not go on from it."""
    small = Small(tmp_path, notes("one"), [SetAuditor(Vote("set", "reject", 0.1))])
    row = await stopped_at(small, "reward.issued")
    tamper(
        tmp_path,
        "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'reject', 'approve') AS BLOB) "
        "WHERE CAST(body AS TEXT) LIKE '%audit.voted%'",
    )
    with pytest.raises(StoreError, match="was edited"):
        await small.live(small.claim(row.run))
    assert small.notebook.done == []


def answered(item: str, case: Case, **more: Any) -> Answer:
    """Return an approval of what an item shows."""
    body = {"decision": "approve", "score": 1.0, "note": "", "digest": case.digest, **more}
    return Answer(ItemId(item), "ada", datetime.now(UTC), body)


async def test_an_answer_counts_once_and_for_its_own_item(tmp_path: Path) -> None:
    """An approval cannot be given twice, nor for another step, nor for another run's step."""
    small = Small(tmp_path, notes("one", "two"))
    given: list[ItemId] = []

    class Desk(PersonAuditor):
        async def judge(self, case: Case, box: Forkable) -> Vote:
            async def answer() -> None:
                while not (waiting := items(tmp_path)):  # noqa: ASYNC110 - as a process would
                    await trio.sleep(0.1)
                (item,) = waiting
                with Store.open(tmp_path) as store:
                    for other in given:  # the first step's approval, once more
                        with pytest.raises(BadInput):
                            store.answer(answered(other, case))
                    with pytest.raises(BadInput):
                        store.answer(answered(f"{item}.no-such-item", case))
                    store.answer(answered(item, case))
                    with pytest.raises(BadInput):
                        store.answer(answered(item, case, decision="reject"))
                given.append(item)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer)
                return await PersonAuditor("ada", 600.0, small.desk).judge(case, box)

    small.auditors = [Desk("ada", 600.0, None)]  # type: ignore[arg-type]
    await small.live(small.new())
    assert small.notebook.done == [b"one", b"two"]
    assert len(set(given)) == 2
    again = Small(tmp_path, notes("one"), small.auditors)
    small.desk, before = again, len(given)  # type: ignore[assignment]

    async def live_again() -> None:
        again.watch = lambda record: setattr(small, "desk", again.desk)
        await again.live(again.new())

    await live_again()
    assert len(given) == before + 1
    assert not given[-1].startswith(given[0].split(".")[0]), "two runs share an item"


def items(home: Path) -> list[ItemId]:
    """Return the open questions."""
    with Store.open(home) as store:
        return [stored.item.id for stored in store.items()]


async def test_an_approval_of_another_case_is_none(tmp_path: Path) -> None:
    """Replayed with the digest of what was shown for the first step, a vote is unmeasured."""
    small = Small(tmp_path, notes("one", "two"))
    shown: list[Case] = []

    class Replays(PersonAuditor):
        async def judge(self, case: Case, box: Forkable) -> Vote:
            shown.append(case)

            async def answer() -> None:
                while not (waiting := items(tmp_path)):  # noqa: ASYNC110 - as a process would
                    await trio.sleep(0.1)
                with Store.open(tmp_path) as store:
                    store.answer(answered(waiting[0], shown[0]))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer)
                return await PersonAuditor("ada", 600.0, small.desk).judge(case, box)

    small.auditors = [Replays("ada", 600.0, None)]  # type: ignore[arg-type]
    await small.live(small.new())
    assert small.notebook.done == [b"one"]
    assert len(small.events("audit.unmeasured")) == 1
    assert [reward.segment for reward in small.events("reward.issued")] == [
        small.events("proposal.frozen")[0].segment
    ]


async def test_a_modified_payload_that_fails_the_check_is_not_used(tmp_path: Path) -> None:
    """Neither the modified bytes nor the original ones are carried out."""
    vote = Vote("set", "modify", 0.5, modified=b"bad")
    small = Small(tmp_path, notes("one"), [SetAuditor(vote)])
    await small.live(small.new())
    assert small.notebook.done == []
    (decided,) = small.events("gate.decided")
    assert (decided.verdict, decided.payload) == ("reject", None)


async def test_what_is_executed_is_what_was_shown(tmp_path: Path) -> None:
    """For each step: hash of the case, of the gate's decision, of the intent and of the bytes."""
    used: list[bytes] = []

    class Keeps(Notebook):
        async def execute(self, step: Step) -> Any:
            used.append(step.payload)
            return await super().execute(step)

    texts = ["plain", "‮txt", "a\0b", "x" * 70_000]
    auditor = SetAuditor(approve())
    small = Small(tmp_path, notes(*texts), [auditor], notebook=Keeps())
    await small.live(small.new())
    with Store.open(tmp_path) as store:
        sealer = Sealer(store.runs()[0].content_key)
    shown = [sealer.seal(case.proposal.payload).ref for case in auditor.cases]
    decided = [event.payload.ref for event in small.events("gate.decided")]
    intended = [event.payload.ref for event in small.events("step.started")]
    assert shown == decided == intended == [sealer.seal(one).ref for one in used]
    assert [one.decode() for one in used] == texts
