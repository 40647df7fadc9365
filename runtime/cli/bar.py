"""A bar on stderr, for what takes longer than a second while somebody looks at a terminal."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

_PATIENCE_SECONDS = 1.0

One = TypeVar("One")


class Bar:
    """Shows how much of something is done, once that has taken longer than a second.

    Args:
        doing: What is being done.
        total: How much it is in all.
        done: How much of it was done before.
        clock: Tells the time, in seconds.
    """

    def __init__(
        self,
        doing: str,
        total: int,
        done: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doing, self._total, self._done = doing, total, done
        self._clock, self._began = clock, clock()
        self._shown: Progress | None = None

    def goes_on(self, doing: str | None = None, *, by: int = 0) -> None:
        """Take up what is being done now, and that so much more is done."""
        self._done += by
        self._doing = self._doing if doing is None else doing
        if self._shown is None:
            if not sys.stderr.isatty() or self._clock() - self._began < _PATIENCE_SECONDS:
                return
            self._shown = _started()
            self._shown.add_task("", total=self._total)
        self._shown.update(self._shown.task_ids[0], description=self._doing, completed=self._done)

    def hide(self) -> None:
        """Take it off the terminal, until it goes on."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


def _started() -> "Progress":
    from rich.console import Console
    from rich.progress import Progress

    shown = Progress(console=Console(stderr=True), transient=True, redirect_stdout=False)
    shown.start()
    return shown


@contextmanager
def bar(doing: str, total: int, done: int = 0) -> Iterator[Bar]:
    """Keep a bar, and take it off the terminal at the end."""
    shown = Bar(doing, total, done)
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
