"""What every executor is built with, and the shape that all of them share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from monastery.runtime.ports import Desk, Executor
from monastery.runtime.project import StepSettings


@dataclass(frozen=True, slots=True)
class Context:
    """Where an executor works.

    Attributes:
        folder: The folder of the project file; relative paths in settings are relative to it.
        goal: The project's goal, for the questions that people are asked.
        desk: Where those questions are put.
    """

    folder: Path
    goal: str
    desk: Desk


class Configured(Executor, Protocol):
    """An executor class as `KINDS` names it: made from its own settings and a context."""

    Settings: ClassVar[type[StepSettings]]

    def __init__(self, settings: Any, context: Context) -> None: ...

    @classmethod
    def faults(cls, settings: Any, folder: Path) -> list[str]:
        """Return what is wrong with these settings on this machine, one line each.

        Each line names the field and the mend. It is called once, when a project is loaded, and may
        look at the disk.
        """
        ...


def resolve(folder: Path, path: str) -> Path:
    """Return a path of the project file as an absolute one; ``~`` is the user's home."""
    return (folder / Path(path).expanduser()).resolve()
