"""How far something long has got, on stderr: a bar on a terminal, and lines in a log if asked."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_SECONDS = 1.0
LINE_SECONDS = 10.0

One = TypeVar("One")
Tick = Callable[[], None]
"""Called for each part that is done."""


class Bar:
    """Shows how much of something is done, once that has taken longer than a second.

    Args:
        doing: What is being done.
        total: How much it is in all.
        line_seconds: Where stderr is no terminal, a line is written so often; None: never.
        clock: Tells the time, in seconds.
    """

    def __init__(
        self,
        doing: str,
        total: int,
        *,
        line_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doing, self._total, self._done = doing, total, 0
        self._clock, self._line_seconds = clock, line_seconds
        self._began = self._told = clock()
        self._shown: Progress | None = None

    def goes_on(self, doing: str | None = None, *, by: int = 0) -> None:
        """Take up what is being done now, and that so much more is done."""
        self._done += by
        self._doing = self._doing if doing is None else doing
        if not sys.stderr.isatty():
            self._say()
            return
        if self._shown is None:
            if self._clock() - self._began < PATIENCE_SECONDS:
                return
            self._shown = _started()
            self._shown.add_task("", total=self._total)
        self._shown.update(self._shown.task_ids[0], description=self._doing, completed=self._done)

    def hide(self) -> None:
        """Take it off the terminal, until it goes on."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None

    def _say(self) -> None:
        now = self._clock()
        if self._line_seconds is not None and now - self._told >= self._line_seconds:
            self._told = now
            line = f"{self._doing}: {self._done} of {self._total}, {now - self._began:.0f} s"
            print(line, file=sys.stderr, flush=True)


def _started() -> "Progress":
    from rich.console import Console
    from rich.progress import Progress

    shown = Progress(console=Console(stderr=True), transient=True, redirect_stdout=False)
    shown.start()
    return shown


@contextmanager
def bar(doing: str, total: int, *, line_seconds: float | None = None) -> Iterator[Bar]:
    """Keep a bar, and take it off the terminal at the end."""
    shown = Bar(doing, total, line_seconds=line_seconds)
    try:
        yield shown
    finally:
        shown.hide()


def counted(objects: Iterable[One], doing: str, total: int) -> Iterator[One]:
    """Yield what it is given; a bar shows how much of it that was."""
    with bar(doing, total) as shown:
        for one in objects:
            shown.goes_on(by=1)
            yield one


@contextmanager
def ticking(what: str, total: int) -> Iterator[Tick]:
    """Yield what to call `total` times, for work of minutes that may be watched through a log."""
    with bar(what, total, line_seconds=LINE_SECONDS) as shown:
        yield lambda: shown.goes_on(by=1)
