"""One dig: a shell, what it shows, and the recording of both. What is not recorded is not shown."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from monastery.auditor.dig.cast import Cast
from monastery.auditor.dig.screen import Screen, bounded
from monastery.runtime.errors import MonasteryError
from monastery.runtime.ports import Shell

COMMAND = ("sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash --norc -i || exec sh -i")
ENVIRONMENT = {"TERM": "xterm", "PS1": r"copy of the box:\w$ ", "HISTFILE": "/dev/null"}
_FEED_BYTES = 1 << 11
"""So much is shown at a time, which takes some milliseconds; then others have their turn."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how large a dig may be.

    Attributes:
        at_once: How many there may be at a time, of all people together; each has a box.
        idle_seconds: How long nothing may be typed.
        total_seconds: How long it may last.
        unseen_seconds: How long nobody may look.
        recorded_bytes: How long its recording may become.
    """

    at_once: int = 2
    idle_seconds: float = 600.0
    total_seconds: float = 1800.0
    unseen_seconds: float = 30.0
    recorded_bytes: int = 16 << 20


@dataclass(eq=False)
class Session:
    """A shell that someone has before them.

    Attributes:
        screen: What it shows.
        typed_at: When something was typed last [seconds on the clock].
        changed: Set when the screen changed, or it is over; who waits takes a new one before.
        over: Why it is over; empty while it lasts.
    """

    shell: Shell
    screen: Screen
    cast: Cast
    limits: Limits
    clock: Callable[[], float] = trio.current_time
    changed: trio.Event = field(default_factory=trio.Event)
    over: str = ""
    began_at: float = 0.0
    typed_at: float = 0.0

    def __post_init__(self) -> None:
        self.began_at = self.typed_at = self.clock()

    async def type(self, data: bytes) -> None:
        """Type, and record it."""
        if not self.over:
            self.typed_at = self.clock()
            self.cast.typed(self._seconds(), data)
            await self.shell.type(data)

    async def resize(self, rows: int, columns: int) -> None:
        """Make the terminal larger or smaller, as far as it may be."""
        rows, columns = bounded(rows, columns)
        if not self.over and (rows, columns) != (self.screen.rows, self.screen.columns):
            self.screen.resize(rows, columns)
            self.cast.resized(self._seconds(), rows, columns)
            await self.shell.resize(rows, columns)
            self._tell()

    async def show(self) -> str:
        """Show what the shell writes until it ends; return why it did.

        Half of the time at most is spent on what floods the screen.
        """
        while data := await self.shell.receive():
            for at in range(0, len(data), _FEED_BYTES):
                started = self.clock()
                part = data[at : at + _FEED_BYTES]
                self.cast.shown(self._seconds(), part)
                self.screen.feed(part)
                self._tell()
                if self.cast.size_bytes > self.limits.recorded_bytes:
                    return "Its recording is full: it showed or took more than one may hold."
                await trio.sleep(self.clock() - started)
        return "The shell ended."

    async def expire(self) -> str:
        """Wait until its time is over; return in what way."""
        while True:
            now = self.clock()
            idle = self.typed_at + self.limits.idle_seconds
            last = self.began_at + self.limits.total_seconds
            if now >= last:
                return "Its time was over."
            if now >= idle:
                return "Nothing was typed for long."
            await trio.sleep(min(idle, last) - now)

    def end(self, why: str) -> None:
        """Tell who looks that it is over; the first reason counts."""
        self.over = self.over or why
        self._tell()

    def left_seconds(self) -> float:
        """Return how long it may last yet, if nothing is typed."""
        idle = self.typed_at + self.limits.idle_seconds
        return max(0.0, min(idle, self.began_at + self.limits.total_seconds) - self.clock())

    def _seconds(self) -> float:
        return self.clock() - self.began_at

    def _tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


async def until_over(session: Session, *reasons: Callable[[], Awaitable[str]]) -> None:
    """Wait until one of these has a reason to end a session, and end it.

    Args:
        session: Which.
        reasons: Called again as long as they return nothing.
    """
    async with trio.open_nursery() as nursery:

        async def ends(reason: Callable[[], Awaitable[str]]) -> None:
            why = ""
            while not why:
                try:
                    why = await reason()
                except (MonasteryError, OSError) as exc:
                    why = f"The copy is gone: {exc}."
            session.end(why)
            nursery.cancel_scope.cancel()

        for reason in reasons:
            nursery.start_soon(ends, reason)
