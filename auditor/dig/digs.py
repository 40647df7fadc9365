"""Who has a shell in a copy of which box: opened, minded, ended, and written down."""

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

import structlog
import trio

from monastery.auditor.desk.book import Book
from monastery.auditor.dig.cast import Cast
from monastery.auditor.dig.screen import Screen
from monastery.auditor.dig.session import COMMAND, ENVIRONMENT, Limits, Session, until_over
from monastery.runtime.errors import BoxError, MonasteryError
from monastery.runtime.owner import is_dead, this_process
from monastery.runtime.people import Dig, Question
from monastery.runtime.ports import Copied

log = structlog.get_logger()

CUT_OFF = "It was cut off: its server ended."


class Digger(Protocol):
    """Opens copies of boxes, by the questions that are about them."""

    def open(self, question: Question) -> AbstractAsyncContextManager[Copied]:
        """Open a copy of the box in which the proposal of a question was made.

        Raises:
            MonasteryError: There is none, or it went on meanwhile.
        """
        ...


Ask = Callable[..., Awaitable[Any]]
"""Calls a function that reads or writes the book, in its turn."""


@dataclass(eq=False)
class Live:
    """A dig that lasts.

    Attributes:
        dig: Its row.
        session: The shell.
        scope: Cancelled to end it.
        gone: Set when its copy is removed and its row is written.
        lookers: How many look at it.
    """

    dig: Dig
    session: Session
    scope: trio.CancelScope
    gone: trio.Event = field(default_factory=trio.Event)
    lookers: int = 0
    seen_at: float = 0.0

    def end(self, why: str) -> None:
        """End it."""
        self.session.end(why)
        self.scope.cancel()


@asynccontextmanager
async def opened(
    digger: Digger,
    book: Book,
    ask: Ask,
    dig: Dig,
    question: Question,
    size: tuple[int, int],
    limits: Limits,
    now: Callable[[], datetime],
) -> AsyncIterator[tuple[Session, Dig]]:
    """Open a shell in a copy of a box, recorded, with its row in the book; both end with the block.

    Args:
        digger: Opens the copy.
        book: Where its row is written.
        ask: Calls a function in the book's turn.
        dig: Its row, as far as it is known.
        question: What it is about.
        size: Rows and columns of the terminal.
        limits: How long it may last.
        now: The clock of the world.

    Raises:
        MonasteryError: There is no box to copy, or it went on meanwhile.
    """
    async with digger.open(question) as copied:
        screen = Screen(*size)
        path = book.recording(dig)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        opener = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        dig = replace(dig, of=copied.of, began=now())
        cast = Cast(
            os.fdopen(opener, "wb"),
            rows=screen.rows,
            columns=screen.columns,
            began=dig.began,
            title=f"{dig.dig}: {dig.person} on {dig.item}",
        )
        await ask(_put, book, dig)
        shell = copied.cell.shell(
            COMMAND, rows=screen.rows, columns=screen.columns, env=ENVIRONMENT
        )
        session: Session | None = None
        try:
            async with shell as running:
                session = Session(running, screen, cast, limits)
                yield session, dig
        finally:
            with trio.CancelScope(shield=True):
                why = "It did not begin." if session is None else session.over or "It broke off."
                size_bytes, digest = cast.size_bytes, cast.close()
                done = replace(dig, ended=now(), why=why, sha256=digest, size_bytes=size_bytes)
                await ask(_put, book, done)
                log.info("dig.ended", dig=dig.dig, item=dig.item, reason=why)


