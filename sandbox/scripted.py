"""A sandbox in memory: the agent is an async function, time may be virtual, nothing is isolated.

For tests of the loop. It ships, and is held to the part of the box contract that does not need
real processes.

    async def agent(inside: Inside) -> int:
        inside.print("I think, therefore I ask.")
        reply = await inside.model({"prompt": "what next?"})
        outcome = await inside.propose("file", b"...", "because")
        return 0 if outcome["status"] == "done" else 1

    sandbox = ScriptedSandbox(agent)
"""

import json
import posixpath
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from monastery.runtime.errors import (
    BadInput,
    BoxDied,
    BoxError,
    FreezeFailed,
    GuestMisbehaved,
    LimitExceeded,
)
from monastery.runtime.ports import WORK, Box, Cell, Shell
from monastery.runtime.records import (
    AgentExited,
    BoxFacts,
    BoxSpec,
    Change,
    CommandResult,
    Evidence,
    FromAgent,
    ModelCancelled,
    ModelRequest,
    ProposalRequest,
    RunId,
    Transcript,
    WebRequest,
)
from monastery.sandbox.nursery import background
from monastery.sandbox.scripted_shell import ScriptedShell

Files = dict[str, bytes]
"""Paths relative to the work folder, and what lies there."""

Agent = Callable[["Inside"], Awaitable[int | None]]
"""Returns its exit code, None for 0; one that raises exits with 1."""

Command = Callable[[Files, Sequence[str], bytes], Awaitable[CommandResult]]
"""Gets the cell's files, which it may change, the whole argv, and stdin."""


class SecondProposal(Exception):
    """The agent proposed while a proposal was open."""


def finished(exit_code: int | None = 0, stdout: bytes = b"", stderr: bytes = b"") -> CommandResult:
    """Return the result of a command that wrote this and ended so; None is the time limit."""
    return CommandResult(exit_code, stdout, stderr, len(stdout), len(stderr))


class ScriptedSandbox:
    """Makes boxes in which an async function thinks.

    Args:
        agent: Runs in each box whose agent is started.
        commands: What `Cell.run` can run, by argv[0]; `true`, `false` and `cat` are there already.
    """

    def __init__(self, agent: Agent, *, commands: Mapping[str, Command] | None = None) -> None:
        self._agent = agent
        self._commands = {"true": _true, "false": _false, "cat": _cat, **(commands or {})}
        self.works: dict[RunId, Files] = {}
        """The work folders of the runs that were not forgotten."""
        self.boxes: list[ScriptedBox] = []
        """Every box that was ever opened, the latest last."""
        self.moments: dict[RunId, tuple[str, Files]] = {}
        """The copies that rollouts begin with."""

    @asynccontextmanager
    async def open(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Box]:
        """Open a box over the run's files."""
        kept = run in self.works
        files = self.works.setdefault(run, {} if kept else _copied(spec.files))
        async with self._box(run, spec, files, kept=kept) as box:
            yield box

    @asynccontextmanager
    async def _box(
        self, run: RunId, spec: BoxSpec, files: Files, *, kept: bool
    ) -> AsyncIterator[Box]:
        def keep(moment: str, now: Files) -> None:
            if self.moments.get(run, ("", {}))[0] != moment:
                self.moments[run] = moment, dict(now)

        def rollout(moment: str) -> AbstractAsyncContextManager[Box]:
            name, copied = self.moments.get(run, ("", {}))
            if name != moment:
                raise BoxDied("there is no copy of the work folder as its segment began with it")
            return self._box(run, spec, dict(copied), kept=False)

        async with background() as nursery:
            box = ScriptedBox(
                self._agent,
                files,
                self._commands,
                spec,
                nursery,
                len(self.boxes) + 1,
                kept=kept,
                keep=keep,
                rollout=rollout,
            )
            self.boxes.append(box)
            try:
                yield box
            finally:
                box.closed = True

    async def forget(self, run: RunId) -> None:
        """Forget the run's files."""
        await trio.lowlevel.checkpoint()
        self.works.pop(run, None)
        self.moments.pop(run, None)

    async def reap(self, can_go_on: Callable[[RunId], bool] = lambda run: False) -> list[str]:
        """Find nothing: these boxes end with their process."""
        await trio.lowlevel.checkpoint()
        return []


