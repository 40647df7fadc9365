"""The runtime's end of the stream to one guest: commands, files, and what the agent says.

A reader task takes what the guest says and never waits for anyone in this process; a writer task
owns the other direction, so that a cancelled caller never leaves half a line on the stream.
"""

import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from monastery.runtime.errors import (
    BadInput,
    BoxDied,
    BoxError,
    BoxLost,
    GuestMisbehaved,
    MonasteryError,
)
from monastery.runtime.ports import WORK, Shell
from monastery.runtime.records import (
    AgentExited,
    BoxLimits,
    CommandResult,
    Evidence,
    FromAgent,
    ModelCancelled,
    ModelRequest,
    ProposalRequest,
    WebRequest,
)
from monastery.sandbox import wire
from monastery.sandbox.job import WINDOW_BYTES, GuestShell, Job
from monastery.sandbox.seal import Seals
from monastery.sandbox.stream import GuestStream, one_line
from monastery.sandbox.transcript import Recorder

_BOOT = """
import os, json
sent = b""
while len(sent) < {size}:
    part = os.read(0, {size} - len(sent))
    if not part: os._exit(1)
    sent += part
sent = json.loads(sent)
guest = dict(__name__="guest")
exec(compile(sent["guest"], "guest", "exec"), guest)
guest["main"](sent)
"""

GATEWAY_PORT = 11411
"""Where a box serves the model's usual API; no other program has a claim to it."""

_SERVER = ("gateway", "gateway_events", "gateway_web")
_KILL_SECONDS = 1.0
_BEAT_SECONDS = 0.5
_SILENCE_SECONDS = 2.0
"""After how long without a beat a guest takes its runtime for dead, and stops its box."""


@dataclass(frozen=True)
class Boot:
    """How a guest is started: `argv` after the interpreter, and what its stdin begins with."""

    argv: tuple[str, ...]
    sent: bytes


def boot(
    limits: BoxLimits,
    *,
    work: str,
    run: str,
    init: bool,
    calls: bool,
    env: Mapping[str, str],
    alone_seconds: float = 0.0,
    seals: Seals | None = None,
    port: int | None = None,
    model: bool = False,
    web: bool = False,
    steps: Sequence[tuple[str, str]] = (),
) -> Boot:
    """Return what starts a guest; see `guest.Guest` for the meaning of these.

    Args:
        alone_seconds: How long it may outlive its runtime, stopped; 0 when it must end with it.
        port: On which port of its loopback it serves the model's usual API and the cached web, 0
            for any; None where nothing is served.
        model: Whether there is a model.
        web: Whether there is a cached web.
        steps: The kinds of steps that may be proposed, each with what a payload of it is.
    """
    room = Path(__file__).parent  # not importlib.resources: editable installs have no reader

    def inside(*names: str) -> dict[str, str]:
        folder = room / "inside"
        return {name: (folder / f"{name.replace('-', '_')}.py").read_text() for name in names}

    sent = wire.encode(
        "boot",
        guest=(room / "guest.py").read_text(),
        programs=inside(
            "propose",
            "monastery-mcp",
            *(("web",) if web else ()),
            *(("monastery-agent",) if model else ()),
        ),
        modules=inside(
            "monastery_box",
            "mcp_tools",
            *(() if port is None else _SERVER),
            *(("monastery_chat",) if model else ()),
        ),
        config={
            "work": work,
            "run": run,
            "init": init,
            "calls": wire.MAX_CALLS if calls else 0,
            "port": port,
            "model": model,
            "steps": dict(steps),
            "web": wire.WEB_BYTES if web else 0,
            "key": seals.key.hex() if seals is not None else "",
            "payload_bytes": limits.payload_bytes,
            "model_bytes": wire.MODEL_BYTES,
            "open_bytes": wire.OPEN_BYTES,
            "silence": _SILENCE_SECONDS if alone_seconds else 0,
            "alone": alone_seconds,
            "env": {
                **env,
                "PATH": f"{run}/bin:{env['PATH']}",
                "PYTHONPATH": f"{run}/lib",
                "MONASTERY_SOCKET": f"{run}/agent.sock",
            },
        },
    )
    return Boot(("-I", "-S", "-c", _BOOT.format(size=len(sent))), sent)


@dataclass
class _Call:
    """A call of which parts are still to come."""

    asked: wire.Call
    data: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Weight:
    """What an open call weighs: its bytes but a proposal's, and the values in it once it is whole.

    A proposal has bounds of its own, and must get out when model calls take all the room.
    """

    size_bytes: int
    values: int = 0


