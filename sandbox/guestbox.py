"""A box over a guest: what is common to real boxes and to unboxed ones."""

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import structlog
import trio

from monastery.runtime.errors import BoxDied, FreezeFailed, LimitExceeded
from monastery.runtime.ports import Box, Cell
from monastery.runtime.records import AgentExited, BoxFacts, Change, FromAgent, Transcript
from monastery.sandbox.freezer import Freezer
from monastery.sandbox.link import GuestLink
from monastery.sandbox.work import Work

log = structlog.get_logger()

_GREET_SECONDS = 20.0


class GuestBox:
    """A box: a guest, a freezer and a work folder.

    Args:
        run_folder: The guest's own folder in the box.
        fork: Opens a copy.
        memory_kills: Counts the box's processes that the kernel killed for their memory.
        snapshot: Keeps a copy of the work folder.
        snapshot_seconds: How old the last one may be.
        moment: Keeps a copy under a name, for rollouts.
        rollout: Opens a box from one.
    """

    def __init__(
        self,
        link: GuestLink,
        freezer: Freezer,
        work: Work,
        facts: BoxFacts,
        *,
        run_folder: str,
        fork: Callable[[], AbstractAsyncContextManager[Cell]],
        memory_kills: Callable[[], int],
        snapshot: Callable[[], Awaitable[None]] | None = None,
        snapshot_seconds: float = math.inf,
        moment: Callable[[str], Awaitable[None]] | None = None,
        rollout: Callable[[str], AbstractAsyncContextManager[Box]] | None = None,
    ) -> None:
        self.facts = facts
        self.link = link
        self._freezer = freezer
        self._work = work
        self._history = f"{run_folder}/history.json"
        self._memory_kills = memory_kills
        self._killed_before = 0
        self._snapshot, self._snapshot_seconds = snapshot, snapshot_seconds
        self._snapshot_at = trio.current_time()
        self._moment, self._rollout = moment, rollout
        # A box is a cell, and these are its link's own.
        self.run, self.read_file, self.write_file = link.run, link.read_file, link.write_file
        self.shell, self.answer = link.shell, link.answer
        self.fork = fork

    async def start_agent(
        self, argv: Sequence[str], *, env: Mapping[str, str], history: bytes
    ) -> None:
        """Start the agent's program in the work folder."""
        await self.write_file(self._history, history)
        self._killed_before = self._memory_kills()
        await self.link.start_agent(argv, {**env, "MONASTERY_HISTORY": self._history})

    async def receive(self) -> FromAgent:
        """Return the next thing that the agent says.

        Raises:
            LimitExceeded: Also when the kernel killed the agent's program for its memory.
        """
        said = await self.link.receive()
        killed = isinstance(said, AgentExited) and said.exit_code == -9
        if killed and self._memory_kills() > self._killed_before:
            raise LimitExceeded(
                "the agent's program was killed: it used more memory than its box has",
                out_of_memory=True,
            )
        return said

    async def freeze(self) -> float:
        """Stop every process in the box, confirmed; return how long it took [seconds]."""
        self.link.check()
        started = time.perf_counter()
        try:
            await self._freezer.freeze()
        except FreezeFailed as exc:
            self.link.fail(exc)  # what could not be frozen must not be used further
            self.link.check()
        self.link.frozen = True
        return time.perf_counter() - started

    async def thaw(self) -> None:
        """Let every process in the box go on."""
        self.link.check()
        await self._freezer.thaw()
        self.link.frozen = False
        self.link.beat()

    async def rejoin(self) -> bool:
        """Let a box that outlived its runtime go on, and hear again what its agent asks.

        Returns:
            Whether its agent's program had been started.

        Raises:
            BoxDied: Its guest does not answer.
        """
        self._killed_before = self._memory_kills()
        await self.thaw()
        await self.link.greet(limit_seconds=_GREET_SECONDS)
        return self.link.had_agent

    async def keep_snapshot(self) -> None:
        """Keep a copy of the files when the last one is old."""
        due = trio.current_time() - self._snapshot_at >= self._snapshot_seconds
        if self._snapshot is not None and due:
            await self._snapshot()
            self._snapshot_at = trio.current_time()

    async def keep_moment(self, moment: str) -> None:
        """Keep a copy of the files under this name, for rollouts."""
        if self._moment is not None:
            await self._moment(moment)

    def rollout(self, moment: str) -> AbstractAsyncContextManager[Box]:
        """Open a box of its own with the files that were kept so.

        Raises:
            BoxDied: Of this box none are kept.
        """
        if self._rollout is None:
            raise BoxDied("of this box no moments are kept")
        return self._rollout(moment)

    def take_transcript(self) -> Transcript:
        """Return what the agent printed since the last call, and forget it."""
        return self.link.transcript.take()

    async def changes(self) -> list[Change]:
        """Return what changed in the work folder since the last call, by path."""
        return await self._work.changes()

    async def watch_disk(self) -> None:
        """Break the box when its work folder holds too much; run it in a task."""
        exceeded = await self._work.watch()
        log.warning("box.disk_exceeded", box=self.facts.box)
        self.link.fail(exceeded)
