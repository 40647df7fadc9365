"""Copies of boxes without boxes: a scripted cell, opened as the desk opens the real ones."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from monastery.runtime.errors import BoxError
from monastery.runtime.people import Question
from monastery.runtime.ports import Copied
from monastery.runtime.records import CommandResult
from monastery.sandbox.scripted import ScriptedCell, finished


class ScriptedDigger:
    """Opens copies that hold one file.

    Attributes:
        opened: How many are open.
        fault: Why none can be opened; empty when they can.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.fault = ""

    @asynccontextmanager
    async def open(self, question: Question) -> AsyncIterator[Copied]:
        """Open one."""
        if self.fault:
            raise BoxError(self.fault)
        self.opened += 1
        try:
            commands: Any = {"cat": _cat, "flood": _flood}
            yield Copied(ScriptedCell({"note.txt": b"the bell is broken\n"}, commands), "box")
        finally:
            self.opened -= 1


async def _cat(files: dict[str, bytes], argv: Sequence[str], stdin: bytes) -> CommandResult:
    return finished(0, files[argv[1]])


async def _flood(files: dict[str, bytes], argv: Sequence[str], stdin: bytes) -> CommandResult:
    return finished(0, b"flood\n" * 200_000)
