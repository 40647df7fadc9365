"""The house: which room may import which, and that what is packaged is what is there."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("runtime", "sandbox", "auditor", "policies")
NOUNS = {"records", "ports", "errors", "cases", "project", "canonical", "owner", "gateway"}
NOUNS |= {"credit", "people", "display", "gate", "planted", "draw"}
"""What every room may import of the runtime: nouns and protocols; who a process is; what a model
call may hold and used, and a segment is worth, which is pure; how several votes become one; and how
text is made safe to show."""

PURE = {"records", "ports", "errors", "events", "gate", "draw", "cases", "canonical", "project"}
PURE |= {"content", "merkle", "note", "credit", "people", "planted"}
"""Modules that do no input or output: they may import each other, and libraries that are pure."""

HEAVY = {"docker": "sandbox", "torch": "policies", "openai": "policies", "anthropic": "policies"}
HEAVY |= {"libzim": "runtime", "transformers": "policies", "numpy": "policies"}
HEAVY |= {"trl": "policies", "datasets": "policies", "pyarrow": "runtime"}


def _modules() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def _folders() -> set[Path]:
    """Return the packages; what is sent into boxes is data, not imported here."""
    return {path.parent for path in _modules()} - {ROOT / "sandbox" / "inside"}


def _name(path: Path) -> str:
    return ".".join(("monastery", *path.relative_to(ROOT).with_suffix("").parts))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_no_arrow_that_the_design_forbids(path: Path) -> None:
    """Only the composition root knows all rooms; the others know the runtime's nouns."""
    own = path.relative_to(ROOT).parts[0]
    root = own == "runtime" and "cli" in path.parts
    for name in _imports(path):
        first, *rest = name.split(".")
        assert first not in ROOMS, f"{path}: {name} would be a second copy of monastery.{name}"
        if first in HEAVY:
            assert own == HEAVY[first], f"{path}: only {HEAVY[first]} may know of {first}"
        if first != "monastery" or rest[0] == own or root:
            continue
        assert rest[0] == "runtime", f"{path}: {own} must not know of {rest[0]}"
        assert own != "runtime", f"{path}: the runtime must not know of {rest[0]}"
        assert rest[1] in NOUNS, f"{path}: {own} may import only the runtime's nouns, not {name}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_what_is_pure_stays_pure(name: str) -> None:
    """The nouns, the gate and the draw touch no file, no clock and no network."""
    allowed_libraries = {"pydantic", "msgspec"}
    standard = {"base64", "binascii", "collections", "contextlib", "dataclasses", "datetime"}
    standard |= {
        "functools",
        "hashlib",
        "hmac",
        "math",
        "pathlib",
        "re",
        "secrets",
        "statistics",
        "typing",
    }
    for imported in _imports(ROOT / "runtime" / f"{name}.py"):
        first, *rest = imported.split(".")
        if first == "monastery":
            assert rest[:1] == ["runtime"], imported
            assert rest[1] in PURE, imported
        else:
            assert first in allowed_libraries | standard, imported


def test_what_is_heavy_is_loaded_where_it_is_used() -> None:
    """Who runs a project without a local model never waits for one."""
    program = "import sys, monastery.runtime.cli.compose; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert loaded & {"torch", "transformers", "libzim"} == set()


def test_every_package_on_disk_is_listed() -> None:
    """A folder that is not listed works in an editable install and is missing from the wheel."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {_name(folder / "x").rpartition(".")[0] for folder in _folders()}
    assert set(listed) == found


def test_every_folder_explains_itself() -> None:
    """Each package says in its __init__ what it is."""
    for folder in _folders():
        text = (folder / "__init__.py").read_text()
        assert ast.get_docstring(ast.parse(text)), folder