class GuestLink:
    """Speaks with one guest; a `Cell`, and the speaking half of a `Box`.

    Args:
        calls: Whether its agent may propose and call the model; in a fork there is none.
        beats: Whether the guest must be told, again and again, that its runtime lives.
        seals: What shows that a line is the guest's, where others can write on the stream.
        why_ended: Says what became of the box when its stream ends.
    """

    def __init__(
        self,
        stream: GuestStream,
        limits: BoxLimits,
        *,
        calls: bool = True,
        beats: bool = False,
        seals: Seals | None = None,
        why_ended: Callable[[], Awaitable[BoxError]],
    ) -> None:
        self.transcript = Recorder(limits.transcript_bytes)
        self._frozen = False
        self.python = ""
        self.room_bytes = 0
        self.had_agent = False
        self._stream = stream
        self._limits = limits
        self._max_calls = wire.MAX_CALLS if calls else 0
        self._beats = beats
        self._why_ended = why_ended
        self._seals = seals
        self._broken: BoxError | None = None
        self._greeted = trio.Event()
        self._greeting = 0
        self._calls_before = 0
        self._numbers = itertools.count(1)
        self._last_job = 0
        self._jobs: dict[int, Job] = {}
        self._last_call = 0
        self._incoming: dict[int, _Call] = {}
        self._unanswered: set[int] = set()
        self._cancelled: set[int] = set()
        # A call is over when its answer is being written and not before: who asks and does not
        # listen comes to the end of its calls, and never fills the outbox.
        self._open: dict[int, _Weight] = {}
        self._open_bytes = 0
        self._proposal = 0
        self._unread_bytes = 0
        self._read_on = trio.lowlevel.ParkingLot()
        # Room for answers that wait for the thaw; there are never more than MAX_CALLS of them.
        # With a line goes the number of the call that it answers, or 0.
        self._outbox, self._to_write = trio.open_memory_channel[tuple[bytes, int]](
            wire.MAX_CALLS * 4
        )
        # The reader must never wait for the loop, which may be waiting for a command's result that
        # only the reader can bring. So there is room for all that may be open at once, for the end
        # of each, and for ends that were not heard yet when their calls were answered.
        self._said, self._heard = trio.open_memory_channel[FromAgent](3 * wire.MAX_CALLS + 1)

    async def start(self, nursery: trio.Nursery, sent: bytes, *, limit_seconds: float) -> None:
        """Start the two tasks, boot the guest, and wait until it is there.

        Raises:
            BoxDied: It was not there within the limit, or ended.
        """
        nursery.start_soon(self._read)
        nursery.start_soon(self._write)
        await self._meet(sent, limit_seconds)
        if self._beats:
            nursery.start_soon(self._beat)

    async def join(self, nursery: trio.Nursery) -> None:
        """Start the tasks for a guest that another runtime booted; it may be frozen."""
        self._greeting = secrets.randbits(48) | 1
        await self._send(wire.UNFINISHED)
        nursery.start_soon(self._read)
        nursery.start_soon(self._write)
        nursery.start_soon(self._beat)

    async def greet(self, *, limit_seconds: float) -> None:
        """Meet a guest that was joined; what its agent still asks is then to be received again.

        Raises:
            BoxDied: It did not answer within the limit, or ended.
        """
        await self._meet(wire.encode("greet", greeting=self._greeting), limit_seconds)

    async def _meet(self, sent: bytes, limit_seconds: float) -> None:
        with trio.move_on_after(limit_seconds):
            await self._send(sent)
            await self._greeted.wait()
        self.check()
        if not self._greeted.is_set():
            raise BoxDied(f"no guest answered within {limit_seconds} s")

    # A cell.

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
        """Run one command to its end."""

        def lines(number: int) -> Iterator[bytes]:
            for part in _parts(stdin):
                yield wire.encode("stdin", job=number, data=part)
            yield wire.encode(
                "run",
                job=number,
                argv=list(argv),
                cwd=cwd,
                env=dict(env or {}),
                seconds=timeout_seconds,
                limit_bytes=max_output_bytes,
            )

        parts = {1: bytearray(), 2: bytearray()}
        job = await self._settle(Job(max_output_bytes, parts, wire.Ended), lines)
        assert isinstance(job.how, wire.Ended)
        out, err = bytes(parts[1]), bytes(parts[2])
        for kept, seen in ((out, job.how.out), (err, job.how.err)):
            if len(kept) != min(seen, max_output_bytes):
                why = f"the guest counted {seen} bytes of output and sent {len(kept)}"
                raise self._fail(GuestMisbehaved(why))
        return CommandResult(job.how.code, out, err, job.how.out, job.how.err)

    async def read_file(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        """Return a regular file's bytes."""
        job = await self._settle(
            Job(max_bytes, {0: bytearray()}),
            lambda number: iter(
                [wire.encode("read", job=number, path=path, limit_bytes=max_bytes)]
            ),
        )
        return bytes(job.parts[0])

    async def write_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file; it appears under its name when it is whole."""

        def lines(number: int) -> Iterator[bytes]:
            yield wire.encode("write", job=number, path=path, mode=mode)
            left_bytes = len(content)
            for part in _parts(content) or [b""]:
                left_bytes -= len(part)
                yield wire.encode("chunk", job=number, data=part, last=not left_bytes)

        await self._settle(Job(), lines)

    async def ping(self) -> None:
        """Wait for the guest to answer."""
        await self._settle(Job(), lambda number: iter([wire.encode("ping", job=number)]))

    @asynccontextmanager
    async def shell(
        self,
        argv: Sequence[str],
        *,
        rows: int,
        columns: int,
        env: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Shell]:
        """Run a command on a terminal; it is killed at the end of the block.

        What it shows is taken as fast as it is received: who prints more waits.
        """
        job = Job(WINDOW_BYTES, {1: bytearray()}, wire.Ended)
        async with self._numbered(job) as number:
            await self._send(
                wire.encode(
                    "shell",
                    job=number,
                    argv=list(argv),
                    env=dict(env or {}),
                    rows=rows,
                    columns=columns,
                    credit=WINDOW_BYTES,
                )
            )
            yield GuestShell(number, job, self._send, self.check)

    # What the agent says.

    async def start_agent(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start the agent's program.

        Raises:
            BadInput: It does not exist.
        """
        await self._settle(
            Job(),
            lambda number: iter([wire.encode("agent", job=number, argv=list(argv), env=dict(env))]),
        )

    async def receive(self) -> FromAgent:
        """Return the next thing that the agent says."""
        self.check()
        try:
            return await self._heard.receive()
        except trio.EndOfChannel:
            assert self._broken is not None
            raise self._broken from None

    async def answer(self, call: int, body: Mapping[str, Any] | bytes) -> None:
        """Answer a call; an answer to a frozen box waits for its thaw.

        The answer to a model call waits here while the guest has too much to read; not that to a
        proposal, for which the loop waits, nor one to a frozen box, which reads nothing.

        Raises:
            BadInput: The answer is longer than the guest may be sent.
        """
        line = wire.encode_answer(call, body)
        if len(line) > wire.ANSWER_BYTES:
            raise BadInput(
                f"an answer of {len(line)} bytes is more than the {wire.ANSWER_BYTES} that a box"
                " takes; write a file into the box instead"
            )
        while self._unread_bytes > wire.ANSWERS_BYTES and not (
            self._frozen or call == self._proposal
        ):
            await self._read_on.park()
            self.check()
        if call in self._unanswered:
            self._unanswered.discard(call)
            self._cancelled.discard(call)
            self._unread_bytes += len(line)
            await self._send(line, call)

    @property
    def frozen(self) -> bool:
        """Whether the box is frozen; whoever freezes and thaws it says so here."""
        return self._frozen

    @frozen.setter
    def frozen(self, value: bool) -> None:
        self._frozen = value
        self._read_on.unpark_all()

    @property
    def is_lost(self) -> bool:
        """Whether only the way to the guest broke."""
        return isinstance(self._broken, BoxLost)

    def last_words(self) -> str:
        """Return the end of what the guest wrote to its stderr."""
        return self._stream.last_words()

    def fail(self, error: BoxError) -> None:
        """Make this the answer to everything from now on."""
        self._fail(error)

    # The two tasks.

    async def _write(self) -> None:
        try:
            async for line, call in self._to_write:
                if call:
                    self._close_call(call)
                    self._unread_bytes -= len(line)
                    self._read_on.unpark_all()
                await self._stream.send_all(line)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the reader will find out why

    async def _beat(self) -> None:
        while self._broken is None:
            self.beat()
            await trio.sleep(_BEAT_SECONDS)

    def beat(self) -> None:
        """Tell the guest that we are there, if it can hear; who has much to say is heard anyway."""
        if self._beats and not self.frozen and self._broken is None:
            with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
                self._outbox.send_nowait((wire.encode("beat"), 0))

    async def _read(self) -> None:
        lines = wire.Lines()
        try:
            while data := await self._stream.receive():
                for line in lines.feed(data):
                    inner = line if self._seals is None else self._seals.open(line)
                    if self._greeting and not self._greeted.is_set():
                        self._skip_to_hello(inner)
                    else:
                        self._take(wire.decode(inner))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # as good as an end
        except BoxError as exc:
            self._fail(exc)
            return
        if self._broken is None:
            try:
                self._fail(await self._why_ended())
            except MonasteryError as exc:
                self._fail(BoxLost(f"the engine is gone, and with it the way to the box: {exc}"))

    def _skip_to_hello(self, line: bytes) -> None:
        """Drop what was said to the runtime before us, down to the answer to our greeting."""
        try:
            message = wire.decode(line)
        except GuestMisbehaved:
            return  # joined in the middle of it
        if isinstance(message, wire.Hello) and message.greeting == self._greeting:
            self._last_call, self._calls_before = 0, message.calls
            self.transcript.miss(message.printed)
            self._take(message)

    def _take(self, message: wire.Message) -> None:
        """Deal with one message, which may be hostile."""
        if isinstance(message, wire.Hello) == self._greeted.is_set():
            raise GuestMisbehaved("the guest must say hello first, and once")
        match message:
            case wire.Data(job=number, fd=fd, data=data):
                job = self._job(number)
                if job is not None:
                    room = job.limit_bytes - len(job.parts[fd]) if fd in job.parts else -1
                    if len(data) > room:
                        raise GuestMisbehaved("the guest sent more than it was asked for")
                    job.parts[fd] += data
                    job.news.set()
            case wire.Done(job=number) | wire.Ended(job=number) | wire.Refused(job=number):
                job = self._job(number)
                if job is not None:
                    if not isinstance(message, job.ends | wire.Refused):
                        raise GuestMisbehaved(
                            f"the guest ended job {number} as another kind of job"
                        )
                    job.end(message)
            case wire.Print(data=data):
                self.transcript.add(data)
            case wire.Call():
                self._begin_call(message)
            case wire.Part(call=call, data=data):
                self._continue_call(call, data)
            case wire.Dropped(call=call):
                if self._incoming.pop(call, None) is None:
                    raise GuestMisbehaved(f"the guest dropped call {call}, which was not coming")
                self._close_call(call)
            case wire.Cancelled(call=call):
                self._cancel_call(call)
            case wire.Exited(code=code):
                self._tell(AgentExited(code))
            case wire.Hello():
                self.python, self.room_bytes = message.python, message.room
                self.had_agent = message.agent
                self._greeted.set()

    def _job(self, number: int) -> Job | None:
        """Return the job, None when nobody waits for it any more."""
        if not 0 < number <= self._last_job:
            raise GuestMisbehaved(f"the guest spoke of job {number}, which there never was")
        job = self._jobs.get(number)
        if job is not None and job.settled.is_set():
            raise GuestMisbehaved(f"the guest spoke of job {number} after its end")
        return job

    def _begin_call(self, asked: wire.Call) -> None:
        limits = {"propose": 2 * self._limits.payload_bytes, "model": wire.MODEL_BYTES}
        limits["web"] = wire.WEB_BYTES
        again = self._last_call < asked.call <= self._calls_before
        next_one = asked.call == max(self._last_call, self._calls_before) + 1
        if not (again or next_one) or not 0 <= asked.size <= limits[asked.what]:
            raise GuestMisbehaved(f"the guest began call {asked.call} of {asked.size} bytes")
        if len(self._open) >= self._max_calls:
            raise GuestMisbehaved(f"the guest opened more than {self._max_calls} calls")
        size_bytes = 0 if asked.what == "propose" else asked.size
        if self._open_bytes + size_bytes > wire.OPEN_BYTES:
            raise GuestMisbehaved(f"the guest opened calls of more than {wire.OPEN_BYTES} bytes")
        if asked.what == "propose":
            if self._proposal:
                raise GuestMisbehaved("the guest proposed while a proposal was open")
            self._proposal = asked.call
        self._last_call = asked.call
        self._open[asked.call] = _Weight(size_bytes)
        self._open_bytes += size_bytes
        self._incoming[asked.call] = _Call(asked)
        if not asked.size:
            self._end_call(asked.call)

    def _continue_call(self, number: int, data: bytes) -> None:
        call = self._incoming.get(number)
        if call is None or not data or len(call.data) + len(data) > call.asked.size:
            raise GuestMisbehaved(f"the guest sent {len(data)} bytes too many for call {number}")
        call.data += data
        if len(call.data) == call.asked.size:
            self._end_call(number)

    def _end_call(self, number: int) -> None:
        """Hand a whole call to the loop, or tell its asker what is wrong with it."""
        call = self._incoming.pop(number)
        try:
            request, values = _request(call.asked, bytes(call.data), self._limits)
            if values > wire.OPEN_VALUES - sum(one.values for one in self._open.values()):
                why = f"the open calls hold more than {wire.OPEN_VALUES} values; wait for answers"
                raise wire.NotARequest(why)
            self._open[number].values = values
        except wire.NotARequest as exc:
            line = wire.encode("answer", call=number, reply={"error": str(exc)})
            try:
                self._outbox.send_nowait((line, number))
                self._unread_bytes += len(line)
            except (trio.WouldBlock, trio.BrokenResourceError):
                raise GuestMisbehaved("the guest asks nonsense and does not listen") from exc
        else:
            self._unanswered.add(number)
            self._tell(request)

    def _cancel_call(self, number: int) -> None:
        """Tell the loop that nobody waits for a call, unless the word crossed with its answer."""
        known = 0 < number <= self._last_call and number not in self._incoming
        if not known or number == self._proposal or number in self._cancelled:
            raise GuestMisbehaved(f"the guest cancelled call {number}, which it could not")
        if number in self._unanswered:
            self._cancelled.add(number)
            self._tell(ModelCancelled(number))

    def _close_call(self, number: int) -> None:
        weight = self._open.pop(number, None)
        if weight is not None:
            self._open_bytes -= weight.size_bytes
        if self._proposal == number:
            self._proposal = 0

    def _tell(self, message: FromAgent) -> None:
        try:
            self._said.send_nowait(message)
        except trio.WouldBlock:
            raise GuestMisbehaved("the guest says more than there can be to say") from None

    # Machinery.

    async def _settle(self, job: Job, lines: Callable[[int], Iterator[bytes]]) -> Job:
        """Send a job's lines and wait until it is over; a cancelled job is killed.

        Raises:
            BadInput: The guest refused it, for a reason that it gave.
        """
        async with self._numbered(job) as number:
            for line in lines(number):
                await self._send(line)
            await job.settled.wait()
        if job.how is None:
            self.check()
        if isinstance(job.how, wire.Refused):
            raise BadInput(one_line(job.how.why))
        return job

    @asynccontextmanager
    async def _numbered(self, job: Job) -> AsyncIterator[int]:
        """Give a job its number; one that is not over at the end of the block is killed."""
        if self.frozen:
            raise RuntimeError("nothing can be done in a frozen box: thaw it, or open a fork")
        number = self._last_job = next(self._numbers)
        self._jobs[number] = job
        try:
            yield number
        finally:
            del self._jobs[number]
            if not job.settled.is_set() and self._broken is None:
                with trio.move_on_after(_KILL_SECONDS, shield=True):
                    await self._send(wire.encode("kill", job=number))

    async def _send(self, line: bytes, call: int = 0) -> None:
        self.check()
        try:
            await self._outbox.send((line, call))
        except trio.BrokenResourceError:
            self.check()
            raise

    def check(self) -> None:
        """Raise what broke the link, if anything did."""
        if self._broken is not None:
            raise self._broken

    def _fail(self, error: BoxError) -> BoxError:
        """Break the link: everybody who waits, or comes later, gets this error."""
        if self._broken is None:
            self._broken = error
            self._to_write.close()
            self._said.close()
            self._greeted.set()
            self._read_on.unpark_all()
            for job in self._jobs.values():
                if (
                    not job.settled.is_set()
                ):  # else how it ended is known, and its asker yet to look
                    job.end(None)
        return self._broken


def _request(asked: wire.Call, data: bytes, limits: BoxLimits) -> tuple[FromAgent, int]:
    """Return what a whole call asks for, and how many values its JSON holds.

    Raises:
        NotARequest: It is nonsense; the agent is told.
    """
    head = wire.parse_head(asked)
    if head.what != "propose":
        body, values = wire.parse_body(data)
        made = ModelRequest if head.what == "model" else WebRequest
        return made(asked.call, body), values
    if max(head.sizes[0], sum(head.sizes[1:])) > limits.payload_bytes:
        raise wire.NotARequest(f"payload or evidence has more than {limits.payload_bytes} bytes")
    ends = list(itertools.accumulate(head.sizes))
    pieces = [data[end - size : end] for end, size in zip(ends, head.sizes, strict=True)]
    evidence = tuple(
        Evidence(name, piece) for name, piece in zip(head.names, pieces[1:], strict=True)
    )
    return ProposalRequest(asked.call, head.kind, pieces[0], head.rationale, evidence), 0


def _parts(data: bytes) -> list[bytes]:
    """Cut bytes into parts that fit a line."""
    return [data[at : at + wire.CHUNK_BYTES] for at in range(0, len(data), wire.CHUNK_BYTES)]
