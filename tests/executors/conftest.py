"""The fixtures of the executors' tests."""

from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.executors import KINDS, Context
from monastery.runtime.ports import Executor
from monastery.runtime.records import RunId, SegmentId, Step
from tests.executors.world import Faults, Make, Repo, ScriptedDesk, Steps, new_repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with two files in one commit on ``main``."""
    return new_repo(tmp_path / "repo")


@pytest.fixture
def desk() -> ScriptedDesk:
    """A desk without answers."""
    return ScriptedDesk()


@pytest.fixture
def make(tmp_path: Path, desk: ScriptedDesk) -> Make:
    """Makes the executor of a kind from settings as a project file has them."""

    def made(kind: str, **settings: Any) -> Executor:
        chosen = KINDS[kind]
        valid = chosen.Settings.model_validate(settings)
        return chosen(valid, Context(tmp_path, "mend the package", desk))

    return made


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    """Says what a kind finds wrong with settings on this machine."""

    def found(kind: str, **settings: Any) -> list[str]:
        chosen = KINDS[kind]
        return chosen.faults(chosen.Settings.model_validate(settings), tmp_path)

    return found


@pytest.fixture
def step() -> Steps:
    """Makes a step of run ``r``, segment ``r.1`` unless told otherwise."""

    def made(kind: str, payload: bytes, index: int = 1) -> Step:
        segment = SegmentId(f"r.{index}")
        return Step(RunId("r"), segment, index, kind, payload, key=str(segment))

    return made
