"""The store: one fenced operation that writes, and questions whose first answer counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from monastery.runtime.errors import BadInput, NotOwner, StoreError
from monastery.runtime.events import RunInterrupted
from monastery.runtime.journal import Journal, Record, Writer, decode
from monastery.runtime.owner import is_dead, this_process
from monastery.runtime.records import Answer, Item, ItemId, RunId
from monastery.runtime.rows import GENESIS, Append, Entry, PutItem, RunRow
from monastery.runtime.store import Store

RUN = RunId("run-1")
DEAD = "/".join((this_process().split("/")[0], "an-earlier-boot", "1", "1", "1"))


def _created(store: Store, run: RunId = RUN, owner: str | None = None) -> RunRow:
    return store.create_run(
        run,
        project="p",
        project_path=Path("/p.yaml"),
        owner=owner or this_process(),
        seed=bytes(32),
    )


def _append(row: RunRow, seq: int = 0, head: bytes = GENESIS, hash_: bytes = b"h" * 32) -> Append:
    return Append(row.run, row.owner or "", row.epoch, seq, head, [Entry(seq, hash_, b"{}")])


def test_an_append_must_know_the_last_event(tmp_path: Path) -> None:
    """Another number or another head hash is refused, and nothing of it is written."""
    with Store.open(tmp_path) as store:
        row = _created(store)
        assert store.append([_append(row)]) == [None]
        stale = store.append([_append(row), _append(row, seq=1), _append(row, 2, b"h" * 32)])
        assert all(isinstance(refusal, StoreError) for refusal in stale)
        assert store.run(RUN).seq == 1
        assert store.append([_append(row, 1, b"h" * 32)]) == [None]


def test_a_new_owner_fences_the_old_one_off(tmp_path: Path) -> None:
    """After a claim the former owner's appends are refused, though it knows the last event."""
    with Store.open(tmp_path) as store:
        old = _created(store, owner=DEAD)
        new = store.claim(RUN, this_process())
        (refusal,) = store.append([_append(old)])
        assert isinstance(refusal, NotOwner)
        assert store.append([_append(new)]) == [None]


def test_a_run_with_a_living_owner_cannot_be_claimed(tmp_path: Path) -> None:
    """Two runtimes cannot live one run; the message names who does."""
    with Store.open(tmp_path) as store:
        _created(store)
        with pytest.raises(BadInput, match="being run by another process"):
            store.claim(RUN, "someone:2:3")


def test_a_run_that_is_over_cannot_be_claimed(tmp_path: Path) -> None:
    """What is done or failed stays so."""
    with Store.open(tmp_path) as store:
        _created(store, owner=DEAD)
        store._db.execute("UPDATE runs SET status = 'done'")
        with pytest.raises(BadInput, match="is over"):
            store.claim(RUN, this_process())


def test_a_run_whose_runtime_died_shows_as_interrupted(tmp_path: Path) -> None:
    """Nobody had the time to say so; its owner's absence does."""
    with Store.open(tmp_path) as store:
        assert _created(store, owner=DEAD).status == "interrupted"


def test_this_process_is_alive_and_another_time_of_its_number_is_not() -> None:
    """A number used again is not its former owner; what cannot be judged from here is alive."""
    machine, boot, namespace, pid, start = this_process().split("/")
    assert not is_dead(this_process())
    assert is_dead(f"{machine}/{boot}/{namespace}/{pid}/{int(start) + 1}")
    assert is_dead(f"{machine}/{boot}/{namespace}/4194304/{start}")
    assert is_dead(f"{machine}/another-boot/{namespace}/{pid}/{start}")
    assert not is_dead(f"elsewhere/{boot}/{namespace}/{pid}/1")
    assert not is_dead(f"{machine}/{boot}/1/{pid}/1")
    assert not is_dead("")


