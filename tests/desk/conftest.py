"""A desk for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty desk with two people who may do everything."""
    made = World(tmp_path)
    yield made
    made.book.close()
    made.questions.store.close()
