"""A case to judge, and a box in memory that knows whether its forks were closed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from monastery.runtime.cases import make_case
from monastery.runtime.errors import BadInput, BoxDied, EngineUnavailable
from monastery.runtime.ports import WORK, Cell
from monastery.runtime.records import (
    Case,
    Change,
    CommandResult,
    EarlierStep,
    Evidence,
    Proposal,
    SegmentId,
    Sha256,
)
from tests.auditor.programs import Programs


@dataclass
class MemoryCell:
    """Files in a dictionary; `echo`, `cat`, `pwd`, and `die`, which kills the cell."""

    files: dict[str, bytes]
    asked: trio.Event

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str = WORK,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_seconds: float = 60.0,
        max_output_bytes: int = 1 << 20,
    ) -> CommandResult:
        """Run one of the four."""
        self.asked.set()
        if argv[0] == "die":
            raise BoxDied("the fork died of its memory", out_of_memory=True)
        outputs = {"echo": " ".join(argv[1:]).encode(), "cat": stdin, "pwd": cwd.encode()}
        if argv[0] not in outputs:
            raise BadInput(f"no command {argv[0]!r}\nin this box")
        text = outputs[argv[0]]
        return CommandResult(0, text[:max_output_bytes], b"", len(text), 0)

    async def read_file(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        """Return a file."""
        if path not in self.files:
            raise BadInput(f"no file {path!r}")
        return self.files[path]

    async def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Keep a file."""
        self.files[path] = content


@dataclass
class MemoryBox:
    """Something to fork; `forks` counts, `open_forks` counts those that were not closed.

    `asked` is set when a command is run in one of them.
    """

    files: dict[str, bytes] = field(default_factory=lambda: {"/work/a.txt": b"alpha"})
    forks: int = 0
    open_forks: int = 0
    no_forks: bool = False
    asked: trio.Event = field(default_factory=trio.Event)

    def fork(self) -> AbstractAsyncContextManager[Cell]:
        """Copy the files."""
        return self._fork()

    @asynccontextmanager
    async def _fork(self) -> AsyncIterator[Cell]:
        if self.no_forks:
            raise EngineUnavailable("no engine answers")
        self.forks += 1
        self.open_forks += 1
        try:
            yield MemoryCell(dict(self.files), self.asked)
        finally:
            self.open_forks -= 1


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Programs in a folder of their own."""
    return Programs(tmp_path)


@pytest.fixture
def box() -> MemoryBox:
    """A box to fork."""
    return MemoryBox()


@pytest.fixture
def case() -> Case:
    """A case with something in every field."""
    proposal = Proposal(
        segment=SegmentId("repair-20261121-091500-k3f9.3"),
        index=3,
        kind="git",
        payload=b"diff --git a/x b/x\n\xff",
        rationale="the parser loses a line",
        evidence=(Evidence("log.txt", b"\x00\x01"),),
        changes=(Change("x", "modified", 12), Change("y", "deleted", None)),
        digest=Sha256("a" * 64),
    )
    earlier = (
        EarlierStep(1, "ask", b"which branch?", "done", {"said": "main"}),
        EarlierStep(2, "git", b"x" * 10_000, "rejected", {"log": "y" * 10_000}),
    )
    return make_case(
        "repair it",
        proposal,
        rendering="a diff",
        settings={"repository": "../x", "audit": 1.0},
        earlier=earlier,
    )