class Digs:
    """The digs of one server.

    Args:
        digger: Opens copies.
        book: Their rows.
        ask: Calls a function in the book's turn.
        now: The clock of the world.
        limits: What they may use.
    """

    def __init__(
        self,
        digger: Digger,
        book: Book,
        ask: Ask,
        now: Callable[[], datetime],
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._digger, self._book, self._ask, self._now = digger, book, ask, now
        self._live: dict[str, Live] = {}
        self._opening: list[str] = []
        self._nursery: trio.Nursery | None = None

    async def keep(self) -> None:
        """Hold the digs' tasks, for ever; when this is cancelled all of them end."""
        await self._ask(close_cut_off, self._book, self._now())
        async with trio.open_nursery() as self._nursery:
            try:
                await trio.sleep_forever()
            finally:
                for live in self._live.values():
                    live.session.end("The server was stopped.")

    def find(self, name: str, person: str) -> Live | None:
        """Return a dig of this person that lasts."""
        live = self._live.get(name)
        return live if live is not None and live.dig.person == person else None

    def of(self, item: str, person: str) -> Live | None:
        """Return the dig that a person has on a question."""
        for live in self._live.values():
            if (live.dig.item, live.dig.person) == (item, person):
                return live
        return None

    def why_full(self, person: str) -> str:
        """Return why no other can be opened now; nothing when it can."""
        if person in [*self._opening, *(live.dig.person for live in self._live.values())]:
            return "You have a copy of a box open already, in another tab perhaps; close it first."
        if len(self._live) + len(self._opening) >= self.limits.at_once:
            return (
                f"{self.limits.at_once} copies of boxes are open already, and each takes the"
                " memory of a box; try again when one is closed."
            )
        return ""

    async def open(
        self,
        question: Question,
        person: str,
        stage: Any,
        size: tuple[int, int],
        may_stay: Callable[[], Awaitable[str]],
    ) -> Live:
        """Open one, and return when its shell is there.

        Args:
            question: What it is about.
            person: Whose it is.
            stage: Whether they voted before.
            size: Rows and columns of the terminal.
            may_stay: Waits until there may be a reason to end it; returns that, or nothing.

        Raises:
            BoxError: There is no box to copy, or it went on meanwhile, or nothing can be recorded.
        """
        assert self._nursery is not None, "digs are kept while they are used"
        name = f"dig-{secrets.token_hex(6)}"
        dig = Dig(name, question.item, person, stage, "", this_process(), self._now())
        self._opening.append(person)
        send, receive = trio.open_memory_channel[Live | BoxError](1)
        self._nursery.start_soon(self._run, dig, question, size, may_stay, send)
        found = await receive.receive()
        if isinstance(found, BoxError):
            raise found
        return found

    async def end(self, item: str, person: str, why: str) -> None:
        """End a person's dig on a question, if there is one, and wait until it is written down."""
        live = self.of(item, person)
        if live is not None:
            live.end(why)
            await live.gone.wait()

    async def _run(
        self,
        dig: Dig,
        question: Question,
        size: tuple[int, int],
        may_stay: Callable[[], Awaitable[str]],
        told: "trio.MemorySendChannel[Live | BoxError]",
    ) -> None:
        live: Live | None = None
        try:
            with trio.CancelScope() as scope:
                async with opened(
                    self._digger, self._book, self._ask, dig, question, size, self.limits, self._now
                ) as (session, begun):
                    live = Live(begun, session, scope, seen_at=trio.current_time())
                    self._live[dig.dig] = live
                    self._opening.remove(dig.person)
                    told.send_nowait(live)
                    reasons = (session.show, session.expire, may_stay, self._unseen(live))
                    await until_over(session, *reasons)
        except (MonasteryError, OSError) as exc:
            log.info("dig.failed", item=question.item, reason=str(exc))
            if live is None:
                told.send_nowait(BoxError(str(exc)))
            else:
                live.session.end(f"The copy is gone: {exc}.")
        finally:
            if live is None:
                self._opening.remove(dig.person)
            else:
                self._live.pop(dig.dig, None)
                live.session.end("It was closed.")
                live.gone.set()

    def _unseen(self, live: Live) -> Callable[[], Awaitable[str]]:
        async def wait() -> str:
            now = trio.current_time()
            due = live.seen_at + self.limits.unseen_seconds
            if not live.lookers and now >= due:
                return "Its page was closed."
            await trio.sleep(self.limits.unseen_seconds if live.lookers else due - now)
            return ""

        return wait


def _put(book: Book, dig: Dig) -> None:
    with book.turn():
        book.put_dig(dig)


def close_cut_off(book: Book, now: datetime) -> None:
    """Close the rows of digs whose process ended without doing so, with what they recorded."""
    with book.turn():
        for dig in book.all_digs():
            if dig.ended is None and is_dead(dig.owner):
                path = book.recording(dig)
                content = path.read_bytes() if path.exists() else b""
                digest = hashlib.sha256(content).hexdigest()
                book.put_dig(
                    replace(dig, ended=now, why=CUT_OFF, sha256=digest, size_bytes=len(content))
                )
