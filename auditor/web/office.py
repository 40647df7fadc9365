"""The office: where pages ask the clerk. One at a time, in a thread, for a disk may be slow.

Those who came while the clerk was busy are heard together, in one transaction: a crowd of votes
costs one flush of the disk. Each hears what came of it only when that flush is over.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

import trio

from monastery.auditor.desk.clerk import Clerk

POLL_SECONDS = 0.2
"""How often the office looks whether anyone has written."""
TICK_SECONDS = 5.0
"""How often open pages look again although nobody has written: time alone closes questions."""


class _Undone(Exception):
    """A question raised; what it wrote is taken back."""


Asked = ParamSpec("Asked")
Told = TypeVar("Told")


@dataclass(slots=True, eq=False)
class _Asked:
    """What someone asks, and what they are told."""

    question: Callable[[], Any]
    settled: bool = False
    told: Any = None
    broke: BaseException | None = None

    def settle(self) -> None:
        """Ask."""
        try:
            self.told = self.question()
        except BaseException as exc:  # noqa: BLE001 - it is raised where it was asked
            self.broke = exc

    def hear(self) -> Any:
        """Return what was told.

        Raises:
            BaseException: What the question raised, or what kept it from being kept.
        """
        if self.broke is not None:
            raise self.broke
        return self.told


class Office:
    """A clerk, for many pages at once.

    Args:
        clerk: Used by this office alone.
        now: The clock.

    Attributes:
        changes: How often it has seen that someone wrote.
    """

    def __init__(
        self, clerk: Clerk, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.clerk = clerk
        self.now = now
        self._turn = trio.Lock()
        self._news = trio.Event()
        self.changes = 0
        self._waiting: deque[_Asked] = deque()

    async def ask(
        self, question: Callable[Asked, Told], *args: Asked.args, **kwargs: Asked.kwargs
    ) -> Told:
        """Return what a function says that reads or writes the book."""
        asked = _Asked(partial(question, *args, **kwargs))
        self._waiting.append(asked)
        try:
            async with self._turn:
                if not asked.settled:  # by the one who had the turn before
                    await trio.to_thread.run_sync(self._hear)
        finally:
            if not asked.settled:  # who has left asks nothing any more
                self._waiting.remove(asked)
        told: Told = asked.hear()
        return told

    def _hear(self) -> None:
        """Settle all that is asked by now. What one asks in vain takes nothing from the others."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if len(batch) == 1:
            batch[0].settle()
        else:
            self._hear_together(batch)
        for asked in batch:
            asked.settled = True

    def _hear_together(self, batch: list[_Asked]) -> None:
        book = self.clerk.book
        try:
            with book.turn():
                for asked in batch:
                    with suppress(_Undone), book.part():
                        asked.settle()
                        if asked.broke is not None:
                            raise _Undone
        except Exception as exc:  # noqa: BLE001 - raised where they were asked: nothing was kept
            for asked in batch:
                asked.broke = asked.broke or exc

    async def watch(self) -> None:
        """Wake those who wait for news, whenever anyone has written here or elsewhere."""
        seen = None
        while True:
            version = await self.ask(self.clerk.book.version)
            if version != seen:
                seen = version
                self.changes += 1
                self._news.set()
                self._news = trio.Event()
            await trio.sleep(POLL_SECONDS)

    async def news(self, known: int | None = None) -> None:
        """Wait until something may have changed: someone wrote, or time has passed.

        Args:
            known: The changes that are known already; with more there is nothing to wait for.
        """
        if known is not None and known != self.changes:
            return
        with trio.move_on_after(TICK_SECONDS):
            await self._news.wait()
