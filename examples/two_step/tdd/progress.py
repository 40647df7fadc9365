"""A bar on the error stream; a line now and then where that is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 30.0


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how far it got.

    Yields:
        What to call `total` times.
    """
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
    task = bar.add_task(what, total=total)
    began = told = time.monotonic()
    done = 0

    def tick() -> None:
        nonlocal done, told
        done += 1
        bar.advance(task)
        now = time.monotonic()
        if not console.is_terminal and now - told > LINE_SECONDS:
            told = now
            console.print(f"{what}: {done} of {total}, {now - began:.0f} s", soft_wrap=True)

    if console.is_terminal:
        bar.start()
    try:
        yield tick
    finally:
        bar.stop()
