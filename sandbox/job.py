"""What somebody waits for in a guest: a command, a file, or a command on a terminal."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from monastery.runtime.errors import BadInput
from monastery.sandbox import wire
from monastery.sandbox.stream import one_line

WINDOW_BYTES = 1 << 16
"""So much of what a terminal shows may be on its way: what is stopped has not shown much more."""


@dataclass
class Job:
    """A command or a file that somebody waits for.

    Attributes:
        parts: What came of it, by descriptor; of no other is anything taken.
        ends: How it may end, if it is not refused.
        news: Set when more came.
    """

    limit_bytes: int = 0
    parts: dict[int, bytearray] = field(default_factory=dict)
    ends: type[wire.Done | wire.Ended] = wire.Done
    settled: trio.Event = field(default_factory=trio.Event)
    how: wire.Done | wire.Ended | wire.Refused | None = None
    news: trio.Event = field(default_factory=trio.Event)

    def end(self, how: wire.Done | wire.Ended | wire.Refused | None) -> None:
        """Note that nothing more comes; how is not known when the link broke."""
        self.how = how
        self.settled.set()
        self.news.set()


class GuestShell:
    """A command on a terminal in a guest; the `Shell` of real boxes and of unboxed ones.

    Args:
        number: Of its job.
        job: The job. It never holds more than the window, because nothing more was asked for.
        send: Sends the guest a line.
        check: Raises what broke the link, if anything did.
    """

    def __init__(
        self,
        number: int,
        job: Job,
        send: Callable[[bytes], Awaitable[None]],
        check: Callable[[], None],
    ) -> None:
        self._number, self._job, self._send, self._check = number, job, send, check

    async def receive(self) -> bytes:
        """Return what it shows next; nothing at its end."""
        job, shown = self._job, self._job.parts[1]
        while not shown and not job.settled.is_set():
            job.news = trio.Event()
            await job.news.wait()
        if isinstance(job.how, wire.Refused):
            raise BadInput(one_line(job.how.why))
        taken = bytes(shown)
        shown.clear()
        if not taken and job.how is None:
            self._check()
        if not job.settled.is_set():
            await self._send(wire.encode("more", job=self._number, credit=len(taken)))
        return taken

    async def type(self, data: bytes) -> None:
        """Type."""
        for at in range(0, len(data), wire.CHUNK_BYTES):
            part = data[at : at + wire.CHUNK_BYTES]
            if not self._job.settled.is_set():
                await self._send(wire.encode("type", job=self._number, data=part))

    async def resize(self, rows: int, columns: int) -> None:
        """Make the terminal larger or smaller."""
        if not self._job.settled.is_set():
            await self._send(wire.encode("size", job=self._number, rows=rows, columns=columns))
