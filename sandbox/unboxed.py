"""NOT A SANDBOX: the guest as an ordinary process, with this user's rights, network and files.

For tests and for developing agents where there is no Docker. The same guest, the same stream and
the same contract as a real box; what is missing is the box. Nothing that is not trusted as much
as this very process may run in it, and no promise of the design holds for it but the words.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog
import trio

from monastery.runtime.errors import BoxDied, BoxError, FreezeFailed
from monastery.runtime.ports import Box, Cell, Copied
from monastery.runtime.records import BoxFacts, BoxSpec, RunId
from monastery.sandbox.guestbox import GuestBox
from monastery.sandbox.link import GuestLink, boot
from monastery.sandbox.moments import Moments
from monastery.sandbox.nursery import background
from monastery.sandbox.stream import PipeStream
from monastery.sandbox.work import LocalWork

log = structlog.get_logger()

_LIMIT_SECONDS = 2.0
_BOOT_SECONDS = 20.0


@dataclass(frozen=True)
class _Running:
    """A guest that runs here."""

    pid: int
    run_folder: str
    link: GuestLink
    freezer: "SignalFreezer"


class UnboxedSandbox:
    """Makes boxes that are none.

    Args:
        folder: Where the runs' work folders are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, run: RunId, spec: BoxSpec) -> AbstractAsyncContextManager[Box]:
        """Start the run's guest on its work folder."""
        return self._open(run, spec)

    @asynccontextmanager
    async def copy(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Copied]:
        """Open a copy of the work folder of a run that another process may be running."""
        folder = self._folder / run / "work"
        if not folder.is_dir():
            raise BoxError(f"run {run!r} has no box, no work folder and no snapshot")
        source = LocalWork(folder, owner=None, limit_bytes=spec.limits.disk_bytes)
        async with self._fork(spec, source) as cell:
            yield Copied(cell, "folder")

    async def forget(self, run: RunId) -> None:
        """Remove the run's work folder."""
        await trio.to_thread.run_sync(partial(shutil.rmtree, self._folder / run, True))

    async def reap(self, can_go_on: Callable[[RunId], bool] = lambda run: False) -> list[str]:
        """Find nothing: a guest whose runtime is dead hears it, and ends."""
        await trio.lowlevel.checkpoint()
        return []

    @asynccontextmanager
    async def _open(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Box]:
        log.warning("box.not_isolated", run=run, folder=str(self._folder))
        folder, filling = self._folder / run / "work", self._folder / run / "filling"
        work = LocalWork(folder, owner=None, limit_bytes=spec.limits.disk_bytes)
        moments = Moments(self._folder / run / "moments")
        kept = folder.is_dir()
        if not kept:
            await trio.to_thread.run_sync(partial(shutil.rmtree, filling, True))
            filling.mkdir(parents=True)
            await LocalWork(filling, owner=None, limit_bytes=1 << 62).fill(spec.files)
            filling.rename(folder)
        async with self._guest(spec, folder, calls=True) as made:
            facts = BoxFacts(
                box=f"unboxed-{made.pid}",
                image_digest="none",
                freezer=made.freezer.name,
                engine_runtime="none",
                work="kept" if kept else "new",
            )
            box = GuestBox(
                made.link,
                made.freezer,
                work,
                facts,
                run_folder=made.run_folder,
                fork=partial(self._fork, spec, work),
                memory_kills=lambda: 0,
                moment=partial(moments.keep, work),
                rollout=partial(self._rollout, spec, facts, moments),
            )
            await box.changes()
            async with background() as nursery:
                nursery.start_soon(box.watch_disk)
                yield box

    @asynccontextmanager
    async def _rollout(
        self, spec: BoxSpec, facts: BoxFacts, moments: Moments, moment: str
    ) -> AsyncIterator[Box]:
        copied = moments.find(moment)
        with tempfile.TemporaryDirectory(prefix="unboxed-") as name:
            work = LocalWork(Path(name), owner=None, limit_bytes=spec.limits.disk_bytes)
            await work.restore(copied)
            async with self._guest(spec, Path(name), calls=True) as made:
                box = GuestBox(
                    made.link,
                    made.freezer,
                    work,
                    replace(facts, box=f"unboxed-{made.pid}", work="new"),
                    run_folder=made.run_folder,
                    fork=partial(self._fork, spec, work),
                    memory_kills=lambda: 0,
                )
                await box.changes()
                async with background() as nursery:
                    nursery.start_soon(box.watch_disk)
                    yield box

    @asynccontextmanager
    async def _fork(self, spec: BoxSpec, source: LocalWork) -> AsyncIterator[Cell]:
        with tempfile.TemporaryDirectory(prefix="unboxed-") as name:
            copy = LocalWork(Path(name), owner=None, limit_bytes=spec.limits.disk_bytes)
            await copy.copy_from(source)
            async with self._guest(spec, Path(name), calls=False) as made:
                yield made.link

    @asynccontextmanager
    async def _guest(self, spec: BoxSpec, work: Path, *, calls: bool) -> AsyncIterator[_Running]:
        """Start a guest; at the end kill it and all that it started."""
        with tempfile.TemporaryDirectory(prefix="unboxed-") as run_folder:
            boots = boot(
                spec.limits,
                work=str(work),
                run=run_folder,
                init=False,
                calls=calls,
                env={"PATH": os.environ["PATH"], "HOME": run_folder, "LANG": "C.UTF-8"},
                port=0 if calls and (spec.gateway or spec.web) else None,
                model=calls and spec.gateway,
                web=calls and spec.web,
                steps=spec.steps,
            )
            process = await trio.lowlevel.open_process(
                [sys.executable, *boots.argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            freezer = SignalFreezer(process.pid)
            try:
                async with background() as nursery:
                    stream = PipeStream(process)
                    nursery.start_soon(stream.listen_for_last_words)
                    why_ended = partial(_why_ended, process, stream)
                    link = GuestLink(stream, spec.limits, calls=calls, why_ended=why_ended)
                    await link.start(nursery, boots.sent, limit_seconds=_BOOT_SECONDS)
                    yield _Running(process.pid, run_folder, link, freezer)
            finally:
                with trio.CancelScope(shield=True):
                    await freezer.end()
                    await process.wait()


async def _why_ended(process: trio.Process, stream: PipeStream) -> BoxError:
    code, words = await process.wait(), stream.last_words()
    return BoxDied(f"the guest ended with exit code {code}" + (f": {words}" if words else ""))


class SignalFreezer:
    """Stops a process and all that descend from it with SIGSTOP, seen in /proc to have stopped."""

    name = "signals"

    def __init__(self, pid: int) -> None:
        self._pid = pid

    async def freeze(self) -> None:
        """Stop them until none runs, twice in a row: a child may be born while we look."""
        started, quiet = time.monotonic(), 0
        while quiet < 2:
            running = [pid for pid in _family(self._pid) if not _has_stopped(pid)]
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            quiet = 0 if running else quiet + 1
            if time.monotonic() > started + _LIMIT_SECONDS:
                raise FreezeFailed(f"processes {running[:9]} did not stop in {_LIMIT_SECONDS} s")
            if running:
                await trio.sleep(0.0002)

    async def thaw(self) -> None:
        """Continue them, the guest last."""
        await trio.lowlevel.checkpoint()
        for pid in reversed(_family(self._pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def end(self) -> None:
        """Kill them all."""
        with contextlib.suppress(FreezeFailed):
            await self.freeze()
        for pid in reversed(_family(self._pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _family(first: int) -> list[int]:
    """Return a guest, what descends from it, and its commands' orphans; parents first."""
    below: dict[int, list[int]] = {}
    marked = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                below.setdefault(parent, []).append(int(folder.name))
                if f"MONASTERY_JOB={first}.".encode() in (folder / "environ").read_bytes():
                    marked.append(int(folder.name))
    found: dict[int, None] = {}
    waiting = [first]
    while waiting:
        pid = waiting.pop(0)
        found[pid] = None
        waiting += below.get(pid, [])
    found.update(dict.fromkeys(marked))
    return list(found)


def _has_stopped(pid: int) -> bool:
    """Whether no thread of a process can run."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        states = [(thread / "stat").read_text().rpartition(")")[2].split()[0] for thread in threads]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return all(state in "TtZX" for state in states)
