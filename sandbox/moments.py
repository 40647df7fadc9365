"""Moments: a box's work folder as its last segment began with it, kept for rollouts.

There is one at a time. It counts from its rename on, so a crash leaves none that is half there; and
only in the boot of the machine in which it was made, because it is not flushed to the disk: that
would take longer than the copy. Where it could not be made, an empty folder says so, lest a copy of
a later state is taken for it.
"""

import shutil
from functools import partial
from pathlib import Path

import structlog
import trio

from monastery.runtime.errors import BoxDied, BoxError
from monastery.sandbox.work import Work

log = structlog.get_logger()

FOLDER = "moments"
_UNFINISHED = "unfinished"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Moments:
    """The moments of one run.

    Args:
        folder: Where they are kept; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, work: Work, moment: str) -> None:
        """Copy a work folder in which nothing moves; one of this name stays as it is."""
        kept = self._path(moment)
        if kept.is_dir():
            return
        unfinished, started = self._folder / _UNFINISHED, trio.current_time()
        await self.forget()
        try:
            unfinished.mkdir(parents=True, mode=0o700)
            await work.save(unfinished)
        except (OSError, BoxError) as exc:
            log.warning("moment.failed", moment=moment, reason=str(exc))
            await _remove(unfinished)
            kept.mkdir(parents=True, mode=0o700)
        else:
            unfinished.rename(kept)
            log.info("moment.kept", moment=moment, seconds=trio.current_time() - started)

    def find(self, moment: str) -> Path:
        """Return the folder of a copy.

        Raises:
            BoxDied: There is none.
        """
        kept = self._path(moment)
        if not kept.is_dir() or not any(kept.iterdir()):
            raise BoxDied("there is no copy of the work folder as its segment began with it")
        return kept

    async def forget(self) -> None:
        """Remove what is kept."""
        await _remove(self._folder)

    def _path(self, moment: str) -> Path:
        return self._folder / f"{moment}@{_BOOT.read_text().strip()}"


async def _remove(folder: Path) -> None:
    await trio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
