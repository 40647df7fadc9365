"""The process that is killed: `monastery run` as it is, with points around it and a pipe from it.

Forked from a process that has imported everything, so that it starts in milliseconds; or, where
that has threads, a program: ``python -m tests.crash.victim POINT run PROJECT``.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from monastery.runtime.cli import compose, main, run
from monastery.runtime.journal import Record
from monastery.runtime.ports import Desk
from monastery.runtime.project_file import Loaded
from monastery.runtime.rows import RunRow
from monastery.runtime.run import World
from monastery.runtime.runner import go
from tests.crash.points import Points

__all__ = ["compose", "forked"]


def forked(
    arguments: Sequence[str],
    *,
    home: Path,
    log: Path,
    points: Points | None = None,
    told: int | None = None,
) -> int:
    """Start `monastery` with these arguments; return its process number.

    Args:
        arguments: Of the command line.
        home: Its MONASTERY_HOME.
        log: Where its output goes.
        points: Where it dies; None is a process of its own program, without anything around it.
        told: A pipe's end into which every acknowledged event is written, one JSON line each.
    """
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        os.environ["MONASTERY_HOME"] = str(home)
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if points is None:
            program = str(Path(sys.executable).parent / "monastery")
            os.execv(program, [program, *arguments])
        _live(arguments, points, told)
    finally:
        os._exit(99)  # never into the code of the process that was forked


def _live(arguments: Sequence[str], points: Points, told: int | None) -> NoReturn:
    points.around_store()

    async def watched(
        home: Path,
        row: RunRow,
        loaded: Loaded,
        build: Callable[[Desk, int], World],
        watch: Callable[[Record], None],
        **more: Any,
    ) -> Any:
        def tell(record: Record) -> None:
            if told is not None:
                _tell(told, record)
            watch(record)

        def built(desk: Desk, calls: int) -> World:
            return points.around_world(build(desk, calls))

        return await go(home, row, loaded, built, tell, **more)

    run.go = watched  # type: ignore[assignment]
    sys.argv = ["monastery", *arguments]
    try:
        main.main()
    except SystemExit as exc:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exc.code if isinstance(exc.code, int) else 1)


def _tell(pipe: int, record: Record) -> None:
    """Write one line; the reader counts whole lines only."""
    event = record.event.model_dump_json()
    line = f'{{"seq":{record.seq},"at":"{record.at.isoformat()}","body":{event}}}\n'.encode()
    while line:
        line = line[os.write(pipe, line) :]


if __name__ == "__main__":
    _live(sys.argv[2:], Points(sys.argv[1], 1), None)
