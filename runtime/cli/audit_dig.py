"""A shell in a copy of the frozen box, from the desk in a terminal; recorded as in a browser."""

import os
import secrets
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import trio

from monastery.auditor.dig.digs import opened
from monastery.auditor.dig.session import Limits, Session, until_over
from monastery.runtime.cli import compose
from monastery.runtime.cli.digger import BoxDigger
from monastery.runtime.cli.glass import ALONE, BACK, CLEAR, Glass
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.errors import MonasteryError
from monastery.runtime.owner import this_process
from monastery.runtime.people import Dig, question_of
from monastery.runtime.records import Item, ItemId

OUT = b"\x1d"
"""Ctrl-], which gets out of telnet too."""
_LOOK_SECONDS = 0.5


class Digs:
    """The digs of one person at a terminal.

    Args:
        home: Where they are written down.
        by: The person.
    """

    def __init__(self, home: Path, by: str) -> None:
        self._home, self._by = home, by

    def of(self, item: ItemId) -> list[Dig]:
        """Return those on a question."""
        with DeskBook.open(self._home, create=False) as book:
            return book.digs(item, self._by)

    def open(self, item: Item, *, voted: bool) -> str:
        """Open a copy of the box, and stay in it until it is left; return what to say of it."""
        with DeskBook.open(self._home, create=False) as book:
            try:
                return trio.run(partial(self._open, book, item, voted=voted))
            except MonasteryError as exc:
                return f"no copy of the box was opened: {exc}"

    async def _open(self, book: DeskBook, item: Item, *, voted: bool) -> str:
        turn, question = trio.Lock(), question_of(item)

        async def ask(asked: Callable[..., Any], *args: Any) -> Any:
            async with turn:
                return await trio.to_thread.run_sync(partial(asked, *args))

        name, stage = f"dig-{secrets.token_hex(6)}", "second" if voted else "first"
        now = partial(datetime.now, UTC)
        dig = Dig(name, item.id, self._by, stage, "", this_process(), now())  # type: ignore[arg-type]
        digger = BoxDigger(compose.copies(book.home), book, ask)
        limits = Limits()
        limits = replace(limits, unseen_seconds=limits.total_seconds)
        async with opened(digger, book, ask, dig, question, _size(), limits, now) as (
            session,
            begun,
        ):
            old = (
                " from its newest snapshot, older than this step" if begun.of == "snapshot" else ""
            )

            async def closed() -> str:
                await trio.sleep(_LOOK_SECONDS)
                standing = await ask(book.standing, item.id)
                if standing is None or standing.state != "open" or standing.by is not None:
                    return "Its question was closed."
                return ""

            with _raw():
                await until_over(
                    session,
                    session.show,
                    session.expire,
                    closed,
                    partial(_type, session),
                    partial(_paint, session, old),
                )
        return f"{session.over} The copy is gone; its recording is kept: monastery dig play {name}"


async def _type(session: Session) -> str:
    """Pass one portion of keys on; return why to end it, if so."""
    await trio.lowlevel.wait_readable(sys.stdin.fileno())
    typed = os.read(sys.stdin.fileno(), 4096)
    if not typed or OUT in typed:
        return "You closed it."
    await session.type(typed)
    return ""


async def _paint(session: Session, old: str) -> str:
    """Paint whatever changes, for ever."""
    with trio.open_signal_receiver(signal.SIGWINCH) as resized:
        glass = _glass()
        async with trio.open_nursery() as nursery:

            async def follow() -> None:
                nonlocal glass
                async for _ in resized:
                    glass = _glass()
                    await session.resize(*_size())

            nursery.start_soon(follow)
            while True:
                changed = session.changed
                left = session.left_seconds() / 60
                told = (
                    f" an agent's box, copied{old}; recorded; Ctrl-] gets out; {left:.0f} min left"
                )
                await _write(glass.bar(told) + glass.paint(session.screen.lines()))
                with trio.move_on_after(10.0):
                    await changed.wait()


def _glass() -> Glass:
    sys.stdout.write(CLEAR)
    return Glass(shutil.get_terminal_size().columns)


async def _write(text: str) -> None:
    def write() -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    await trio.to_thread.run_sync(write)


def _size() -> tuple[int, int]:
    """Return the rows and columns that are left under our own line."""
    size = shutil.get_terminal_size()
    return size.lines - 1, size.columns


@contextmanager
def _raw() -> Iterator[None]:
    """Hand every key on, until the block ends."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    sys.stdout.write(ALONE)
    sys.stdout.flush()
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
        sys.stdout.write(BACK)
        sys.stdout.flush()
