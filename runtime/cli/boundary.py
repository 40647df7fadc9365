"""`monastery boundary`: does any training signal of your learner cross a boundary?"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from monastery.runtime.cli import output
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput, MonasteryError, Unfit

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_WORDS = {True: "holds", False: "FAILS", None: "unknown"}


@app.command(epilog="Example: monastery boundary my_training:make_subject")
def boundary(
    factory: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FACTORY",
            help="A function without arguments that returns what is to be checked: a "
            "LearnerSubject or a TrainerSubject. Modules of this folder are found.",
            show_default=False,
        ),
    ],
    seed: Annotated[int, typer.Option(help="Of the runs that it is played.")] = 0,
    json: output.JsonOption = False,
) -> None:
    """Check a learner or trainer of yours: does any training signal cross a boundary?

    Each verdict holds, fails, or is unknown for the reason given. Exit code 1 when any fails. It
    runs your code, here, without a box.
    """
    make = _find(factory)
    try:
        from monastery.policies.learners.boundary import check_boundary
    except ImportError as exc:
        raise Unfit(f"{exc.name} is not installed; pip install 'monastery[train]'") from exc
    try:
        findings = check_boundary(make, seed=seed)
    except MonasteryError:
        raise
    except Exception as exc:
        raise _broke(factory, exc) from exc
    if json:
        told = [
            {"name": one.name, "verdict": one.verdict, "reason": one.reason} for one in findings
        ]
        output.as_json({"subject": factory, "findings": told})
    else:
        output.table(
            ("CLAIM", "VERDICT", "WHY"),
            [
                (one.name, _WORDS[one.verdict], visible_line(one.reason, max_columns=None))
                for one in findings
            ],
        )
    raise typer.Exit(1 if any(one.verdict is False for one in findings) else 0)


def _broke(what: str, exc: Exception) -> BadInput:
    why = f"{type(exc).__name__}: {exc}".splitlines()[0]
    return BadInput(f"{what} broke: {why} (monastery --debug shows where)")


def _find(factory: str) -> Callable[[], Any]:
    """Return the function that makes what is checked.

    Raises:
        BadInput: There is none of that name.
    """
    module, colon, name = factory.partition(":")
    if not (module and colon and name):
        raise BadInput(f"{factory!r} names no function; write MODULE:FACTORY")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is None or not (module == exc.name or module.startswith(f"{exc.name}.")):
            raise BadInput(f"{module!r} imports {exc.name!r}, which is not installed") from exc
        raise BadInput(f"there is no module {module!r} here; go to the folder it is in") from exc
    except Exception as exc:
        raise _broke(module, exc) from exc
    made: Any = getattr(found, name, None)
    if not callable(made):
        raise BadInput(f"{module!r} has no function {name!r}")
    return made  # type: ignore[no-any-return]
