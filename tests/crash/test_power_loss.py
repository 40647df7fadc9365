"""Power loss: whatever a cut leaves on the disk, what was acknowledged is there, in order."""

import json
import os
import random
import tempfile
from pathlib import Path

import trio

from monastery.runtime.errors import BadInput, StoreError
from monastery.runtime.events import RunInterrupted
from monastery.runtime.journal import Journal, Record, Writer, check_chain
from monastery.runtime.owner import this_process
from monastery.runtime.records import RunId
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store
from tests.crash.power import Acknowledged, Deed, Disk, recorded
from tests.simulation.clockwork import hop

RUN = RunId("power-1")
APPENDS = 60
CUTS = int(os.environ.get("POWER_CUTS", "500"))


def _written(folder: Path, *, synchronous: str | None = None) -> list[Deed]:
    """Append to a journal as a runtime does; return what the disk was asked to do."""
    chance = random.Random(1)

    async def write(store: Store, row: RunRow, deeds: list[Deed]) -> None:
        def told(record: Record) -> None:
            deeds.append(Acknowledged(record.seq))

        journal = Journal(row, Writer(store, hop), told)
        for number in range(APPENDS):
            blob = chance.randbytes(chance.choice([10, 500, 9000]))
            event = RunInterrupted(reason=f"{number} {journal.ref(blob).ref}")
            await journal.append(event, blobs=[blob])

    with recorded() as deeds, Store.open(folder) as store:
        db = store._db
        assert (db.pragma("journal_mode"), db.pragma("synchronous")) == ("wal", 2)
        if synchronous is not None:
            db.pragma("synchronous", synchronous)
        db.pragma("wal_autocheckpoint", 60)  # so that a small journal has many of them
        row = store.create_run(
            RUN, project="p", project_path=folder, owner=this_process(), seed=bytes(32)
        )
        trio.run(write, store, row, deeds)
    return list(deeds)


def _losses(deeds: list[Deed], cuts: int) -> tuple[int, int]:
    """Cut at random deeds; return how many cuts there were, and how many lost something."""
    chance, disk = random.Random(2), Disk()
    made = losses = 0
    each = -(-cuts // len(deeds))
    for deed in deeds:
        disk.take(deed)
        if disk.acknowledged < 0:
            continue
        for _ in range(each):
            made += 1
            losses += _lost(disk.cut(chance), disk.acknowledged)
    return made, losses


def _lost(files: dict[str, bytes], acknowledged: int) -> bool:
    """Whether a store that opens what a cut left lacks an acknowledged event, or its order."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        try:
            with Store.open(Path(folder)) as store:
                row = store.run(RUN)
                check_chain(store, row)
                for entry in store.entries(RUN):
                    store.blob(json.loads(entry.body)["event"]["reason"].split()[1])
                return row.seq <= acknowledged
        except (StoreError, BadInput):  # it cannot be read, or the whole run is gone
            return True


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """A power cut after any write, with unsynced writes missing, torn, reordered, loses nothing."""
    made, losses = _losses(_written(tmp_path), CUTS)
    print(f"{made} power cuts, {losses} lost something")
    assert made >= CUTS * 9 // 10
    assert losses == 0


def test_without_a_sync_for_each_commit_events_are_lost(tmp_path: Path) -> None:
    """With synchronous=NORMAL the same cuts lose acknowledged events, and this test sees it."""
    made, losses = _losses(_written(tmp_path, synchronous="NORMAL"), 500)
    print(f"{made} power cuts, {losses} lost something")
    assert losses > made / 20