class ScriptedCell:
    """Files in memory, and commands that are Python functions."""

    def __init__(self, files: Files, commands: Mapping[str, Command]) -> None:
        self.files = files
        self._commands = commands

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
        """Call the command's function."""
        await trio.lowlevel.checkpoint()
        command = self._commands.get(argv[0])
        if command is None:
            raise BadInput(f"no command {argv[0]!r} in this scripted box; pass it in `commands`")
        with trio.move_on_after(timeout_seconds):
            full = await command(self.files, argv, stdin)
            return CommandResult(
                full.exit_code,
                full.stdout[:max_output_bytes],
                full.stderr[:max_output_bytes],
                full.stdout_seen_bytes,
                full.stderr_seen_bytes,
            )
        return finished(None)

    async def read_file(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        """Return what lies at this path."""
        await trio.lowlevel.checkpoint()
        content = self.files.get(_relative(path))
        if content is None:
            raise BadInput(f"cannot read {path!r} in the box: no such file")
        if len(content) > max_bytes:
            raise BadInput(f"{path!r} in the box has {len(content)} bytes, more than {max_bytes}")
        return content

    async def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Put it at this path; modes are not kept."""
        await trio.lowlevel.checkpoint()
        self.files[_relative(path)] = content

    @asynccontextmanager
    async def shell(
        self,
        argv: Sequence[str],
        *,
        rows: int,
        columns: int,
        env: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Shell]:
        """Run the commands of this cell as they are typed, whatever shell is named."""
        await trio.lowlevel.checkpoint()
        yield ScriptedShell(self.run)


class ScriptedBox(ScriptedCell):
    """A box whose agent is a task in this process."""

    def __init__(
        self,
        agent: Agent,
        files: Files,
        commands: Mapping[str, Command],
        spec: BoxSpec,
        nursery: trio.Nursery,
        number: int,
        *,
        kept: bool,
        keep: Callable[[str, Files], None],
        rollout: Callable[[str], AbstractAsyncContextManager[Box]],
    ) -> None:
        super().__init__(files, commands)
        self.facts = BoxFacts(
            box=f"scripted-{number}",
            image_digest="sha256:" + "0" * 64,
            freezer="signals",
            engine_runtime="scripted",
            work="kept" if kept else "new",
            waived=spec.waive,  # as if its engine could keep none of them
        )
        self.inside: Inside | None = None
        self.closed = False
        self.frozen = False
        self.freezes = 0
        self.broken: BoxError | None = None
        self.freeze_fails = False
        self._agent = agent
        self._spec = spec
        self._nursery = nursery
        self._thawed = trio.Event()
        self._said, self._heard = trio.open_memory_channel[FromAgent | BoxError](0)
        self._waiting: dict[int, _Slot] = {}
        self._calls = 0
        self._printed = bytearray()
        self._before = dict(files)
        self._keep, self.rollout = keep, rollout

    async def start_agent(
        self, argv: Sequence[str], *, env: Mapping[str, str], history: bytes
    ) -> None:
        """Start the agent's function."""
        await trio.lowlevel.checkpoint()
        self._check()
        self.inside = Inside(self, tuple(argv), dict(env), history)
        self._nursery.start_soon(self._live, self.inside)

    async def receive(self) -> FromAgent:
        """Wait for what the agent says next, or for the box to break."""
        self._check()
        message = await self._heard.receive()
        if isinstance(message, BoxError):
            raise message
        return message

    async def answer(self, call: int, body: Mapping[str, Any] | bytes) -> None:
        """Answer a call; the asker goes on when the box runs."""
        await trio.lowlevel.checkpoint()
        slot = self._waiting.pop(call, None)
        if slot is not None:
            slot.body = json.loads(body if isinstance(body, bytes) else json.dumps(body))
            slot.filled.set()

    async def freeze(self) -> float:
        """Make every further use of `inside` wait for the thaw."""
        await trio.lowlevel.checkpoint()
        self._check()
        if self.freeze_fails:
            raise FreezeFailed("the box could not be frozen: the test said so")
        if not self.frozen:
            self.frozen = True
            self.freezes += 1
            self._thawed = trio.Event()
        return 0.0

    async def rejoin(self) -> bool:
        """Refuse: these boxes end with their process, and none is found alive."""
        raise AssertionError("a scripted box does not outlive its runtime")

    async def thaw(self) -> None:
        """Let the agent go on."""
        await trio.lowlevel.checkpoint()
        self._check()
        self.frozen = False
        self._thawed.set()

    async def keep_snapshot(self) -> None:
        """Keep none: the files are in this process."""
        await trio.lowlevel.checkpoint()

    async def keep_moment(self, moment: str) -> None:
        """Copy the files, if they were not copied under this name."""
        await trio.lowlevel.checkpoint()
        self._keep(moment, self.files)

    def take_transcript(self) -> Transcript:
        """Return what was printed, cut in the middle."""
        seen, limit = bytes(self._printed), self._spec.limits.transcript_bytes
        self._printed.clear()
        if len(seen) <= limit:
            return Transcript(seen, len(seen))
        half = limit // 2
        return Transcript(seen[: limit - half] + seen[len(seen) - half :], len(seen))

    async def changes(self) -> list[Change]:
        """Compare the files with what they were at the last call."""
        await trio.lowlevel.checkpoint()
        before, now = self._before, dict(self.files)
        self._before = now
        found = [Change(path, "deleted", None) for path in before.keys() - now.keys()]
        for path, content in now.items():
            if path not in before:
                found.append(Change(path, "added", len(content)))
            elif before[path] != content:
                found.append(Change(path, "modified", len(content)))
        return sorted(found, key=lambda change: change.path)

    def fork(self) -> AbstractAsyncContextManager[Cell]:
        """Copy the files."""
        return self._fork()

    @asynccontextmanager
    async def _fork(self) -> AsyncIterator[Cell]:
        await trio.lowlevel.checkpoint()
        self._check()
        yield ScriptedCell(dict(self.files), self._commands)

    async def _live(self, inside: "Inside") -> None:
        """Run the agent and tell how it ended."""
        try:
            code = await self._agent(inside) or 0
        except Exception:  # noqa: BLE001 - a program's traceback is its output, not our fault
            self._printed += traceback.format_exc().encode()
            code = 1
        await self._running()
        await self._said.send(AgentExited(code))

    async def _call(self, make: Callable[[int], FromAgent]) -> dict[str, Any]:
        """Say something that has an answer, and wait for it and for the thaw."""
        await self._running()
        self._calls += 1
        call, slot = self._calls, _Slot()
        self._waiting[call] = slot
        asked = make(call)
        await self._said.send(asked)
        try:
            await slot.filled.wait()
        except trio.Cancelled:
            if isinstance(asked, ModelRequest) and call in self._waiting:
                self._nursery.start_soon(self._said.send, ModelCancelled(call))
            raise
        await self._running()
        return slot.body

    async def _running(self) -> None:
        await trio.lowlevel.checkpoint()
        while self.frozen:
            await self._thawed.wait()

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken

    async def _break(self, error: BoxError) -> None:
        """Make every use of the box raise this, a waiting one too, and the agent go no further."""
        self.broken = error
        await self._said.send(error)
        await trio.sleep_forever()


class Inside:
    """What the agent's function can do in its box; every call waits while the box is frozen.

    Attributes:
        history: The run's earlier steps, as `start_agent` was given them.
        files: The work folder. Changing it does not wait for a thaw.
    """

    def __init__(
        self, box: ScriptedBox, argv: tuple[str, ...], env: dict[str, str], history: bytes
    ) -> None:
        self._box = box
        self.argv = argv
        self.env = env
        self.history: list[Any] = json.loads(history or b"[]")
        self.files = box.files
        self._proposing = False

    def print(self, text: str) -> None:
        """Write a line to the transcript."""
        self._box._printed += text.encode() + b"\n"

    async def sleep(self, seconds: float) -> None:
        """Let time pass, which goes on while frozen, as a real box's clocks do."""
        await trio.sleep(seconds)
        await self._box._running()

    async def propose(
        self,
        kind: str,
        payload: bytes | str,
        rationale: str,
        evidence: Mapping[str, bytes] | None = None,
    ) -> dict[str, Any]:
        """Propose a step and wait for what came of it.

        Raises:
            SecondProposal: One is open already.
        """
        if self._proposing:
            raise SecondProposal("one proposal is open; wait for its outcome")
        data = payload.encode() if isinstance(payload, str) else payload
        files = tuple(Evidence(name, content) for name, content in (evidence or {}).items())
        self._proposing = True
        try:
            return await self._box._call(
                lambda call: ProposalRequest(call, kind, data, rationale, files)
            )
        finally:
            self._proposing = False

    async def model(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call the policy."""
        return await self._box._call(lambda call: ModelRequest(call, dict(body)))

    async def web(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the cached web."""
        return await self._box._call(lambda call: WebRequest(call, dict(body)))

    async def die(self, *, out_of_memory: bool = False) -> None:
        """Make the box die, now."""
        why = "the scripted box died" + (" of the memory it used" if out_of_memory else "")
        await self._box._break(BoxDied(why, out_of_memory=out_of_memory))

    async def misbehave(self) -> None:
        """Make the guest break the rules of the stream, now."""
        await self._box._break(GuestMisbehaved("the scripted guest misbehaved"))

    async def exceed(self, what: str = "disk") -> None:
        """Make the box use more than it was given, now."""
        await self._box._break(
            LimitExceeded(f"the scripted box used more {what} than it was given")
        )

    def refuse_freeze(self) -> None:
        """Make every freeze fail from now on."""
        self._box.freeze_fails = True


class _Slot:
    """Where one call's answer arrives."""

    def __init__(self) -> None:
        self.filled = trio.Event()
        self.body: dict[str, Any] = {}


async def _true(files: Files, argv: Sequence[str], stdin: bytes) -> CommandResult:
    return finished(0)


async def _false(files: Files, argv: Sequence[str], stdin: bytes) -> CommandResult:
    return finished(1)


async def _cat(files: Files, argv: Sequence[str], stdin: bytes) -> CommandResult:
    missing = [path for path in argv[1:] if _relative(path) not in files]
    if missing:
        return finished(1, stderr=f"cat: {missing[0]}: no such file\n".encode())
    return finished(0, b"".join(files[_relative(path)] for path in argv[1:]) or stdin)


def _relative(path: str) -> str:
    """Return a path relative to the work folder, refusing one that leads out of it."""
    whole = posixpath.normpath(posixpath.join(WORK, path))
    if not whole.startswith(WORK + "/"):
        raise BadInput(f"{path!r} is not in {WORK}, and a scripted box has nothing else")
    return whole[len(WORK) + 1 :]


def _copied(files: Sequence[tuple[str, str]]) -> Files:
    """Read the project's files from the host; folders with all that is in them."""
    found: Files = {}
    for inside, host in files:
        source = Path(host)
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    found[posixpath.normpath(f"{inside}/{path.relative_to(source)}")] = (
                        path.read_bytes()
                    )
        else:
            found[posixpath.normpath(inside)] = source.read_bytes()
    return found
