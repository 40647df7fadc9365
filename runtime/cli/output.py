"""What goes where: results on stdout, logs and errors on stderr."""

import enum
import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monastery.runtime.errors import MonasteryError, ProjectInvalid

if TYPE_CHECKING:
    from rich.console import Console

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class LogLevel(enum.StrEnum):
    """From which level on logs are shown."""

    debug = enum.auto()
    info = enum.auto()
    warning = enum.auto()
    error = enum.auto()


@dataclass(slots=True)
class Options:
    """What was said before the command's name."""

    debug: bool = False


def configure_logs(level: LogLevel) -> None:
    """Send logs to stderr: pretty on a terminal, one JSON object a line otherwise.

    The command's module is imported by now. When none of what it needs has imported structlog,
    nothing can be logged, and a quarter of a short command's time is saved.
    """
    if "structlog" not in sys.modules:
        return
    import logging

    import structlog

    pretty = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
            *([] if pretty else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def line(text: str = "") -> None:
    """Print one line of results."""
    sys.stdout.write(text + "\n")


def as_json(value: Any) -> None:
    """Print one JSON value: indented for a person, on one line for a program."""
    indent = 2 if sys.stdout.isatty() else None
    line(json.dumps(value, indent=indent, default=_plain, ensure_ascii=True))


def compact_json(value: Any) -> str:
    """Return JSON on one line, as programs read it."""
    return json.dumps(value, default=_plain, ensure_ascii=True)


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()
) -> None:
    """Print rows in columns; the columns named in `right` are set flush right."""
    lines = [tuple(headers), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        padded = (
            cell.rjust(width) if header in right else cell.ljust(width)
            for cell, width, header in zip(cells, widths, headers, strict=True)
        )
        line("  ".join(padded).rstrip())


def note(text: str) -> None:
    """Say something beside the results, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def console() -> "Console":
    """Return a console on stdout: as wide as the terminal, unbounded where there is none."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 1000
    return Console(file=sys.stdout, width=wide, markup=False, highlight=False, emoji=False)


def flush() -> bool:
    """Write out what is buffered; False when nobody reads it any more."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return False
    return True


@contextmanager
def unread_is_fine() -> Iterator[None]:
    """Print for whoever reads; when nobody does any more, now and later output goes nowhere.

    For commands whose work matters more than what they print.
    """
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich turns a broken pipe into an exit
        discard()


def discard() -> None:
    """Send what is still to be printed nowhere, so that it cannot break again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def report(exc: BaseException) -> int | None:
    """Say on stderr what broke, and return the exit code; None when it is a fault of our own."""
    leaves = list(_leaves(exc))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return 130
    known = [leaf for leaf in leaves if isinstance(leaf, MonasteryError)]
    if len(known) < len(leaves):
        return None
    from monastery.runtime.display import visible

    for error in known:
        # Faults of a project file begin with file and line, as editors and compilers have it.
        prefix = "" if isinstance(error, ProjectInvalid) else "monastery: "
        note(visible(f"{prefix}{error}"))
    return max(error.exit_code for error in known)


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    """Yield what broke, without the groups that trio puts around it."""
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from _leaves(inner)
    else:
        yield exc


def seconds(value: float | None) -> str:
    """Return a duration as a person reads it."""
    if value is None:
        return ""
    if value < 0.1:
        return f"{value * 1000:.2g} ms" if value < 0.01 else f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def size(value: int) -> str:
    """Return a number of bytes as a person reads it."""
    if value < 1024:
        return f"{value} B"
    for unit in ("KiB", "MiB", "GiB"):
        value_in_unit = value / (1 << 10 * (("KiB", "MiB", "GiB").index(unit) + 1))
        if value_in_unit < 1024 or unit == "GiB":
            break
    return f"{value_in_unit:.1f} {unit}"


def when(value: datetime) -> str:
    """Return a time as a person reads it, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
