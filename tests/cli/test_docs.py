"""The documentation is tested: every command, option and field has its place, and no other has."""

import importlib
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel

from monastery.runtime.cli.main import COMMANDS, app
from monastery.runtime.executors import KINDS
from monastery.runtime.project import Project

DOCS = Path(__file__).parents[2] / "docs"


def _section(heading: str) -> str:
    text = (DOCS / "commands.md").read_text()
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/commands.md has no heading {heading!r}"
    return found[1]


def _options(command: Any) -> set[str]:
    return {
        max(parameter.opts, key=len)
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name != "help"
    }


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_command_and_option_has_its_place(name: str) -> None:
    """A section for each command names all of its options, and none that it has not."""
    module = importlib.import_module(f"monastery.runtime.cli.{name}") if name else None
    command = typer.main.get_command(app if module is None else module.app)
    text = _section(f"monastery {name}".strip())
    listed = "\n".join(line for line in text.splitlines() if line.startswith("* "))
    documented = set(re.findall(r"`(--[a-z-]+)`", listed))
    assert documented == _options(command)


def test_the_exit_codes_are_told() -> None:
    """Scripts depend on them."""
    text = (DOCS / "commands.md").read_text()
    for code in (0, 1, 2, 3, 130):
        assert f"| {code} |" in text


def _fields(annotation: Any, path: str) -> Iterator[str]:
    """Yield the paths of all fields under a type."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _fields(get_args(annotation)[0], path)
    elif origin in (Union, types.UnionType):
        for branch in get_args(annotation):
            yield from _fields(branch, path)
    elif origin is list:
        yield from _fields(get_args(annotation)[0], f"{path}[]")
    elif origin is dict:
        yield from _fields(get_args(annotation)[1], f"{path}.*")
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            inside = f"{path}.{field.alias or name}".removeprefix(".")
            yield inside
            yield from _fields(field.annotation, inside)


def test_every_field_of_a_project_has_its_place() -> None:
    """Each field stands in a table of docs/project-file.md, and nothing else does."""
    expected = {path for path in _fields(Project, "") if not path.startswith("steps.*")}
    for kind, executor in KINDS.items():
        expected |= {f"steps.{kind}", *_fields(executor.Settings, f"steps.{kind}")}
    text = (DOCS / "project-file.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_.\[\]*]+)` \|", text, re.MULTILINE))
    assert documented == expected


def test_the_example_is_a_project(tmp_path: Path) -> None:
    """What the page shows first can be run as it stands."""
    from monastery.runtime.project_file import parse

    text = (DOCS / "project-file.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert parse(example.encode(), tmp_path / "p.yaml", on_disk=False).project.name == "answer"


def test_the_recipes_for_agents_are_projects(tmp_path: Path) -> None:
    """The first as it stands, the other where it belongs in the first."""
    from ruamel.yaml import YAML

    from monastery.runtime.project_file import parse

    text = (DOCS / "agents.md").read_text()
    example, claude = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert parse(example.encode(), tmp_path / "p.yaml", on_disk=False).project.name == "tidy"
    whole, part = (YAML(typ="safe").load(one) for one in (example, claude))
    whole["agent"] |= part["agent"]
    env = parse(json.dumps(whole).encode(), tmp_path / "p.yaml", on_disk=False).project.agent.env
    assert env == part["agent"]["env"]
