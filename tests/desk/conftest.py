"""A desk for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.cli.conftest import Cli
from tests.desk.browser import browser
from tests.desk.world import World


@pytest.fixture(scope="session")
def page() -> Iterator[Chrome]:
    """One browser for all tests of this process: it takes seconds to open."""
    with browser() as found:
        yield found


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command line in a fresh folder."""
    return Cli(tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty desk with two people who may do everything."""
    made = World(tmp_path)
    yield made
    made.book.close()
    made.questions.store.close()
