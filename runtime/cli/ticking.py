"""How far something long has got, on the error stream: for commands, and for studies too."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Tick = Callable[[], None]
"""Called for each part that is done."""

PATIENCE_SECONDS = 1.0
LINE_SECONDS = 10.0


@contextmanager
def ticking(
    what: str,
    total: int,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    line_seconds: float = LINE_SECONDS,
    console: Console | None = None,
) -> Iterator[Tick]:
    """Show how far it got: a bar on a terminal, elsewhere a line now and then.

    Args:
        what: What it is that takes long, in a word or two.
        total: How many parts it has.
        patience_seconds: On a terminal, there is no bar for what is over sooner.
        line_seconds: Elsewhere, the time between lines; so long nothing is said.
        console: Where it is shown; the error stream unless told otherwise.

    Yields:
        What to call `total` times.
    """
    console = console or Console(stderr=True, highlight=False)
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
            if now - began >= patience_seconds and not bar.live.is_started:
                bar.start()
        elif now - told >= line_seconds:
            told = now
            console.print(f"{what}: {done} of {total}, {now - began:.0f} s", soft_wrap=True)

    try:
        yield tick
    finally:
        if bar.live.is_started:
            bar.stop()
