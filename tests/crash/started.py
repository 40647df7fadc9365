"""`monastery run` as a process of its own, and what its home tells meanwhile."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store
from monastery.runtime.story import Story, tell

HANGS_SECONDS = 240.0
"""When a process counts as hung."""


def started(home: Path, *words: str, engine: str | None = None) -> "subprocess.Popen[str]":
    """Start `monastery run` with these words.

    Args:
        home: Its home.
        words: Its arguments.
        engine: The address of its engine; None for the machine's own.
    """
    environment = {**os.environ, "MONASTERY_HOME": str(home)}
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "monastery"), "run", "--json", *words],
        env=environment if engine is None else {**environment, "DOCKER_HOST": engine},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def rows(home: Path) -> list[RunRow]:
    """Return the runs of a home, which may not be there yet."""
    if not (home / "monastery.sqlite3").exists():
        return []
    with Store.open(home) as store:
        return store.runs()


def story(home: Path) -> Story:
    """Return what the journal of a home's newest run tells so far."""
    found = rows(home)
    if not found:
        return Story()
    with Store.open(home) as store:
        return tell(store, found[0].run)


def wait(until: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait until something is so while a process lives."""
    late = time.monotonic() + HANGS_SECONDS
    while not until():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < late
        time.sleep(0.02)
