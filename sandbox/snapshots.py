"""Snapshots: copies of work folders beside the journals, for when an engine has lost a volume.

One is taken now and then while a box is frozen at the end of a step. A run whose volume is gone is
rebuilt from its newest: its agent finds older files than its history tells of, and is started with
that history. A snapshot counts from its last rename on, so a crash leaves none that is half there.
"""

import os
import shutil
from functools import partial
from pathlib import Path

import structlog
import trio

from monastery.runtime.errors import BoxError
from monastery.runtime.records import RunId
from monastery.sandbox.work import Work

log = structlog.get_logger()

FOLDER = "snapshots"
_UNFINISHED = "unfinished"


class Snapshots:
    """The snapshots of the runs of one home.

    Args:
        home: Where their journals are kept; None keeps none.
    """

    def __init__(self, home: Path | None) -> None:
        self._home = home

    def newest(self, run: RunId) -> Path | None:
        """Return the folder of a run's newest snapshot."""
        folder = self._of(run)
        if folder is None or not folder.is_dir():
            return None
        kept = [path for path in folder.iterdir() if path.name.isdecimal()]
        return max(kept, key=lambda path: int(path.name), default=None)

    async def keep(self, run: RunId, work: Work) -> None:
        """Copy a frozen work folder; when that fails the run goes on without, and it is logged."""
        folder = self._of(run)
        if folder is None:
            return
        before = self.newest(run)
        number = 1 if before is None else int(before.name) + 1
        unfinished = folder / _UNFINISHED
        started = trio.current_time()
        try:
            await _remove(unfinished)
            unfinished.mkdir(parents=True, mode=0o700)
            await work.save(unfinished)
            await trio.to_thread.run_sync(os.sync)
            unfinished.rename(folder / str(number))
            if before is not None:
                await _remove(before)
        except (OSError, BoxError) as exc:
            log.warning("snapshot.failed", run=run, reason=str(exc))
        else:
            log.info("snapshot.kept", run=run, seconds=round(trio.current_time() - started, 3))

    async def forget(self, run: RunId) -> None:
        """Remove what is kept of a run."""
        folder = self._of(run)
        if folder is not None:
            await _remove(folder)

    def _of(self, run: RunId) -> Path | None:
        return None if self._home is None else self._home / FOLDER / run


async def _remove(folder: Path) -> None:
    await trio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
