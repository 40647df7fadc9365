"""Where runs live: the home folder, and which run is meant."""

import os
from pathlib import Path
from typing import Annotated

import typer

from monastery.runtime.errors import BadInput
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store

VARIABLE = "MONASTERY_HOME"
FOLDER = ".monastery"

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help=f"Folder that holds the runs. Default: ${VARIABLE}, else {FOLDER}/ beside the project "
        "file, or the nearest one from here upwards.",
        show_default=False,
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run: its name, the beginning of it, or last."),
]
"""The option that every command takes which reads or writes runs."""


def find(given: Path | None = None, *, beside: Path | None = None) -> Path:
    """Return the home folder; it need not exist.

    Args:
        given: What ``--home`` says, which wins.
        beside: The project's folder, when there is a project. Without one, the nearest
            ``.monastery`` from the current folder upwards is taken.
    """
    if given is not None:
        return given
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    if beside is not None:
        return beside / FOLDER
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    return here / FOLDER


def open_store(given: Path | None = None) -> Store:
    """Open the store of a home that must be there already.

    Raises:
        BadInput: There are no runs in it.
    """
    return Store.open(find(given), create=False)


def find_run(store: Store, named: str) -> RunRow:
    """Return the run that a person means: its name, a prefix of only one name, or ``last``.

    Raises:
        BadInput: There is none, or there are several.
    """
    rows = store.runs()
    if named == "last" and rows:
        return rows[0]
    for row in rows:
        if row.run == named:
            return row
    found = [row for row in rows if row.run.startswith(named)] if named else []
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(repr(row.run) for row in found[:3])
        raise BadInput(f"{named!r} begins {len(found)} runs ({some} …); write more of the name")
    return store.run(named)  # says in its own words that there is none
