"""A bar on the error stream, for what takes longer than a second."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from camera.planning import Tick

PATIENCE_SECONDS = 1.0
LINE_SECONDS = 10.0


@contextmanager
def progress(what: str, total: int) -> Iterator[Tick]:
    """Show how far it got: a bar on a terminal, else a line every ten seconds.

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
        if console.is_terminal:
            if now - began > PATIENCE_SECONDS and not bar.live.is_started:
                bar.start()
        elif now - told > LINE_SECONDS:
            told = now
            console.print(f"{what}: {done} of {total}, {now - began:.0f} s", soft_wrap=True)

    try:
        yield tick
    finally:
        if bar.live.is_started:
            bar.stop()
