"""`monastery image`: make the box image of a project ahead of its runs; see which there are."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import trio
import typer

from monastery.runtime import project_file
from monastery.runtime.cli import compose, output
from monastery.runtime.cli.compose import BoxImage
from monastery.runtime.display import visible_line
from monastery.runtime.runner import spec_of

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog="Examples: monastery image; monastery image examples/letters/project.yaml")
def image(
    project: Annotated[
        Path | None,
        typer.Argument(metavar="PROJECT", help="Make the box image of this project."),
    ] = None,
    json: output.JsonOption = False,
) -> None:
    """Make a project's box image ahead of its runs; list those that there are.

    With a project: its image is made if it is not there, with packages added as the project says,
    and told. A run does the same when it starts; made ahead, it starts at once. Without a project:
    the standard image and all that were made of it, or of others, by adding packages.
    """
    if project is None:
        _tell_all(trio.run(compose.images), json)
        return
    loaded = project_file.load(project)
    found = trio.run(compose.image_facts, spec_of(loaded.project, loaded.folder))
    if json:
        output.as_json(asdict(found))
        return
    output.line(f"image     {found.name}")
    output.line(f"digest    {found.digest}")
    output.line(f"size      {output.size(found.size_bytes)}")
    output.line(f"holds     {_holds(found)}")


def _tell_all(found: list[BoxImage], json: bool) -> None:
    if json:
        output.as_json([asdict(one) for one in found])
        return
    if not found:
        output.line("no box images yet; make the standard one with: make setup")
        return
    output.table(
        ("IMAGE", "DIGEST", "SIZE", "MADE", "HOLDS"),
        [
            (
                one.name,
                one.digest.removeprefix("sha256:")[:12],
                output.size(one.size_bytes),
                one.made[:10],
                _holds(one),
            )
            for one in found
        ],
        right=("SIZE",),
    )


def _holds(one: BoxImage) -> str:
    """Return what was added to which image, in words."""
    if one.base is None:
        return "what it came with"
    if not one.base:
        return "packages that an earlier version did not note"
    added = ", ".join((*one.debian, *one.pip))
    return visible_line(f"{added}, added to {one.base.removeprefix('sha256:')[:12]}")
