"""The progress of many runs: a line for each that lives, kept up to date, and totals below.

Where stdout is no terminal, a line is printed when a run begins, waits for a person, or is over.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import trio
from rich.console import Group
from rich.live import Live
from rich.text import Text

from monastery.runtime.cli.output import console, seconds, unread_is_fine
from monastery.runtime.cli.telling import count
from monastery.runtime.display import visible_line
from monastery.runtime.events import (
    AuditDrawn,
    BoxStarted,
    GateDecided,
    ItemAnswered,
    ItemClosed,
    ItemPosted,
    ProposalFrozen,
    RewardIssued,
    SegmentStarted,
    StepCompleted,
)
from monastery.runtime.journal import Record
from monastery.runtime.many import Job, Watcher

_TICK_SECONDS = 0.25


@dataclass(slots=True)
class _Line:
    """What is known of one living run.

    Attributes:
        step: The number of its open segment.
        items: Which of its questions wait for people.
    """

    since: float
    step: int = 1
    doing: str = "opening the box"
    items: tuple[str, ...] = ()


class ManyProgress:
    """Told of every event of all runs; goes silent when nobody reads it any more."""

    def __init__(self, jobs: Sequence[Job], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.watcher = Watcher(event=self.event, state=self.state)
        self._jobs, self._clock, self._began = jobs, clock, clock()
        self._lines: dict[Job, _Line] = {}
        self._seen = Counter[str]()
        self._console = console()
        self._live: Live | None = None

    def state(self, job: Job) -> None:
        """Take up that a run is admitted, or over."""
        if job.state == "living":
            self._lines[job] = _Line(self._clock())
            self.say(f"{job.run}  begins")
            return
        self._lines.pop(job, None)
        if job.ending is not None:
            how = "done" if job.ending.success else "failed"
            self.say(f"{job.run}  {how}: {job.ending.reason}")
        elif job.broke is not None:
            self.say(f"{job.run}  broke: {job.broke}")
        else:
            self.say(f"{job.run}  stopped")

    def event(self, job: Job, record: Record) -> None:
        """Take up an event. Never raises for want of a reader: the runs go on without one."""
        line, doing = self._lines[job], ""
        match record.event:
            case BoxStarted():
                doing = "thinking"
            case SegmentStarted() as event:
                line.step, doing = event.index, "thinking"
            case ProposalFrozen():
                doing = "frozen"
            case AuditDrawn() as event if event.audited:
                self._seen["audits"] += 1
                doing = "being audited"
            case GateDecided():
                doing = "being carried out"
            case RewardIssued():
                self._seen["rewards"] += 1
            case StepCompleted():
                self._seen["steps"] += 1
            case ItemPosted() as event:
                line.items += (event.item,)
                self.say(
                    f"{job.run}  waits for a person ({event.purpose}):"
                    f" monastery audit show {event.item}"
                )
            case ItemAnswered() | ItemClosed() as event:
                line.items = tuple(item for item in line.items if item != event.item)
            case _:
                pass
        if doing and doing != line.doing:
            line.doing, line.since = doing, self._clock()

    def say(self, text: str) -> None:
        """Print one line, with the time since the start."""
        elapsed = f"{seconds(self._clock() - self._began):>12}  "
        with unread_is_fine():
            self._console.print(
                Text.assemble((elapsed, "dim"), visible_line(text, max_columns=None)),
                soft_wrap=True,
            )

    def totals(self) -> list[str]:
        """Return where all runs stand, and what they did here, in two lines."""
        states = Counter(self._state(job) for job in self._jobs)
        runs = ", ".join(f"{number} {state}" for state, number in states.items())
        seen = [
            count(self._seen[noun], noun.removesuffix("s"))
            for noun in ("steps", "audits", "rewards")
        ]
        return [f"runs      {runs}", f"in all    {', '.join(seen)}"]

    def _state(self, job: Job) -> str:
        if job.state != "over":
            return job.state
        if job.ending is None:
            return "broken" if job.broke is not None else "stopped"
        return "done" if job.ending.success else "failed"

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the lines of the living runs below the others, on a terminal."""
        if not sys.stdout.isatty():
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    async def tick(self) -> None:
        """Refresh the lines until cancelled."""
        while self._live is not None:
            with unread_is_fine():
                self._live.update(Group(*self.lines(self._console.height - 2)), refresh=True)
            await trio.sleep(_TICK_SECONDS)

    def lines(self, height: int) -> list[Text]:
        """Return a line for each living run and the totals, in at most so many lines."""
        totals, room = self.totals(), max(1, height - 3)
        shown = list(self._lines.items())[:room]
        told = [self._line(job, line) for job, line in shown]
        hidden = len(self._lines) - len(shown)
        if hidden:
            told.append(f"… and {hidden} more")
        return [Text(one, style="cyan", no_wrap=True) for one in (*told, *totals)]

    def _line(self, job: Job, line: _Line) -> str:
        doing = "waiting for a person" if line.items else line.doing
        lasts = seconds(float(int(self._clock() - line.since)))
        return f"{visible_line(job.run)}  step {line.step:>5}  {doing} for {lasts}"
