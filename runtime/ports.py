"""The protocols between the loop and the world.

Each has adapters in one room: boxes in `sandbox`, auditors in `auditor`, policies in `policies`,
executors in `runtime.executors`, the desk and the journal in `runtime` itself. Nothing here does
anything.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from monastery.runtime.records import (
    Answer,
    BoxFacts,
    BoxSpec,
    Case,
    Change,
    CommandResult,
    FromAgent,
    Item,
    Outcome,
    RunId,
    Step,
    Transcript,
    Vote,
)

WORK = "/work"
"""The box's writable folder; relative paths in a box are relative to it."""


class Cell(Protocol):
    """A place in which commands run and files lie: a box, or a fork of one."""

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
        """Run one command to its end; on the time limit kill it and all that it started.

        Raises:
            BoxDied: The box ended meanwhile.
            BadInput: The command does not exist, or the folder does not.
        """
        ...

    async def read_file(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        """Return a regular file's bytes.

        Raises:
            BadInput: Not a regular file, not readable, or longer than `max_bytes`.
        """
        ...

    async def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file, making the folders that lead to it.

        Raises:
            BadInput: The path cannot be written, or the disk limit is reached.
        """
        ...

    def shell(
        self,
        argv: Sequence[str],
        *,
        rows: int,
        columns: int,
        env: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager["Shell"]:
        """Run a command on a terminal, in the work folder; it is killed when the block ends.

        Args:
            argv: The command.
            rows: How many lines the terminal has.
            columns: How many characters a line has.
            env: What is added to the environment.
        """
        ...


class Shell(Protocol):
    """A command on a terminal in a cell: what it shows, and what is typed."""

    async def receive(self) -> bytes:
        """Return what it shows next; nothing at its end.

        Raises:
            BoxDied: The cell ended meanwhile.
            BadInput: The command does not exist.
        """
        ...

    async def type(self, data: bytes) -> None:
        """Type; to a command that has ended is no error."""
        ...

    async def resize(self, rows: int, columns: int) -> None:
        """Make the terminal larger or smaller."""
        ...


class Box(Cell, Protocol):
    """The network-isolated container in which the agent thinks."""

    facts: BoxFacts

    async def start_agent(
        self, argv: Sequence[str], *, env: Mapping[str, str], history: bytes
    ) -> None:
        """Start the agent's program in the work folder.

        Args:
            history: A JSON list of the run's earlier steps, put in the file that the environment
                variable MONASTERY_HISTORY names.
        """
        ...

    async def receive(self) -> FromAgent:
        """Return the next thing that the agent says.

        Raises:
            BoxDied: The guest is gone.
            GuestMisbehaved: It broke the rules of the stream.
            LimitExceeded: The box used more than it was given.
        """
        ...

    async def answer(self, call: int, body: Mapping[str, Any] | bytes) -> None:
        """Answer the proposal or the model call with this number; a dead asker is no error.

        Args:
            call: The number.
            body: A JSON object, or its bytes on one line.
        """
        ...

    async def freeze(self) -> float:
        """Stop every process in the box, confirmed; return how long it took [seconds].

        Raises:
            FreezeFailed: It could not be confirmed within the limit. The box must be removed.
        """
        ...

    async def thaw(self) -> None:
        """Let every process in the box go on."""
        ...

    async def rejoin(self) -> bool:
        """Let a box go on that was found alive and is frozen; only for those.

        What its agent asked the runtime before this one, and was not answered, is received again.

        Returns:
            Whether its agent's program had been started; what became of it is received.
        """
        ...

    async def keep_snapshot(self) -> None:
        """Keep a copy of the files, if the last is as old as the spec lets it be; when frozen.

        From it the box is rebuilt when its work folder is lost.
        """
        ...

    async def keep_moment(self, moment: str) -> None:
        """Keep a copy of the files under this name, in the place of the last; not while it thinks.

        One that is there already stays as it is. When it fails, there is none of this name.
        """
        ...

    def rollout(self, moment: str) -> "AbstractAsyncContextManager[Box]":
        """Open a box of its own, made as this one is, with the files that were kept so.

        It is removed with all its files when the block ends.

        Raises:
            BoxError: There is no such copy, or the box did not come up.
        """
        ...

    def take_transcript(self) -> Transcript:
        """Return what the agent printed since the last call, and forget it."""
        ...

    async def changes(self) -> list[Change]:
        """Return what changed in the work folder since the last call, by path. Best when frozen."""
        ...

    def fork(self) -> AbstractAsyncContextManager[Cell]:
        """Open a copy of the frozen box with the same files, no agent, and as little network.

        It is removed with all its files when the block ends.
        """
        ...


class Sandbox(Protocol):
    """Makes boxes."""

    def open(self, run: RunId, spec: BoxSpec) -> AbstractAsyncContextManager[Box]:
        """Open the run's box; a work folder that an earlier box of this run left is kept.

        The container is removed when the block ends, however it ends. The work folder stays until
        `forget`.

        Raises:
            EngineUnavailable: No engine answers.
            ImageUnfit: The image is missing or has no python3.
        """
        ...

    async def forget(self, run: RunId) -> None:
        """Remove everything that is kept for a run which is over."""
        ...

    async def reap(self, can_go_on: Callable[[RunId], bool] = lambda run: False) -> list[str]:
        """Remove boxes whose runtime is dead, frozen ones too; return their ids.

        Args:
            can_go_on: Whether a run is not over, so that its box may be needed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy of a run's box.

    Attributes:
        cell: The copy.
        of: What was copied: the ``box``, the ``folder`` that a closed box left, or the newest
            ``snapshot``, which is older.
    """

    cell: Cell
    of: Literal["box", "folder", "snapshot"]


class Copies(Protocol):
    """Makes copies of boxes from outside of their runs; every sandbox of real boxes can."""

    def copy(self, run: RunId, spec: BoxSpec) -> AbstractAsyncContextManager[Copied]:
        """Open a copy of the box of a run that another process may be running, or none.

        The copy has the box's files, none of its processes, and as little network. It is removed
        when the block ends. Whether the box stood still while it was copied, the caller finds out.

        Raises:
            EngineUnavailable: No engine answers.
            BoxError: There is nothing to copy, or it is in use.
        """
        ...


class Auditor(Protocol):
    """Judges how reasonable a proposal looks, without executing it."""

    name: str

    async def judge(self, case: Case, box: "Forkable") -> Vote:
        """Return a vote.

        Raises:
            AuditFailed: It could not, or its answer was nonsense.
        """
        ...


class Forkable(Protocol):
    """Something that can be copied for a closer look; every `Box` is one."""

    def fork(self) -> AbstractAsyncContextManager[Cell]:
        """Open a throw-away copy."""
        ...


class Policy(Protocol):
    """The model that thinks. One that holds connections open has `aclose` too."""

    name: str

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer one model call: a JSON object in, a JSON object out.

        A call of an API is `api` and `request`, which passed the wall; its answer is the `status`
        and the `response` of that API, or what a scripted policy says. A model on this machine
        adds `sampled`, which is recorded beside them and which the agent is not sent: the tokens
        of the prompt and of each answer, with their log-probabilities, and how they were drawn.

        Raises:
            PolicyFailed: It did not answer; the agent is told.
        """
        ...


class Web(Protocol):
    """A cached copy of the web."""

    async def fetch(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Search it, or read a page of it; `fetches` has the shapes.

        Raises:
            WebFailed: It cannot be read; the agent is told.
        """
        ...

    async def aclose(self) -> None:
        """Let go of it."""
        ...


class Executor(Protocol):
    """Plain code that carries out one kind of step. It holds the secrets."""

    kind: str

    def check(self, payload: bytes) -> None:
        """Refuse a payload that is not one of this kind, before anyone is asked about it.

        Raises:
            BadPayload: Says in one line what is wrong.
        """
        ...

    def render(self, payload: bytes) -> str:
        """Return the payload decoded for a reader: exactly what would be done. Not made safe."""
        ...

    async def execute(self, step: Step) -> Outcome:
        """Carry the step out, once."""
        ...

    async def reconcile(self, step: Step) -> Outcome | None:
        """Say what came of a step whose outcome is unknown, by looking; None when it can't tell."""
        ...


class Desk(Protocol):
    """Where questions wait for people."""

    async def ask(self, item: Item) -> Answer | None:
        """Put the question where people find it, durably, and wait.

        Asking again with the same id goes on waiting for the same answer.

        Returns:
            The answer, or None when the deadline passed first or it was withdrawn.
        """
        ...

    async def withdraw(self, prefix: str) -> None:
        """Make the run's open questions whose ids begin with `prefix` inert."""
        ...
