"""The office: where pages ask the clerk. One at a time, in a thread, for a disk may be slow."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import ParamSpec, TypeVar

import trio

from monastery.auditor.desk.clerk import Clerk

POLL_SECONDS = 0.2
"""How often the office looks whether anyone has written."""
TICK_SECONDS = 5.0
"""How often open pages look again although nobody has written: time alone closes questions."""

Asked = ParamSpec("Asked")
Told = TypeVar("Told")


class Office:
    """A clerk, for many pages at once.

    Args:
        clerk: Used by this office alone.
        now: The clock.
    """

    def __init__(
        self, clerk: Clerk, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.clerk = clerk
        self.now = now
        self._turn = trio.Lock()
        self._news = trio.Event()

    async def ask(
        self, question: Callable[Asked, Told], *args: Asked.args, **kwargs: Asked.kwargs
    ) -> Told:
        """Return what a function says that reads or writes the book."""
        async with self._turn:
            return await trio.to_thread.run_sync(partial(question, *args, **kwargs))

    async def watch(self) -> None:
        """Wake those who wait for news, whenever anyone has written here or elsewhere."""
        seen = None
        while True:
            version = await self.ask(self.clerk.book.version)
            if version != seen:
                seen = version
                self._news.set()
                self._news = trio.Event()
            await trio.sleep(POLL_SECONDS)

    async def news(self) -> None:
        """Wait until something may have changed: someone wrote, or time has passed."""
        with trio.move_on_after(TICK_SECONDS):
            await self._news.wait()
