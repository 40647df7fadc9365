"""What the documents say is attacked by a test is: each test that they name exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/promises.md", "docs/threat-model.md", "SECURITY.md", "docs/reliability.md")
NAMED = re.compile(r"`((?:[\w/]+/)?test_\w+\.py)?(?:::(test_\w+)(…?))?`")
FOLDERS = re.compile(r"`(tests/[\w/]*)`")


@cache
def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def missing(text: str) -> list[str]:
    """Return the tests that a page names and that are not there."""
    found = [name for name in FOLDERS.findall(text) if not (ROOT / name).is_dir()]
    file = ""
    for named, test, more in NAMED.findall(text):
        file = named or file
        path = ROOT / (file if "/" in file else f"tests/runtime/{file}")
        if not path.is_file():
            found.append(file)
        elif test and not any(
            name.startswith(test) if more else name == test for name in names_in(path)
        ):
            found.append(f"{file}::{test}")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    """A test that was renamed or dropped takes its promise with it."""
    assert missing((ROOT / page).read_text()) == []


def test_a_name_that_is_not_there_is_found() -> None:
    """The search is not blind."""
    wrong = "`tests/nowhere/` `test_none.py` `test_loop.py::test_nothing_of_the_kind` `::test_x…`"
    assert len(missing(wrong)) == 4


def test_every_promise_of_the_threat_model_names_a_test() -> None:
    """Under each heading of what we promise stands at least one test."""
    text = (ROOT / "docs/threat-model.md").read_text()
    promised = text.split("## What we promise")[1].split("\n## ")[0]
    for section in promised.split("\n### ")[1:]:
        assert re.search(r"`tests/\S+::test_\w+`", section), section.splitlines()[0]


def test_links_between_the_pages_lead_somewhere() -> None:
    """Each relative link names a file, and each anchor a heading."""
    for page in PAGES:
        for target in re.findall(r"\]\(((?!http)[^)]+)\)", (ROOT / page).read_text()):
            name, _, anchor = target.partition("#")
            path = (ROOT / page).parent / name if name else ROOT / page
            assert path.is_file(), (page, target)
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
            assert not anchor or anchor in slugs, (page, target)
