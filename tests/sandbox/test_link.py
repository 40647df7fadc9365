"""The runtime's end of the stream, against a guest that a test writes line by line."""

from collections.abc import Iterable

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from monastery.runtime.errors import BoxDied, BoxError, GuestMisbehaved
from monastery.runtime.records import BoxLimits
from monastery.sandbox import wire
from monastery.sandbox.link import GuestLink
from monastery.sandbox.nursery import background
from monastery.sandbox.stream import Demultiplexer, one_line


class PlayedStream:
    """A guest that says what it is told to, whatever it hears.

    Args:
        wait_for: What it must have heard before it goes on after its first words.
    """

    def __init__(self, said: Iterable[bytes], wait_for: bytes = b"") -> None:
        self._said = iter(said)
        self._wait_for = wait_for
        self._greeted = False
        self.heard = bytearray()

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.heard += data

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while self._greeted and self._wait_for not in self.heard:
            await trio.lowlevel.checkpoint()
        self._greeted = True
        return next(self._said, b"")

    def last_words(self) -> str:
        return ""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


HELLO = (
    b'{"op":"hello","python":"3.11","room":1,"greeting":0,"calls":0,"printed":0,"agent":false}\n'
)


async def died() -> BoxError:
    """Say what became of a container that ended."""
    await trio.lowlevel.checkpoint()
    return BoxDied("it ended")


async def end_of(*said: bytes, **limits) -> Exception:
    """Play this to a link and return how it broke."""
    link = GuestLink(PlayedStream(said), BoxLimits(**limits), why_ended=died)
    async with background() as nursery:
        nursery.start_soon(link._read)
        while True:
            try:
                await link.receive()
            except BoxError as exc:
                return exc
    raise AssertionError


def call(number: int, size: int, head: bytes = b"{}", what: str = "model") -> bytes:
    """Return the line that begins a call."""
    return msgspec.json.encode(wire.Call(number, what, size, head)) + b"\n"  # type: ignore[arg-type]


def asked(number: int) -> list[bytes]:
    """Return the lines of a whole model call."""
    head = b'{"what":"model","sizes":[2]}'
    return [call(number, 2, head), msgspec.json.encode(wire.Part(number, b"{}")) + b"\n"]


def proposed(number: int) -> list[bytes]:
    """Return the lines of a whole proposal."""
    head = b'{"what":"propose","sizes":[1],"kind":"k","rationale":"r","names":[]}'
    lines = [call(number, 1, head, "propose"), msgspec.json.encode(wire.Part(number, b"x"))]
    return [lines[0], lines[1] + b"\n"]


