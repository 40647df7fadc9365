"""What a copy of a run's box is made of, when another process has the run, or none has.

A box that is there is copied from its work folder. A closed one left that folder as a volume; its
file system is mounted by nobody, and must not be by us, whose mount the run would take for its own:
it is copied as a file. Where the volume is lost the newest snapshot is what there is.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monastery.runtime.errors import BoxError
from monastery.runtime.owner import this_process
from monastery.runtime.records import BoxSpec, RunId
from monastery.sandbox import disk
from monastery.sandbox.engine import OWNER_LABEL, PURPOSE_LABEL, RUN_LABEL, Engine
from monastery.sandbox.hardening import container_config
from monastery.sandbox.volumes import Volume, Volumes
from monastery.sandbox.work import ArchiveWork, LocalWork, Work


@dataclass(frozen=True)
class Source:
    """What is copied.

    Attributes:
        disk: The folder whose file system is copied as a file; then there is nothing to fill.
        work: The work folder that is copied; None where there is a disk, or a snapshot.
    """

    of: Literal["box", "folder", "snapshot"]
    disk: Path | None = None
    work: Work | None = None
    snapshot: Path | None = None

    async def fill(self, empty: Work) -> None:
        """Fill the copy's work folder, if it is not filled."""
        if self.work is not None:
            await empty.copy_from(self.work)
        elif self.snapshot is not None:
            await empty.restore(self.snapshot)


@asynccontextmanager
async def source(
    engine: Engine, volumes: Volumes, snapshot: Path | None, run: RunId, spec: BoxSpec
) -> AsyncIterator[Source]:
    """Find what a copy of a run's box is made of.

    Raises:
        BoxError: There is nothing.
    """
    box = await _box(engine, run)
    volume = await volumes.found(run)
    limit_bytes = spec.limits.disk_bytes
    if volume is None:
        if snapshot is None:
            raise BoxError(f"run {run!r} has no box, no work folder and no snapshot")
        yield Source("snapshot", snapshot=snapshot)
    elif volume.folder is not None:
        of: Literal["box", "folder"] = "folder" if box is None else "box"
        if volume.bounded and not disk.is_mounted(volume.folder):
            if box is not None:  # it has it mounted, out of our sight: the file would be half of it
                raise BoxError("the files of its living box cannot be reached from this machine")
            yield Source("folder", disk=volume.folder)
        else:
            work = LocalWork(volume.folder, owner=volume.owner, limit_bytes=limit_bytes)
            yield Source(of, work=work)
    elif box is not None:
        yield Source("box", work=ArchiveWork(engine, box, {}, limit_bytes=limit_bytes))
    else:
        reader = await _reader(engine, volume, run, spec)
        try:
            yield Source("folder", work=ArchiveWork(engine, reader, {}, limit_bytes=limit_bytes))
        finally:
            await engine.remove(reader)


async def _box(engine: Engine, run: RunId) -> str | None:
    """Return the run's living container in which the agent's files are, if there is one."""
    for found in await engine.containers(f"{RUN_LABEL}={run}"):
        lives = found["State"] in ("running", "paused")
        if lives and found["Labels"].get(PURPOSE_LABEL) == "box":
            return str(found["Id"])
    return None


async def _reader(engine: Engine, volume: Volume, run: RunId, spec: BoxSpec) -> str:
    """Make a container, never started, through which the engine lets a volume be read."""
    labels = {RUN_LABEL: run, OWNER_LABEL: this_process(), PURPOSE_LABEL: "fork"}
    return await engine.create(container_config(spec, argv=(), volume=volume.name, labels=labels))