def test_a_batch_is_written_for_all_that_are_not_refused(tmp_path: Path) -> None:
    """One stale append of a group commit does not take the others with it."""
    with Store.open(tmp_path) as store:
        row, other = _created(store), _created(store, RunId("run-2"))
        refusals = store.append([_append(row), _append(other, seq=5), _append(other)])
        assert [refusal is None for refusal in refusals] == [True, False, True]


def _item(minutes: float = 5) -> Item:
    now = datetime.now(UTC)
    return Item(ItemId("run-1.1.audit"), RUN, "audit", now, now + timedelta(minutes=minutes), {})


def _posted(store: Store, item: Item) -> None:
    row = _created(store)
    assert store.append([replace(_append(row), changes=[PutItem(item)])]) == [None]


def test_the_first_answer_counts_and_the_second_is_told_so(tmp_path: Path) -> None:
    """Two auditors race: one is heard, the other gets one clear line."""
    with Store.open(tmp_path) as store:
        _posted(store, _item())
        store.answer(Answer(_item().id, "ada", datetime.now(UTC), {"score": 1}))
        with pytest.raises(BadInput, match="answered by 'ada' already"):
            store.answer(Answer(_item().id, "bob", datetime.now(UTC), {"score": 0}))
        answer = store.answered(_item().id)
        assert answer is not None
        assert (answer.by, answer.body) == ("ada", {"score": 1})


def test_an_answer_after_the_deadline_is_refused(tmp_path: Path) -> None:
    """Late is late, even while the run has not noticed."""
    with Store.open(tmp_path) as store:
        _posted(store, _item(minutes=-1))
        with pytest.raises(BadInput, match="expired at"):
            store.answer(Answer(_item().id, "ada", datetime.now(UTC), {}))


def test_unknown_runs_items_and_blobs_are_named(tmp_path: Path) -> None:
    """Each error names what was asked for."""
    with Store.open(tmp_path) as store:
        with pytest.raises(BadInput, match="'nope'"):
            store.run("nope")
        with pytest.raises(BadInput, match="'nope'"):
            store.item("nope")
        with pytest.raises(StoreError, match="abc"):
            store.blob("abc")


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    """A newer program's journal is not touched."""
    with Store.open(tmp_path) as store:
        store._db.pragma("user_version", 99)
    with pytest.raises(StoreError, match="version 99"):
        Store.open(tmp_path)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """One line says which file cannot be opened."""
    (tmp_path / "monastery.sqlite3").write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(StoreError, match=r"monastery\.sqlite3"):
        Store.open(tmp_path)


async def test_concurrent_appends_are_grouped_and_stay_one_chain(tmp_path: Path) -> None:
    """Many tasks append at once; every event is there once, in one unbroken chain."""
    told: list[Record] = []
    with Store.open(tmp_path) as writing, Store.open(tmp_path) as reading:
        rows = [_created(writing, RunId(f"run-{n}")) for n in range(4)]
        writer = Writer(writing, trio.to_thread.run_sync)
        journals = [Journal(row, writer, told.append) for row in rows]
        async with trio.open_nursery() as nursery:
            for journal in journals * 25:
                nursery.start_soon(journal.append, RunInterrupted(reason="test"))
        for row in rows:
            entries = list(reading.entries(row.run))
            assert [decode(entry).seq for entry in entries] == list(range(25))
            assert reading.run(row.run).head == entries[-1].hash
    assert len(told) == 100


async def test_a_failed_commit_reaches_every_caller(tmp_path: Path) -> None:
    """When the database refuses, whoever waited gets the error, and the writer lives on."""
    with Store.open(tmp_path) as writing:
        row = _created(writing)
        journal = Journal(row, Writer(writing, trio.to_thread.run_sync), lambda record: None)
        writing._db.execute("ALTER TABLE events RENAME TO elsewhere")
        with pytest.raises(StoreError, match="cannot write the journal"):
            await journal.append(RunInterrupted(reason="lost"))
        writing._db.execute("ALTER TABLE elsewhere RENAME TO events")
        await journal.append(RunInterrupted(reason="kept"))
        assert [entry.seq for entry in writing.entries(row.run)] == [0]
