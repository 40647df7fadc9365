"""Containers with a guest in them: made, or found alive and joined, and removed at the end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import structlog
import trio

from monastery.runtime.errors import BoxDied, BoxError, BoxLost, ImageUnfit, Unfit
from monastery.runtime.owner import this_process
from monastery.runtime.ports import WORK
from monastery.runtime.records import BoxLimits, BoxSpec, RunId
from monastery.sandbox import disk
from monastery.sandbox.engine import HOME_LABEL, OWNER_LABEL, PURPOSE_LABEL, RUN_LABEL, Engine
from monastery.sandbox.freezer import EnginePause, Freezer, find_freezer
from monastery.sandbox.hardening import ENVIRONMENT, RUN_FOLDER, container_config
from monastery.sandbox.link import GATEWAY_PORT, GuestLink, boot
from monastery.sandbox.nursery import background
from monastery.sandbox.seal import Seals
from monastery.sandbox.stream import AttachedStream
from monastery.sandbox.volumes import CLEANUP_SECONDS, Volume
from monastery.sandbox.work import ArchiveWork, LocalWork, Work

log = structlog.get_logger()

Purpose = Literal["box", "rollout", "fork"]
Prepare = Callable[[Work], Awaitable[None]]


@dataclass(frozen=True)
class Running:
    """A running container with a guest in it."""

    container: str
    pid: int
    engine_runtime: str
    link: GuestLink
    freezer: Freezer
    work: Work


@dataclass
class _Held:
    """What is known of a container by the time that it is to be removed."""

    freezer: Freezer | None = None
    link: GuestLink | None = None


class Containers:
    """Makes, joins and removes the containers of one engine.

    Args:
        boot_seconds: How long a guest may take to say hello.
        local: Whether files and freezers of an engine on this machine are used directly.
        home: Where the journals of their runs are kept. Boxes that have one may outlive their
            runtime, stopped, until another one joins them.
    """

    def __init__(
        self, engine: Engine, *, boot_seconds: float, local: bool, home: Path | None
    ) -> None:
        self._engine = engine
        self._boot_seconds = boot_seconds
        self._local = local
        self._home = home

    @asynccontextmanager
    async def made(
        self,
        run: RunId,
        spec: BoxSpec,
        volume: Volume,
        purpose: Purpose,
        prepare: Prepare,
        *,
        sealed: bool,
    ) -> AsyncIterator[Running]:
        """Make a container, prepare its files, and start the guest.

        Args:
            run: Whose it is.
            spec: What it is made of.
            volume: Its work folder.
            purpose: Whether an agent thinks in it, whose steps may be carried out, or whose
                proposal is compared with another; in a fork none does.
            prepare: Fills its work folder.
            sealed: Whether the guest's lines are sealed. Such a box ends with its runtime, which
                alone knows the key.

        Raises:
            ImageUnfit: No guest comes up in this image.
            Unfit: The engine does not see what bounds the work folder.
        """
        calls, seals = purpose != "fork", Seals() if sealed else None
        stays = purpose == "box" and not sealed and self._home is not None
        boots = boot(
            spec.limits,
            work=WORK,
            run=RUN_FOLDER,
            init=True,
            calls=calls,
            env=ENVIRONMENT,
            alone_seconds=spec.limits.alone_seconds if stays else 0.0,
            seals=seals,
            port=GATEWAY_PORT if calls and (spec.gateway or spec.web) else None,
            model=calls and spec.gateway,
            web=calls and spec.web,
            steps=spec.steps,
        )
        labels = {RUN_LABEL: run, OWNER_LABEL: this_process(), PURPOSE_LABEL: purpose}
        config = container_config(
            spec,
            argv=boots.argv,
            volume=volume.name,
            labels={**labels, HOME_LABEL: str(self._home)} if stays else labels,
            image_volumes=await self._engine.image_volumes(spec.image),
            stays=stays,
        )
        container = await self._engine.create(config)
        async with self._removed(container, volume) as held:
            work = self._work(volume, container, config, spec.limits)
            await prepare(work)
            attached = self._attached(container, spec, held, calls=calls, beats=stays, seals=seals)
            async with attached as (link, nursery):
                await self._engine.start(container)
                await self._boot(link, nursery, boots.sent, spec)
                _check_bound(volume, link.room_bytes)
                yield await self._running(container, held, link, work)

    async def living(self, run: RunId) -> str | None:
        """Return the run's container whose guest can be joined, and remove the others.

        An engine attaches to no container that it has paused itself, and to unpause it first would
        let the agent run while its step is judged: that box is made anew from its files.
        """
        alive = None
        for found in await self._engine.containers(f"{RUN_LABEL}={run}"):
            if found["Labels"].get(PURPOSE_LABEL) == "box":
                if found["State"] == "running" and HOME_LABEL in found["Labels"]:
                    alive = str(found["Id"])
                else:
                    await self._engine.remove(found["Id"])
        return alive

    @asynccontextmanager
    async def joined(self, container: str, spec: BoxSpec, volume: Volume) -> AsyncIterator[Running]:
        """Join the guest of a living container; it is frozen, and has not been greeted yet."""
        async with self._removed(container, volume) as held:
            work = self._work(volume, container, {}, spec.limits)
            pid, _ = await self._process(container)
            held.freezer = self._freezer(pid, container)
            async with self._attached(container, spec, held, calls=True, beats=True) as (
                link,
                nursery,
            ):
                await held.freezer.freeze()
                link.frozen = True
                await link.join(nursery)
                yield await self._running(container, held, link, work)

    @asynccontextmanager
    async def _removed(self, container: str, volume: Volume) -> AsyncIterator[_Held]:
        """Remove a container at the end, unless only the way to it was lost."""
        held = _Held()
        try:
            yield held
        finally:
            if self._home is not None and held.link is not None and held.link.is_lost:
                volume.in_use.set()
                log.warning("box.lost", box=container)
            else:
                await self._remove(container, held.freezer)

    async def _remove(self, container: str, freezer: Freezer | None) -> None:
        with trio.CancelScope(shield=True) as scope:
            scope.deadline = trio.current_time() + CLEANUP_SECONDS
            try:
                if freezer is not None:
                    await freezer.end()
            finally:
                await self._engine.remove(container)
        if scope.cancelled_caught:
            log.error("box.removal_expired", box=container, limit_seconds=CLEANUP_SECONDS)

    @asynccontextmanager
    async def _attached(
        self,
        container: str,
        spec: BoxSpec,
        held: _Held,
        *,
        calls: bool,
        beats: bool,
        seals: Seals | None = None,
    ) -> AsyncIterator[tuple[GuestLink, trio.Nursery]]:
        """Attach to a container, with a link and a nursery for its tasks."""
        stream = await self._engine.attach(container)
        try:
            async with background() as nursery:
                why_ended = partial(self._why_ended, container, stream)
                held.link = GuestLink(
                    stream,
                    spec.limits,
                    calls=calls,
                    beats=beats,
                    seals=seals,
                    why_ended=why_ended,
                )
                yield held.link, nursery
        finally:
            await stream.aclose()

    async def _running(self, container: str, held: _Held, link: GuestLink, work: Work) -> Running:
        pid, runtime = await self._process(container)
        held.freezer = held.freezer or self._freezer(pid, container)
        return Running(container, pid, runtime, link, held.freezer, work)

    async def _boot(
        self, link: GuestLink, nursery: trio.Nursery, sent: bytes, spec: BoxSpec
    ) -> None:
        try:
            await link.start(nursery, sent, limit_seconds=self._boot_seconds)
        except BoxDied as exc:
            words = link.last_words()
            raise ImageUnfit(
                f"no guest comes up in the image {spec.image[:19]!r}: {words or exc}; a box image"
                " needs python3 3.8 or later with its standard library"
            ) from exc

    async def _process(self, container: str) -> tuple[int, str]:
        """Return the number of a container's first process, and the runtime it runs under."""
        found = await self._engine.inspect(container)
        if found is None:
            raise BoxDied("the container was removed while it started")
        return int(found["State"]["Pid"]), found["HostConfig"].get("Runtime") or "default"

    def _freezer(self, pid: int, container: str) -> Freezer:
        """Return the fastest freezer that there is for it."""
        freezer = find_freezer(pid, container) if self._local else None
        return freezer or EnginePause(
            partial(self._engine.pause, container),
            partial(self._engine.unpause, container),
            partial(self._engine.is_paused, container),
        )

    def _work(
        self, volume: Volume, container: str, config: dict[str, Any], limits: BoxLimits
    ) -> Work:
        """Return the work folder: directly where the volume is a folder that we may write."""
        limit_bytes = limits.disk_bytes
        if volume.folder is None:
            return ArchiveWork(self._engine, container, config, limit_bytes=limit_bytes)
        return LocalWork(
            volume.folder, owner=volume.owner, limit_bytes=limit_bytes, bounded=volume.bounded
        )

    async def _why_ended(self, container: str, stream: AttachedStream) -> BoxError:
        """Say what became of a box whose stream ended."""
        with trio.move_on_after(5.0):
            await self._engine.wait(container)
        found = await self._engine.inspect(container)
        if found is None:
            return BoxDied("the container was removed from outside")
        state, words = found["State"], stream.last_words()
        if state["Running"]:
            return BoxLost("the connection to the box broke off")
        if state.get("OOMKilled") and state["ExitCode"] == 137:
            return BoxDied("the box ran out of memory", out_of_memory=True)
        text = f"the guest ended with exit code {state['ExitCode']}"
        return BoxDied(f"{text}: {words}" if words else text)


def _check_bound(volume: Volume, room_bytes: int) -> None:
    """See that what bounds the work folder bounds it in the box as well.

    Raises:
        Unfit: The engine does not see what this process mounts.
    """
    folder = volume.folder
    if volume.bounded and folder is not None and room_bytes != disk.size_bytes(folder):
        raise Unfit(
            "the engine does not see the file system that was mounted for the box's work folder;"
            " run beside the engine and not in a container, or waive `disk`"
        )
