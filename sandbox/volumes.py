"""The volumes of a run: its work folder, which outlives its containers, and those of its forks."""

import contextlib
import os
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from monastery.runtime.errors import BoxError
from monastery.runtime.owner import this_process
from monastery.runtime.records import RunId
from monastery.sandbox import disk
from monastery.sandbox.engine import OWNER_LABEL, PURPOSE_LABEL, RUN_LABEL, Engine

AGENT = (1000, 1000)
"""The user and the group that everything in a box runs as."""

CLEANUP_SECONDS = 30.0


@dataclass(frozen=True)
class Volume:
    """A volume while a box is open on it.

    Attributes:
        folder: Where it lies on this machine; None when we cannot work on it from here.
        owner: The agent's user and group, as they are known outside the box.
        bounded: Whether it has a file system of its own, and can hold no more than that.
        ready: Set when it was filled to the end, once.
        in_use: Set when the box on it lives on without us.
    """

    name: str
    folder: Path | None
    owner: tuple[int, int]
    bounded: bool
    ready: trio.Event = field(default_factory=trio.Event)
    in_use: trio.Event = field(default_factory=trio.Event)


class Volumes:
    """Finds, makes and removes the volumes of one engine.

    Args:
        info: What the engine says of itself.
        local: Whether to work on the volumes' folders where we can.
    """

    def __init__(self, engine: Engine, info: Mapping[str, Any], *, local: bool) -> None:
        self._engine = engine
        self._owner = _owner(info) if local else None
        self._bounds = local and disk.why_not(info) is None

    @asynccontextmanager
    async def kept(self, run: RunId, *, limit_bytes: int) -> AsyncIterator[Volume]:
        """Find or make the run's volume.

        That it was filled is known by a second, empty volume beside it: what an earlier runtime
        began to fill and did not finish is no work folder, and starts anew.
        """
        name, is_ready = _name(run, "work"), False
        found = await self._engine.volume(name)
        if found is not None:
            is_ready = await self.is_ready(run)
            if not is_ready:
                await remove(self._engine, found)
                found = None
        if found is None:
            found = await self._engine.create_volume(name, {RUN_LABEL: run})
        volume = None
        try:
            volume = await self._mounted(found, limit_bytes, new=not is_ready)
            if is_ready:
                volume.ready.set()
            yield volume
        finally:
            with trio.move_on_after(CLEANUP_SECONDS, shield=True):
                if volume is None or not volume.ready.is_set():
                    await remove(self._engine, found)
                elif not volume.in_use.is_set():
                    await _unmount(found)

    async def found(self, run: RunId) -> Volume | None:
        """Return the run's volume as it is, which is neither mounted nor changed; None for none."""
        found = await self._engine.volume(_name(run, "work"))
        if found is None or not await self.is_ready(run):
            return None
        folder, here = Path(found["Mountpoint"]), self._owner is not None and _is_here(found)
        bounded = here and self._bounds and disk.is_made(folder)
        return Volume(found["Name"], folder if here else None, self._owner or AGENT, bounded)

    async def is_ready(self, run: RunId) -> bool:
        """Whether the run's volume was filled to the end."""
        return await self._engine.volume(_name(run, "ready")) is not None

    async def mark_ready(self, run: RunId, volume: Volume) -> None:
        """Record that the run's volume was filled."""
        if not volume.ready.is_set():
            await self._engine.create_volume(_name(run, "ready"), {RUN_LABEL: run})
            volume.ready.set()

    @asynccontextmanager
    async def of_fork(
        self, run: RunId, *, limit_bytes: int, disk_of: Path | None = None
    ) -> AsyncIterator[Volume]:
        """Make a volume that is there as long as a fork of the run's box.

        Args:
            run: Whose it is.
            limit_bytes: How much it may hold.
            disk_of: The folder of a volume whose file system, which nobody has mounted, it begins
                with; else it is empty.
        """
        labels = {RUN_LABEL: run, OWNER_LABEL: this_process(), PURPOSE_LABEL: "fork"}
        name = _name(run, f"fork-{uuid.uuid4().hex[:12]}")
        made = await self._engine.create_volume(name, labels)
        try:
            if disk_of is not None:
                await disk.copy(disk_of, Path(made["Mountpoint"]))
            yield await self._mounted(made, limit_bytes, new=True)
        finally:
            with trio.move_on_after(CLEANUP_SECONDS, shield=True):
                await remove(self._engine, made)

    async def _mounted(self, found: Mapping[str, Any], limit_bytes: int, *, new: bool) -> Volume:
        """Give a volume a file system of its own, where it can have one."""
        folder, owner = Path(found["Mountpoint"]), self._owner
        if owner is None or not _is_here(found):
            return Volume(found["Name"], None, AGENT, bounded=False)
        bounded = self._bounds and (new or disk.is_made(folder))
        if bounded:
            await disk.mount(folder, limit_bytes=limit_bytes, owner=owner)
        return Volume(found["Name"], folder, owner, bounded)


async def remove(engine: Engine, found: Mapping[str, Any]) -> None:
    """Remove a volume, and the file system that it may have."""
    await _unmount(found)
    await engine.remove_volume(found["Name"])


async def unmount_idle(engine: Engine, run: str) -> None:
    """Unmount the work folder of a run whose box is gone; something may still look into it."""
    found = await engine.volume(_name(run, "work"))
    if found is not None:
        with contextlib.suppress(BoxError):
            await _unmount(found)


async def _unmount(found: Mapping[str, Any]) -> None:
    if os.geteuid() == 0:
        await disk.unmount(Path(found["Mountpoint"]))


def _is_here(found: Mapping[str, Any]) -> bool:
    return found.get("Driver") == "local" and Path(found["Mountpoint"]).is_dir()


def _owner(info: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the agent's user and group outside the box; None where volumes are not ours to touch.

    An engine that maps users (userns-remap) names its folder after the first user that it maps to.
    """
    root = info.get("DockerRootDir")
    options = str(info.get("SecurityOptions"))
    if os.geteuid() != 0 or root is None or "name=rootless" in options:
        return None
    if "name=userns" not in options:
        return AGENT
    mapped = re.fullmatch(r"(\d+)\.(\d+)", Path(root).name)
    return (int(mapped[1]) + AGENT[0], int(mapped[2]) + AGENT[1]) if mapped else None


def _name(run: str, what: str) -> str:
    """Name a run's volume; the engine allows few characters in names."""
    return f"monastery-{re.sub('[^a-zA-Z0-9_.-]', '_', run)}-{what}"
