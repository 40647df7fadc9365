"""Faults of the store, on the real thing: one line, and nothing acknowledged is lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monastery.runtime.errors import StoreError
from monastery.runtime.journal import Record, decode
from monastery.runtime.records import Outcome, RunId, Step
from monastery.runtime.runner import cause
from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from tests.runtime.world import Notebook, SetAuditor, Small, approve, notes

pytestmark = pytest.mark.virtual
TEXTS = tuple(f"note {number}" for number in range(4))


class Looking(Notebook):
    """A notebook that can look."""

    async def reconcile(self, step: Step) -> Outcome | None:
        """Look; do it if it is not there."""
        return Outcome("done") if step.payload in self.done else await self.execute(step)


@contextmanager
def mounted(at: Path, *words: str) -> Iterator[Path]:
    """Mount a file system for the block; skip where this process may not."""
    at.mkdir()
    tried = subprocess.run(["mount", *words, str(at)], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"may not mount here: {tried.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def world(home: Path) -> Small:
    """Return a world of a few audited notes, with payloads that take some room."""
    return Small(home, notes(*TEXTS), [SetAuditor(approve())], notebook=Looking())


async def broken(small: Small) -> tuple[RunId, str]:
    """Live a new run until the store breaks; return its name and the one line of it."""
    row = small.new()
    with pytest.raises((StoreError, BaseExceptionGroup)) as caught:
        await small.live(row)
    error = cause(caught.value)
    assert isinstance(error, StoreError), error
    assert "\n" not in str(error)
    return row.run, str(error)


async def goes_on(small: Small, run: RunId, told: list[Record]) -> None:
    """See that every acknowledged event is there, and live the run to its end."""
    with Store.open(small.home) as store:
        kept = [decode(entry) for entry in store.entries(run)]
    assert kept[: len(told)] == told
    again = world(small.home)
    again.notebook.done = small.notebook.done
    again.sandbox = small.sandbox
    ending = await again.live(again.claim(run))
    assert ending.success
    assert again.notebook.done == [text.encode() for text in TEXTS]
    with Store.open(small.home) as store:
        assert [one for one in verify(store, run) if one.verdict is False] == []


def fill(path: Path, leave: int) -> None:
    """Fill a file system up to so many bytes."""
    state = os.statvfs(path.parent)
    path.write_bytes(b"x" * max(0, state.f_bavail * state.f_bsize - leave))


@pytest.mark.parametrize("pages", range(0, 24, 3))
async def test_a_full_disk_loses_nothing(tmp_path: Path, pages: int) -> None:
    """The disk fills up under a different write each time; once there is room the run goes on."""
    with mounted(tmp_path / "home", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as home:
        small = world(home)
        filler = home / "filler"

        def watch(record: Record) -> None:
            if record.event.type == "segment.started" and not filler.exists():
                fill(filler, pages * 4096)

        small.watch = watch
        run, line = await broken(small)
        assert "the disk is full; make room" in line or "cannot note a checkpoint" in line
        told = list(small.told)
        filler.unlink()
        await goes_on(small, run, told)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small ext4 file system in a file."""
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(16 << 20)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs mkfs.ext4")
    subprocess.run(["mkfs.ext4", "-q", str(path)], check=True)
    return path


async def test_a_file_system_that_turns_read_only_loses_nothing(
    tmp_path: Path, image: Path
) -> None:
    """ext4 aborts, as after a disk error, with the database open; mounted anew, the run goes on."""
    small = world(tmp_path / "home")
    with mounted(small.home, "-o", "loop", str(image)):

        def watch(record: Record) -> None:
            if record.event.type == "step.started":
                subprocess.run(["mount", "-o", "remount,abort", str(small.home)], check=False)

        small.watch = watch
        run, line = await broken(small)
        assert "cannot write the journal" in line
        assert "read-only" in line or "disk I/O error" in line
        told = list(small.told)
    small.home.rmdir()
    with mounted(small.home, "-o", "loop", str(image)):
        await goes_on(small, run, told)


HOLD = """
import sys, apsw
db = apsw.Connection(sys.argv[1])
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_database_that_is_locked_for_long_loses_nothing(tmp_path: Path) -> None:
    """Another program holds it past the time that we wait (10 s); let go, the run goes on."""
    small = world(tmp_path)
    holders: list[subprocess.Popen[bytes]] = []

    def watch(record: Record) -> None:
        if record.event.type == "step.started":
            holder = subprocess.Popen(
                [sys.executable, "-c", HOLD, str(tmp_path / "monastery.sqlite3")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            holders.append(holder)
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"

    small.watch = watch
    run, line = await broken(small)
    assert "another program holds its lock for longer than 10 s" in line
    assert len(holders) == 1
    holders[0].communicate()
    await goes_on(small, run, list(small.told))
