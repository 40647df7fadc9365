"""The commands that go on with a run, as one types them from here."""

import shlex
from pathlib import Path

from monastery.runtime.cli.home import find
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store


def resume(store: Store, row: RunRow) -> str:
    """Return the command that goes on with this run."""
    return f"monastery run --resume {row.run}{home_option(store)}"


def after_answer(store: Store, run: str) -> str | None:
    """Return what to say to someone who answered a run's question, when nothing runs it."""
    command = waking(store, run)
    return None if command is None else f"nothing runs {run} now; go on with: {command}"


def waking(store: Store, run: str) -> str | None:
    """Return the command that goes on with a run that is not over and that nothing runs."""
    row = store.run(run)
    if row.status in ("done", "failed") or store.held(row):
        return None
    if row.status == "parked":
        return f"monastery wake{home_option(store)}"
    return resume(store, row)


def home_option(store: Store) -> str:
    """Return the option that finds this home from here, if one is needed."""
    if find().resolve() == store.home.resolve():
        return ""
    return f" --home {shlex.quote(short(store.home))}"


def short(path: Path) -> str:
    """Return a path as one writes it from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
