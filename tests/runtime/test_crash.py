"""Crashes: from a copy of the home as it was after each durable append, the run goes on."""

from pathlib import Path
from typing import Any

import apsw
import pytest

from monastery.runtime.journal import Record
from monastery.runtime.records import Outcome, Step
from monastery.runtime.store import Store
from monastery.runtime.story import tell
from monastery.runtime.verify import verify
from tests.runtime.world import Notebook, SetAuditor, Small, approve, notes

pytestmark = pytest.mark.virtual


class Looking(Notebook):
    """A notebook that can look: what it finds written down was done, what is not there is done."""

    async def reconcile(self, step: Step) -> Outcome | None:
        """Look."""
        return Outcome("done") if step.payload in self.done else await self.execute(step)


def _copy(home: Path, to: Path) -> None:
    """Copy the database as a crash would leave it: what is committed, and nothing else."""
    to.mkdir()
    with (
        apsw.Connection(str(home / "monastery.sqlite3")) as source,
        apsw.Connection(str(to / "monastery.sqlite3")) as target,
        target.backup("main", source, "main") as backup,
    ):
        backup.step()


@pytest.mark.parametrize("mode", ["blocking", "deferred"])
async def test_a_run_goes_on_after_a_crash_at_any_durable_moment(tmp_path: Path, mode: str) -> None:
    """Every event once, every note once, every audit rewarded once, and the record verifies."""
    texts = ("a", "b", "c")

    def world(home: Path) -> Small:
        auditor = SetAuditor(approve())
        return Small(
            home, notes(*texts), [auditor], rate=0.5, audit={"mode": mode}, notebook=Looking()
        )

    first = world(tmp_path / "first")
    row = first.new()
    crashes: list[tuple[Path, list[bytes], dict[str, bytes]]] = []

    def crash(record: Record) -> None:
        home = tmp_path / f"crash-{record.seq}"
        _copy(first.home, home)
        files = first.sandbox.works.get(row.run, {})
        crashes.append((home, list(first.notebook.done), dict(files)))

    first.watch = crash
    await first.live(row)
    assert len(crashes) == len(first.told)
    for home, done, files in crashes[:-2]:  # at the last two the run is over
        again = world(home)
        again.notebook.done = done
        again.sandbox.works[row.run] = files
        ending = await again.live(again.claim(row.run))
        assert ending.success, home
        assert again.notebook.done == [b"a", b"b", b"c"], home
        with Store.open(home) as store:
            assert _different_rewards(store, row.run), home
            wrong = [one for one in verify(store, row.run) if one.verdict is False]
        assert wrong == [], home


def _different_rewards(store: Store, run: Any) -> bool:
    """Every segment whose draw fell on it has its reward, and no other has one."""
    return all(
        (told.reward is not None) == (told.drawn is not None and told.drawn.audited)
        for told in tell(store, run).segments
    )


async def test_a_step_that_was_started_is_not_started_again(tmp_path: Path) -> None:
    """After a crash between intent and outcome the executor looks; the effect stands once."""
    first = Small(tmp_path / "first", notes("a"), rate=0.0, notebook=Looking())
    row = first.new()

    def crash(record: Record) -> None:
        if record.event.type == "step.completed":
            _copy(first.home, tmp_path / "too-late")
        if record.event.type == "step.started":
            _copy(first.home, tmp_path / "crash")

    first.watch = crash
    await first.live(row)
    again = Small(tmp_path / "crash", notes("a"), rate=0.0, notebook=Looking())
    again.notebook.done = [b"a"]
    again.sandbox.works[row.run] = {}
    await again.live(again.claim(row.run))
    assert again.notebook.done == [b"a"]
    assert [event.how for event in again.events("step.completed")] == ["reconciled"]
