"""Boxes that are hardened Docker containers without a network."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import structlog

from monastery.runtime.errors import BadInput
from monastery.runtime.ports import Box, Cell, Copied
from monastery.runtime.records import BoxFacts, BoxSpec, Promise, RunId
from monastery.sandbox import cgroup, copies, fitness, reaper, volumes
from monastery.sandbox.containers import Containers, Running
from monastery.sandbox.engine import RUN_LABEL, Engine
from monastery.sandbox.guestbox import GuestBox
from monastery.sandbox.hardening import RUN_FOLDER
from monastery.sandbox.images import Images
from monastery.sandbox.moments import FOLDER as MOMENTS_FOLDER
from monastery.sandbox.moments import Moments
from monastery.sandbox.nursery import background
from monastery.sandbox.snapshots import Snapshots
from monastery.sandbox.volumes import Volume, Volumes
from monastery.sandbox.work import Work

log = structlog.get_logger()


class DockerSandbox:
    """Makes boxes on a Docker engine.

    Args:
        engine: By default the one that the environment names.
        boot_seconds: How long a guest may take to say hello.
        local: Whether files and freezers of an engine on this machine are used directly; the
            other way is there for engines elsewhere, and for tests.
        home: Where the journals of the runs are kept. A box of such a run outlives a runtime that
            dies, stopped, and the next one joins it; without a home it ends with its runtime.
        say: Told, in a line, of what takes long: an image that is built.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        boot_seconds: float = 60.0,
        local: bool = True,
        home: Path | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._engine = engine or Engine()
        self._images = Images(say=say)
        self._local = local
        self._home = None if home is None else home.resolve()
        self._containers = Containers(
            self._engine, boot_seconds=boot_seconds, local=local, home=self._home
        )
        self._snapshots = Snapshots(self._home)
        self._said: tuple[dict[str, Any], dict[str, Any]] | None = None

    def open(self, run: RunId, spec: BoxSpec) -> AbstractAsyncContextManager[Box]:
        """Open the run's box."""
        return self._open(run, spec)

    def copy(self, run: RunId, spec: BoxSpec) -> AbstractAsyncContextManager[Copied]:
        """Open a copy of the box of a run that another process may be running."""
        return self._copy(run, spec)

    async def forget(self, run: RunId) -> None:
        """Remove the volumes of a run, and what is left of its containers."""
        await self._engine.connect()
        await reaper.remove_all(self._engine, run)
        for volume in await self._engine.volumes(f"{RUN_LABEL}={run}"):
            await volumes.remove(self._engine, volume)
        await self._snapshots.forget(run)
        async with self._moments(run) as moments:
            await moments.forget()

    async def reap(self, can_go_on: Callable[[RunId], bool] = lambda run: False) -> list[str]:
        """Remove boxes whose runtime is dead, frozen ones too; return their ids."""
        await self._engine.connect()
        return await reaper.reap(self._engine, self._home, can_go_on)

    @asynccontextmanager
    async def _open(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Box]:
        await self._engine.connect()
        waived = await self._require(spec)
        digest = await self._engine.image(spec.image)
        if spec.packages is not None:
            digest = await self._images.with_packages(spec.image, spec.packages)
        spec = replace(spec, image=digest, waive=waived)
        living = await self._containers.living(run)
        if living is not None and not await self._volumes().is_ready(run):
            await reaper.remove_all(self._engine, run)  # it was never seen whole
            living = None
        kept = self._volumes().kept(run, limit_bytes=spec.limits.disk_bytes)
        snapshot = self._snapshots.newest(run)
        async with (
            self._moments(run) as moments,
            kept as volume,
            self._running(run, spec, volume, living, snapshot) as made,
        ):
            work: Literal["new", "kept", "snapshot"] = "kept"
            if not volume.ready.is_set():
                work = "new" if snapshot is None else "snapshot"
            facts = BoxFacts(
                box=made.container,
                image_digest=digest,
                freezer=made.freezer.name,
                engine_runtime=made.engine_runtime,
                work=work if living is None else "live",
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
                snapshot=partial(self._snapshots.keep, run, made.work),
                snapshot_seconds=spec.limits.snapshot_seconds,
                memory_kills=partial(cgroup.out_of_memory_kills, made.pid, made.container),
                moment=partial(moments.keep, made.work),
                rollout=partial(self._rollout, run, spec, facts, moments),
            )
            await box.changes()  # the beginning, from which later changes are told
            async with background() as nursery:
                nursery.start_soon(box.watch_disk)
                log.info("box.opened", box=made.container, run=run, work=facts.work)
                yield box

    def _running(
        self,
        run: RunId,
        spec: BoxSpec,
        volume: Volume,
        living: str | None,
        snapshot: Path | None,
    ) -> AbstractAsyncContextManager[Running]:
        """Join the run's living container, or make one; fill its work folder if it is empty."""
        if living is not None:
            return self._containers.joined(living, spec, volume)

        async def prepare(work: Work) -> None:
            if volume.ready.is_set():
                return
            if snapshot is None:
                await work.fill(spec.files)
            else:
                await work.restore(snapshot)

        sealed = self._is_gvisor(spec)
        return self._containers.made(run, spec, volume, "box", prepare, sealed=sealed)

    def _is_gvisor(self, spec: BoxSpec) -> bool:
        """Whether this box's runtime is gVisor, where others can write on the guest's stream."""
        assert self._said is not None, "an engine is asked what it can do before it is used"
        return fitness.is_gvisor(spec.engine_runtime or self._said[1].get("DefaultRuntime"))

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
            self._containers.made(
                run, spec, volume, "fork", prepare, sealed=self._is_gvisor(spec)
            ) as made,
        ):
            yield made.link

    @asynccontextmanager
    async def _moments(self, run: RunId) -> AsyncIterator[Moments]:
        """Find where a run's moments are kept; without a home they end with its box."""
        if self._home is not None:
            yield Moments(self._home / MOMENTS_FOLDER / run)
            return
        with tempfile.TemporaryDirectory(prefix="monastery-moments-") as folder:
            yield Moments(Path(folder, run))

    @asynccontextmanager
    async def _rollout(
        self, run: RunId, spec: BoxSpec, facts: BoxFacts, moments: Moments, moment: str
    ) -> AsyncIterator[Box]:
        """Open a box like the run's own, with the files of a moment."""
        copied = moments.find(moment)

        async def prepare(work: Work) -> None:
            await work.restore(copied)

        def refuse() -> AbstractAsyncContextManager[Cell]:
            raise BadInput("a rollout's box has no fork; it is removed as soon as it proposes")

        of_rollout = self._volumes().of_fork(run, limit_bytes=spec.limits.disk_bytes)
        sealed = self._is_gvisor(spec)
        async with (
            of_rollout as volume,
            self._containers.made(run, spec, volume, "rollout", prepare, sealed=sealed) as made,
        ):
            box = GuestBox(
                made.link,
                made.freezer,
                made.work,
                replace(facts, box=made.container, freezer=made.freezer.name, work="new"),
                run_folder=RUN_FOLDER,
                fork=refuse,
                memory_kills=partial(cgroup.out_of_memory_kills, made.pid, made.container),
            )
            await box.changes()
            async with background() as nursery:
                nursery.start_soon(box.watch_disk)
                yield box

    @asynccontextmanager
    async def _copy(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Copied]:
        await self._engine.connect()
        waived = await self._require(spec)
        digest = await self._engine.image(spec.image)
        if spec.packages is not None:
            digest = await self._images.with_packages(spec.image, spec.packages)
        spec = replace(spec, image=digest, waive=waived)
        sealed, limit_bytes = self._is_gvisor(spec), spec.limits.disk_bytes
        volumes_of, snapshot = self._volumes(), self._snapshots.newest(run)
        async with copies.source(self._engine, volumes_of, snapshot, run, spec) as source:
            of_fork = volumes_of.of_fork(run, limit_bytes=limit_bytes, disk_of=source.disk)
            async with (
                of_fork as volume,
                self._containers.made(
                    run, spec, volume, "fork", source.fill, sealed=sealed
                ) as made,
            ):
                yield Copied(made.link, source.of)
