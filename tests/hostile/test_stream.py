"""A hostile guest at the runtime's end of the stream; `make fuzz` does this a million times."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from monastery.runtime.errors import BadInput, BoxDied, BoxError, GuestMisbehaved
from monastery.runtime.records import AgentExited, BoxLimits
from monastery.sandbox import wire
from monastery.sandbox.link import GuestLink
from monastery.sandbox.nursery import background
from monastery.sandbox.stream import Demultiplexer
from tests.fuzz.guest import HELLO, HostileStream, line, model, proposal
from tests.fuzz.play import play, play_frames, play_json, play_line, play_link

ROOT = Path(__file__).parents[2]


@given(st.binary(max_size=300))
def test_no_life_of_a_link_breaks_anything_else(data):
    """Any bytes as the script of a guest: only our own errors, no wait without end, no excess."""
    play_link(data)


@given(st.binary(max_size=300), st.sampled_from([play_line, play_json, play_frames]))
def test_no_bytes_break_a_decoder(data, decoder):
    """Lines, an agent's JSON and frames: taken exactly, or refused."""
    decoder(data)


def test_the_fuzzers_seeds_are_good_inputs():
    """What the fuzzer begins with reaches a hello, a proposal and a model call."""
    seeds = (ROOT / "scripts" / "fuzz").read_text()
    assert "life" in seeds
    for way in range(0, 256, 16):
        play(bytes([way]) + b"\xff\x3f\x00\x00\x01\x0c\x12\x03abc\x01\x0c\x13\x04\x0c\x05\x00")


async def end_of(*said: bytes, deaf: bool = False, **options: bool) -> BoxError:
    """Play this to a link whose owner answers everything, and return how it broke."""

    async def ended() -> BoxError:
        return BoxDied("it ended")

    stream = HostileStream(iter(said), deaf=deaf)
    link = GuestLink(stream, BoxLimits(), why_ended=ended, **options)
    async with background() as nursery:
        nursery.start_soon(link._read)
        nursery.start_soon(link._write)
        while True:
            try:
                asked = await link.receive()
                if not isinstance(asked, AgentExited):
                    await link.answer(asked.call, {})
            except BoxError as exc:
                return exc
    raise AssertionError


