"""Plays bytes to the runtime's end of the stream, and holds it to what it may do.

It may end in a `BoxError`. It may not raise anything else, wait for ever, hold more than its
bounds, or hand the loop something that breaks the rules.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from monastery.runtime.canonical import canonical
from monastery.runtime.errors import BadInput, BoxDied, BoxError, GuestMisbehaved
from monastery.runtime.records import BoxLimits, ModelRequest, ProposalRequest, WebRequest
from monastery.sandbox import wire
from monastery.sandbox.link import GuestLink
from monastery.sandbox.nursery import background
from monastery.sandbox.stream import Demultiplexer
from tests.fuzz.guest import Bytes, HostileStream, says

LIMITS = BoxLimits(transcript_bytes=1000, payload_bytes=4096)
HELD_BYTES = wire.OPEN_BYTES + 2 * LIMITS.payload_bytes + 4 * LIMITS.transcript_bytes + 65536


def play(data: bytes) -> None:
    """Take one input, in one of four ways; raise if anything gave way."""
    way, rest = data[:1], data[1:]
    if way < b"\x10":
        play_line(rest)
    elif way < b"\x20":
        play_json(rest)
    elif way < b"\x30":
        play_frames(rest)
    else:
        play_link(rest)


def play_line(data: bytes) -> None:
    """Decode lines: a message in its exact form, or misbehaviour."""
    try:
        for line in wire.Lines().feed(data + b"\n"):
            assert msgspec.json.encode(wire.decode(line)) == line
    except GuestMisbehaved:
        pass


def play_json(data: bytes) -> None:
    """Read an agent's JSON: what is recorded of it is what was understood, or it is refused."""
    try:
        value = wire.parse_json(data)
    except wire.NotARequest:
        pass
    else:
        assert msgspec.json.decode(canonical(value)) == value
    for what in ("propose", "model", "web"):
        try:
            wire.parse_head(wire.Call(1, what, 1, data))  # type: ignore[arg-type]
        except wire.NotARequest:
            continue


def play_frames(data: bytes) -> None:
    """Take frames apart: never more comes out than went in."""
    demultiplexer, out = Demultiplexer(), 0
    try:
        for at in range(0, len(data), 7):
            out += len(demultiplexer.feed(data[at : at + 7]))
    except BoxDied:
        return
    assert out + len(demultiplexer.stderr) <= len(data)


def play_link(data: bytes) -> None:
    """Live a whole life of a link against a guest that says this; time is virtual."""
    script = Bytes(data)
    trio.run(_live, script, clock=MockClock(autojump_threshold=0.0))


async def _live(script: Bytes) -> None:
    doings, deaf, late = script.below(64), script.below(4) == 3, script.below(2)
    link = GuestLink(HostileStream(says(script), deaf=deaf), LIMITS, why_ended=_ended)
    with trio.fail_after(1000.0):  # what waits for ever is found, as nothing takes time here
        async with background() as nursery:
            try:
                await link.start(nursery, b"boot\n", limit_seconds=10.0)
            except BoxError:
                return
            async with trio.open_nursery() as users:
                users.start_soon(_listen, link, bool(late))
                for bit, do in enumerate(_DOINGS):
                    if doings >> bit & 1:
                        users.start_soon(_do, link, do)
            assert link._broken is not None


async def _ended() -> BoxError:
    await trio.lowlevel.checkpoint()
    return BoxDied("it ended")


async def _listen(link: GuestLink, late: bool) -> None:
    """Take what the agent says, as the loop would, and answer it, at once or when more came."""
    unanswered: list[int] = []
    proposals: set[int] = set()
    while True:
        try:
            said = await link.receive()
            if isinstance(said, ProposalRequest):
                assert not proposals & set(unanswered), "two proposals are open"
                assert len(said.payload) <= LIMITS.payload_bytes
                assert sum(len(one.content) for one in said.evidence) <= LIMITS.payload_bytes
                proposals.add(said.call)
            elif isinstance(said, ModelRequest | WebRequest):
                assert msgspec.json.decode(canonical(said.body)) == said.body
            else:
                continue
            unanswered.append(said.call)
            _bounded(link)
            while unanswered and not (late and len(unanswered) < 3):
                await link.answer(unanswered.pop(0), {"text": "x" * 50})
        except BoxError:
            _bounded(link)
            return


async def _do(link: GuestLink, do: Callable[[GuestLink], Awaitable[Any]]) -> None:
    told = ""
    try:
        await do(link)
    except (BoxError, BadInput) as exc:
        told = str(exc)
    assert "\n" not in told


async def _cancelled(link: GuestLink) -> None:
    with trio.move_on_after(0.0):
        await link.run(["sleep"])


_DOINGS: tuple[Callable[[GuestLink], Awaitable[Any]], ...] = (
    lambda link: link.run(["true"], stdin=b"in", max_output_bytes=30),
    lambda link: link.read_file("x", max_bytes=30),
    lambda link: link.write_file("x", b"content"),
    lambda link: link.start_agent(["agent"], {}),
    lambda link: link.ping(),
    _cancelled,
)


def _bounded(link: GuestLink) -> None:
    """See that no more is held than the limits allow."""
    held = sum(len(call.data) for call in link._incoming.values())
    held += sum(len(part) for job in link._jobs.values() for part in job.parts.values())
    held += len(link.transcript._head) + len(link.transcript._tail)
    assert held <= HELD_BYTES, held
    assert all(len(call.data) <= call.asked.size for call in link._incoming.values())
    assert all(
        len(part) <= job.limit_bytes for job in link._jobs.values() for part in job.parts.values()
    )
    assert len(link._open) <= wire.MAX_CALLS
    assert len(link._unanswered) <= len(link._open)
    assert link._open_bytes == sum(one.size_bytes for one in link._open.values()) <= wire.OPEN_BYTES
    assert link._unread_bytes >= 0
