"""How far it got, on the error stream, for what takes longer than a moment."""

import sys
from collections.abc import Callable
from time import monotonic

LINE_SECONDS = 10.0


def teller(what: str, total: int, line_seconds: float = LINE_SECONDS) -> Callable[[], None]:
    """Return what to call `total` times.

    On a terminal one line is kept up to date, else one line comes every so many seconds.
    """
    began = told = monotonic()
    done, live = 0, sys.stderr.isatty()

    def tick() -> None:
        nonlocal done, told
        done += 1
        now = monotonic()
        if live:
            end = "\r" if done < total else "\x1b[K\r"
            line = f"{what}: {done} of {total}, {now - began:.0f} s" if done < total else ""
            print(line, end=end, file=sys.stderr, flush=True)
        elif now - told > line_seconds:
            told = now
            print(f"{what}: {done} of {total}, {now - began:.0f} s", file=sys.stderr)

    return tick