ASKS = [line(wire.Call(number, "model", 1, b"{}")) for number in range(1, wire.MAX_CALLS + 2)]
LONG = [line(wire.Call(number, "model", wire.MODEL_BYTES, b"{}")) for number in range(1, 18)]
BEGUN = line(wire.Call(1, "propose", 9, b"{}"))
MISBEHAVIOURS = {
    "speaks before hello": ([line(wire.Print(b"x")), HELLO], "hello first"),
    "two proposals": ([HELLO, proposal(1, b"a") + proposal(2, b"b")], "while a proposal was open"),
    "two begun proposals": ([HELLO, BEGUN, line(wire.Call(2, "propose", 9, b"{}"))], "was open"),
    "interleaved beyond": ([HELLO, *ASKS], f"more than {wire.MAX_CALLS} calls"),
    "more bytes than there is room for": ([HELLO, *LONG], f"more than {wire.OPEN_BYTES} bytes"),
    "a negative size": (
        [HELLO, b'{"op":"call","call":1,"what":"model","size":-1,"head":""}\n'],
        "",
    ),
    "a huge exit code": ([HELLO, b'{"op":"exited","code":99999999999999999999}\n'], ""),
    "a huge job": ([HELLO, b'{"op":"done","job":99999999999999999999}\n'], ""),
    "a fourth descriptor": ([HELLO, b'{"op":"data","job":1,"fd":3,"data":""}\n'], ""),
    "a long version": (
        [
            b'{"op":"hello","python":"'
            + b"3" * 400
            + b'","room":1,"greeting":0,"calls":0,"printed":0,"agent":false}\n'
        ],
        "",
    ),
    "half a message": ([HELLO, b'{"op":"do', b'ne","job"\n'], "no message"),
    "a lone surrogate": (
        [
            b'{"op":"hello","python":"\\ud800","room":1,"greeting":0,"calls":0,"printed":0,"agent":false}\n'
        ],
        "",
    ),
    "a NUL": ([HELLO, b'\0{"op":"done","job":1}\n'], "no message"),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_each_rule_of_the_stream_is_enforced(name):
    """A guest in which somebody else speaks is found out at its first wrong word."""
    said, why = MISBEHAVIOURS[name]
    end = await end_of(*said)
    assert isinstance(end, GuestMisbehaved), end
    assert why in str(end)
    assert "\n" not in str(end)


async def test_a_fork_can_ask_for_nothing():
    """In a fork there is no agent: a call from there is misbehaviour, not a queue that fills."""
    assert isinstance(await end_of(HELLO, proposal(1, b"a"), calls=False), GuestMisbehaved)


async def test_who_never_listens_comes_to_the_end_of_its_calls():
    """A deaf guest opens as many as it may; before, its answers blocked the loop for ever."""
    said = [HELLO, *(model(number, b"{}") for number in range(1, 400))]
    with trio.fail_after(120):
        end = await end_of(*said, deaf=True)
    assert f"more than {wire.MAX_CALLS} calls" in str(end)


async def test_who_listens_may_ask_for_ever():
    """An answered call makes room for another, and an answered proposal for the next one."""
    numbers = range(1, 400)
    asked = [proposal(n, b"x") if n % 2 else model(n, b"{}") for n in numbers]
    said = [piece for one in asked for piece in (one, b"")]
    assert isinstance(await end_of(HELLO, *said), BoxDied)


async def test_parts_of_all_calls_may_be_interleaved():
    """Each call is put together from its own parts, in the order in which they become whole."""
    head = b'{"what":"model","sizes":[8]}'
    numbers = range(1, wire.MAX_CALLS + 1)
    calls = [line(wire.Call(number, "model", 8, head)) for number in numbers]
    first = [line(wire.Part(number, b'{"n": ')) for number in reversed(numbers)]
    second = [line(wire.Part(number, b"%d}" % (number % 10))) for number in numbers]

    async def ended() -> BoxError:
        return BoxDied("it ended")

    link = GuestLink(
        HostileStream(iter([HELLO, *calls, *first, *second])), BoxLimits(), why_ended=ended
    )
    async with background() as nursery:
        nursery.start_soon(link._read)
        got = [(await link.receive()).body["n"] for _ in calls]
    assert got == [number % 10 for number in numbers]


LIES = {
    "fewer bytes than it counted": wire.Ended(1, 0, 5, 0),
    "more bytes than it counted": wire.Ended(1, 0, 1, 0),
    "another kind of end": wire.Done(1),
}


@pytest.mark.parametrize("lie", LIES)
async def test_the_count_of_a_commands_output_must_be_true(lie):
    """Truncation is data: what was seen and what is held have to fit."""
    said = [HELLO, b"", line(wire.Data(1, 1, b"abc")), line(LIES[lie]), b"", b""]
    with pytest.raises(GuestMisbehaved):
        await with_job(said, "run", ["x"], max_output_bytes=100)


async def test_an_end_after_the_end_is_misbehaviour():
    """A job that is over is not spoken of again while its asker has yet to look."""
    said = [HELLO, b"", line(wire.Done(1)) + line(wire.Refused(1, b"no"))]
    with pytest.raises(GuestMisbehaved, match="after its end"):
        await with_job(said, "ping")


async def test_a_refusal_is_one_line_that_moves_no_terminal():
    """The reason is the guest's own text; that the box ends right after it takes nothing away."""
    said = [HELLO, b"", line(wire.Refused(1, b"\x1b]0;owned\x07no\x1b[2J\n\n"))]
    for _ in range(20):  # whether the end or the asker comes first is chance
        with pytest.raises(BadInput) as caught:
            await with_job(said, "ping")
        assert str(caught.value).isprintable()


async def with_job(said: list[bytes], what: str, *args, **kwargs) -> None:
    """Start one job on a link whose guest says this, and wait for it, and then for the end."""

    async def ended() -> BoxError:
        return BoxDied("it ended")

    link = GuestLink(HostileStream(iter(said)), BoxLimits(), why_ended=ended)
    async with background() as nursery:
        nursery.start_soon(link._write)
        async with trio.open_nursery() as jobs:
            jobs.start_soon(link._read)
            raised: list[Exception] = []

            async def job() -> None:
                try:
                    await getattr(link, what)(*args, **kwargs)
                except (BoxError, BadInput) as exc:
                    raised.append(exc)

            jobs.start_soon(job)
        if raised:
            raise raised[0]
        link.check()


@pytest.mark.parametrize(
    "data", [b'{"a":1e999}', b'{"a":-1e400}', b'{"a":[' + b"[]," * 250_000 + b"0]}"]
)
def test_what_cannot_be_recorded_as_it_is_meant_is_refused(data):
    """Infinity would be null in the record; 250,000 empty lists take thirty times their text."""
    with pytest.raises(wire.NotARequest):
        wire.parse_json(data)


def test_a_proposal_has_a_bounded_number_of_names():
    """64 pieces of evidence are enough; a name has 255 characters."""
    for sizes, names, kind in (
        ([0] * 66, [str(n) for n in range(65)], "k"),
        ([0, 0], ["x" * 256], "k"),
        ([0], [], "k" * 256),
    ):
        head = {"what": "propose", "sizes": sizes, "names": names, "kind": kind}
        with pytest.raises(wire.NotARequest):
            wire.parse_head(wire.Call(1, "propose", 0, msgspec.json.encode(head)))


@pytest.mark.parametrize("raw", [b"\3\0\0\0\0\0\0\1x", b"\1\1\0\0\0\0\0\1x", b"HTTP/1.1 500"])
def test_what_is_no_frame_ends_the_stream(raw):
    """A length that lies makes the next head nonsense, and nonsense is not read on."""
    with pytest.raises(BoxDied, match="no frame"):
        Demultiplexer().feed(raw)


def test_an_endless_stream_of_tiny_messages_holds_no_memory():
    """A million messages of one byte: the transcript keeps its bound, the process its size."""
    text = """
import resource, trio
from monastery.runtime.records import BoxLimits
from monastery.sandbox import wire
from monastery.sandbox.link import GuestLink
link = GuestLink(None, BoxLimits(transcript_bytes=1000), why_ended=None)
link._greeted.set()
lines, piece = wire.Lines(), b'{"op":"print","data":"YQ=="}\\n' * 1000
def feed():
    for line in lines.feed(piece): link._take(wire.decode(line))
feed()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(1000): feed()
assert link.transcript.take().seen_bytes == 1_001_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4096  # KiB
