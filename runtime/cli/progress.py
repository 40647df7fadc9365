"""A run's progress: one readable line for each happening, and a live line while something lasts."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import trio
from rich.live import Live
from rich.text import Text

from monastery.runtime.cli import telling
from monastery.runtime.cli.clock import Clock
from monastery.runtime.cli.output import console, seconds, unread_is_fine
from monastery.runtime.events import (
    AlternativesOrdered,
    AlternativeStarted,
    AuditDrawn,
    BoxStarted,
    GateDecided,
    ItemPosted,
    ModelCalled,
    ProposalFrozen,
    RunParked,
    RunResumed,
    SegmentStarted,
    StepCompleted,
    StepStarted,
)
from monastery.runtime.journal import Record
from monastery.runtime.ports import Executor

_LIVE_AFTER_SECONDS = 1.0
_TICK_SECONDS = 0.25


class Progress:
    """Told of every event; prints to stdout and goes silent when nobody reads it any more.

    Args:
        blob: Reads the contents that events name.
        step: The number of the segment that is open.

    Attributes:
        executors: Set when they are made; until then payloads are shown as they are.
    """

    def __init__(
        self,
        blob: telling.ReadBlob,
        *,
        step: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.executors: Mapping[str, Executor] = {}
        self._blob = blob
        self._clock = clock
        self._began = self._since = clock()
        self._doing = "opening the box"
        self._step = str(step)
        self._calls = 0
        self._times = Clock()
        self._console = console()
        self._live: Live | None = None

    def watch(self, record: Record) -> None:
        """Show one event. Never raises for want of a reader: the run goes on without one."""
        self._times.take(record)
        self._times.frozen.clear()  # nobody asks here, and a run may have any number of segments
        if isinstance(record.event, ModelCalled):
            self._calls += 1
            return
        self._follow(record)
        told = telling.tell(record, self.executors, self._blob)
        if told is not None:
            self.say(f"{self._step:>4}  {told}{self._times_of(record)}")

    def say(self, text: str) -> None:
        """Print one line, with the time since the start."""
        elapsed = f"{seconds(self._clock() - self._began):>12}  "
        with unread_is_fine():
            self._refresh()
            self._console.print(Text.assemble((elapsed, "dim"), text), soft_wrap=True)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep a status line below the others for the length of the block, on a terminal."""
        if not sys.stdout.isatty():
            yield
            return
        live = Live(console=self._console, auto_refresh=False, transient=True)
        with live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    async def tick(self) -> None:
        """Refresh the status line until cancelled."""
        while self._live is not None:
            self._refresh()
            await trio.sleep(_TICK_SECONDS)

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(Text(self.status(), style="cyan", no_wrap=True), refresh=True)

    def status(self) -> str:
        """Return what is going on and for how long; empty while it is quick."""
        lasts = self._clock() - self._since
        if lasts < _LIVE_AFTER_SECONDS:
            return ""
        thinking = self._calls and self._doing == "thinking"
        calls = f", {telling.count(self._calls, 'model call')}" if thinking else ""
        return f"{self._step:>4}  {self._doing} for {seconds(float(int(lasts)))}{calls}"

    def _times_of(self, record: Record) -> str:
        """Return how long the agent thought, and how long the freeze took, after a proposal."""
        event = record.event
        if not isinstance(event, ProposalFrozen):
            return ""
        calls = f" with {telling.count(self._calls, 'model call')}" if self._calls else ""
        thought = seconds(self._times.thought.pop(event.segment, 0.0))
        return f"  (thought {thought}{calls}, frozen in {seconds(event.freeze_seconds)})"

    def _follow(self, record: Record) -> None:
        """Note what the run is doing now."""
        match record.event:
            case SegmentStarted() as event:
                self._step, self._calls, doing = str(event.index), 0, "thinking"
            case BoxStarted():
                doing = "thinking"
            case ProposalFrozen():
                doing = "frozen"
            case AuditDrawn() as event if event.audited:
                doing = "being audited"
            case AlternativeStarted() as event:
                doing = f"rolling out an alternative ({event.alternative.rpartition('+')[2]})"
            case AlternativesOrdered():
                doing = "being audited"
            case ItemPosted():
                doing = "waiting for a person"
            case RunParked():
                doing = "parked"
            case RunResumed():
                doing = "opening the box"
            case GateDecided() | StepStarted():
                doing = "being carried out"
            case StepCompleted():
                doing = "thawing"
            case _:
                return
        self._doing, self._since = doing, self._clock()