MISBEHAVIOURS = {
    "twice hello": [HELLO, HELLO],
    "unknown job": [HELLO, b'{"op":"done","job":1}\n'],
    "job 0": [HELLO, b'{"op":"data","job":0,"fd":1,"data":""}\n'],
    "call out of turn": [HELLO, call(2, 1)],
    "call too large": [HELLO, call(1, wire.MODEL_BYTES + 1)],
    "negative call": [HELLO, call(1, -1)],
    "part of no call": [HELLO, b'{"op":"part","call":1,"data":"YQ=="}\n'],
    "part too long": [HELLO, call(1, 1), b'{"op":"part","call":1,"data":"YWE="}\n'],
    "empty part": [HELLO, call(1, 1), b'{"op":"part","call":1,"data":""}\n'],
    "dropped stranger": [HELLO, b'{"op":"dropped","call":7}\n'],
    "cancelled stranger": [HELLO, b'{"op":"cancelled","call":7}\n'],
    "cancelled half a call": [HELLO, call(1, 1), b'{"op":"cancelled","call":1}\n'],
    "cancelled proposal": [HELLO, *proposed(1), b'{"op":"cancelled","call":1}\n'],
    "cancelled twice": [HELLO, *asked(1), *[b'{"op":"cancelled","call":1}\n'] * 2],
    "too many calls": [HELLO, *(call(n, 1) for n in range(1, wire.MAX_CALLS + 2))],
    "calls too long together": [HELLO, *(call(n, wire.MODEL_BYTES) for n in range(1, 18))],
    "exits for ever": [HELLO, b'{"op":"exited","code":0}\n' * 400],
    "asks and never listens": [HELLO, *(call(n, 0) for n in range(1, 400))],
    "a line without end": [HELLO, *[b"x" * 65536] * 20],
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_a_guest_that_breaks_the_rules_is_found_out(name):
    """Each rule of the stream is enforced by the side that may trust itself."""
    assert isinstance(await end_of(*MISBEHAVIOURS[name]), GuestMisbehaved)


async def test_open_calls_hold_a_bounded_number_of_values():
    """Empty lists take thirty times their text: the seventeenth such call is told to wait."""
    body = b'{"a":[' + b"[]," * (wire.VALUES - 10) + b"0]}"
    head = b'{"what":"model","sizes":[%d]}' % len(body)

    def whole(number: int) -> Iterable[bytes]:
        yield call(number, len(body), head)
        for at in range(0, len(body), wire.CHUNK_BYTES):
            part = body[at : at + wire.CHUNK_BYTES]
            yield msgspec.json.encode(wire.Part(number, part)) + b"\n"

    said = [HELLO, *(piece for number in range(1, 18) for piece in whole(number)), *asked(18)]
    stream = PlayedStream(said, b"")
    link = GuestLink(stream, BoxLimits(), why_ended=died)
    async with background() as nursery:
        nursery.start_soon(link._read)
        nursery.start_soon(link._write)
        got = [(await link.receive()).call for _ in range(17)]  # type: ignore[union-attr]
        assert got == [*range(1, 17), 18]
        with pytest.raises(BoxDied):
            await link.receive()
    assert b"wait for answers" in stream.heard


class DeafStream(PlayedStream):
    """A guest that reads nothing."""

    async def send_all(self, data: bytes) -> None:
        await trio.sleep_forever()


@pytest.mark.virtual
async def test_answers_that_nobody_reads_wait_and_a_freeze_lets_them_go():
    """What is handed over for a deaf guest is bounded; the loop never waits for it."""
    said = [HELLO, *(piece for number in range(1, 20) for piece in asked(number)), *proposed(20)]
    link = GuestLink(DeafStream(said, b"never"), BoxLimits(), why_ended=died)
    long = {"a": "x" * (wire.ANSWER_BYTES - 100)}
    answered = []

    async def answer(number: int) -> None:
        await link.answer(number, long)
        answered.append(number)

    async with background() as nursery:
        for piece in said:
            for each in wire.Lines().feed(piece):
                link._take(wire.decode(each))
        nursery.start_soon(link._write)
        for number in range(1, 20):
            nursery.start_soon(answer, number)
        await trio.sleep(1.0)
        assert len(answered) == 18  # the first is being written, and one more may go over the limit
        await link.answer(20, {"status": "done"})
        link.frozen = True
        await trio.sleep(1.0)
        assert len(answered) == 19


async def test_the_end_of_the_stream_is_the_end_of_the_box():
    """An ordinary end is told with what became of the container."""
    assert isinstance(await end_of(HELLO), BoxDied)


async def test_more_than_asked_for_is_misbehaviour():
    """A guest cannot make us hold more of a file than we wanted."""
    said = [HELLO, b'{"op":"data","job":1,"fd":0,"data":"YWFhYQ=="}\n']
    link = GuestLink(PlayedStream(said, b'"read"'), BoxLimits(), why_ended=died)
    async with background() as nursery:
        await link.start(nursery, b"", limit_seconds=5)
        with pytest.raises(GuestMisbehaved, match="more than"):
            await link.read_file("x", max_bytes=3)


@given(st.lists(st.binary(max_size=60).map(lambda line: line + b"\n"), max_size=6))
def test_no_stream_breaks_anything_else(said):
    """Whatever a guest says, the link ends in one of two errors."""
    end = trio.run(end_of, HELLO, *said)
    assert isinstance(end, GuestMisbehaved | BoxDied)


FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=30)), max_size=8)


@given(FRAMES, st.integers(1, 15))
def test_frames_come_apart_however_they_are_cut(frames, size):
    """Stdout is whole and in order, stderr kept aside."""
    raw = b"".join(
        bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for kind, data in frames
    )
    demultiplexer = Demultiplexer()
    out = b"".join(demultiplexer.feed(raw[at : at + size]) for at in range(0, len(raw), size))
    assert out == b"".join(data for kind, data in frames if kind == 1)
    assert demultiplexer.stderr == b"".join(data for kind, data in frames if kind == 2)


def test_last_words_are_one_safe_line():
    """A dying guest cannot write on the operator's terminal."""
    assert one_line(b"Traceback\n  boom\x1b[31m\r\n\n") == "boom�[31m"
    assert one_line(b"") == ""
