"""Boxes that are hardened Docker containers without a network."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
import trio

from monastery.runtime.errors import BoxDied, BoxError, ImageUnfit, Unfit
from monastery.runtime.owner import this_process
from monastery.runtime.ports import WORK, Box, Cell
from monastery.runtime.records import BoxFacts, BoxLimits, BoxSpec, Promise, RunId
from monastery.sandbox import cgroup, disk, fitness, reaper, volumes
from monastery.sandbox.engine import OWNER_LABEL, PURPOSE_LABEL, RUN_LABEL, Engine
from monastery.sandbox.freezer import EnginePause, Freezer, find_freezer
from monastery.sandbox.guestbox import GuestBox
from monastery.sandbox.hardening import ENVIRONMENT, RUN_FOLDER, container_config
from monastery.sandbox.link import GuestLink, boot
from monastery.sandbox.nursery import background
from monastery.sandbox.stream import AttachedStream
from monastery.sandbox.volumes import CLEANUP_SECONDS, Volume, Volumes
from monastery.sandbox.work import ArchiveWork, LocalWork, Work

log = structlog.get_logger()


@dataclass(frozen=True)
class _Running:
    """A running container with a guest in it."""

    container: str
    pid: int
    engine_runtime: str
    link: GuestLink
    freezer: Freezer
    work: Work


class DockerSandbox:
    """Makes boxes on a Docker engine.

    Args:
        engine: By default the one that the environment names.
        boot_seconds: How long a guest may take to say hello.
        local: Whether files and freezers of an engine on this machine are used directly; the
            other way is there for engines elsewhere, and for tests.
    """

    def __init__(
        self, engine: Engine | None = None, *, boot_seconds: float = 20.0, local: bool = True
    ) -> None:
        self._engine = engine or Engine()
        self._boot_seconds = boot_seconds
        self._local = local
        self._said: tuple[dict[str, Any], dict[str, Any]] | None = None

    def open(self, run: RunId, spec: BoxSpec) -> AbstractAsyncContextManager[Box]:
        """Open the run's box."""
        return self._open(run, spec)

    async def forget(self, run: RunId) -> None:
        """Remove the volumes of a run, and what is left of its containers."""
        await self._engine.connect()
        await reaper.reap(self._engine, f"{RUN_LABEL}={run}")
        for volume in await self._engine.volumes(f"{RUN_LABEL}={run}"):
            await volumes.remove(self._engine, volume)

    async def reap(self) -> list[str]:
        """Remove boxes whose runtime is dead, frozen ones too; return their ids."""
        await self._engine.connect()
        return await reaper.reap(self._engine, RUN_LABEL)

    @asynccontextmanager
    async def _open(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Box]:
        await self._engine.connect()
        waived = await self._require(spec)
        digest = await self._engine.image(spec.image)
        spec = replace(spec, image=digest, waive=waived)
        kept = self._volumes().kept(run, limit_bytes=spec.limits.disk_bytes)
        async with kept as volume:

            async def prepare(work: Work) -> None:
                if not volume.ready.is_set():
                    await work.fill(spec.files)

            async with self._container(run, spec, volume, "box", prepare) as made:
                facts = BoxFacts(
                    box=made.container,
                    image_digest=digest,
                    freezer=made.freezer.name,
                    engine_runtime=made.engine_runtime,
                    work="kept" if volume.ready.is_set() else "new",
                    waived=waived,
                )
                await self._volumes().mark_ready(run, volume)
                box = GuestBox(
                    made.link,
                    made.freezer,
                    made.work,
                    facts,
                    run_folder=RUN_FOLDER,
                    fork=partial(self._fork, run, spec, made.work),
                    memory_kills=partial(cgroup.out_of_memory_kills, made.pid, made.container),
                )
                await box.changes()  # the beginning, from which later changes are told
                async with background() as nursery:
                    nursery.start_soon(box.watch_disk)
                    log.info("box.opened", box=made.container, run=run, work=facts.work)
                    yield box

    async def _require(self, spec: BoxSpec) -> tuple[Promise, ...]:
        """Return the promises that the engine does not keep and the project waives.

        Raises:
            Unfit: It does not keep one that is not waived.
        """
        if self._said is None:
            self._said = await self._engine.version(), await self._engine.info()
        return fitness.require(*self._said, spec.waive)

    def _volumes(self) -> Volumes:
        assert self._said is not None, "an engine is asked what it can do before it is used"
        return Volumes(self._engine, self._said[1], local=self._local)

    @asynccontextmanager
    async def _fork(self, run: RunId, spec: BoxSpec, source: Work) -> AsyncIterator[Cell]:
        """Open a copy of a box: its files, none of its processes, nobody to ask."""

        async def prepare(work: Work) -> None:
            await work.copy_from(source)

        of_fork = self._volumes().of_fork(run, limit_bytes=spec.limits.disk_bytes)
        async with (
            of_fork as volume,
            self._container(run, spec, volume, "fork", prepare) as made,
        ):
            yield made.link

    @asynccontextmanager
    async def _container(
        self,
        run: RunId,
        spec: BoxSpec,
        volume: Volume,
        purpose: str,
        prepare: Callable[[Work], Awaitable[None]],
    ) -> AsyncIterator[_Running]:
        """Make a container, prepare its files, start the guest, and remove it at the end."""
        boots = boot(
            spec.limits,
            work=WORK,
            run=RUN_FOLDER,
            init=True,
            calls=purpose == "box",
            env=ENVIRONMENT,
        )
        config = container_config(
            spec,
            argv=boots.argv,
            volume=volume.name,
            labels={RUN_LABEL: run, OWNER_LABEL: this_process(), PURPOSE_LABEL: purpose},
            image_volumes=await self._engine.image_volumes(spec.image),
        )
        container = await self._engine.create(config)
        freezer: Freezer | None = None
        try:
            work = self._work(volume, container, config, spec.limits)
            await prepare(work)
            stream = await self._engine.attach(container)
            try:
                async with background() as nursery:
                    why_ended = partial(self._why_ended, container, stream)
                    calls = purpose == "box"
                    link = GuestLink(stream, spec.limits, calls=calls, why_ended=why_ended)
                    await self._engine.start(container)
                    await self._greet(link, nursery, boots.sent, spec, stream)
                    _check_bound(volume, link.room_bytes)
                    pid, runtime = await self._process(container)
                    freezer = self._freezer(pid, container)
                    yield _Running(container, pid, runtime, link, freezer, work)
            finally:
                await stream.aclose()
        finally:
            with trio.CancelScope(shield=True) as scope:
                scope.deadline = trio.current_time() + CLEANUP_SECONDS
                try:
                    if freezer is not None:
                        await freezer.end()
                finally:
                    await self._engine.remove(container)
            if scope.cancelled_caught:
                log.error("box.removal_expired", box=container, limit_seconds=CLEANUP_SECONDS)

    async def _greet(
        self,
        link: GuestLink,
        nursery: trio.Nursery,
        sent: bytes,
        spec: BoxSpec,
        stream: AttachedStream,
    ) -> None:
        """Boot the guest.

        Raises:
            ImageUnfit: It does not come up in this image.
        """
        try:
            await link.start(nursery, sent, limit_seconds=self._boot_seconds)
        except BoxDied as exc:
            words = stream.last_words()
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
            return BoxDied("the connection to the box broke off")
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
