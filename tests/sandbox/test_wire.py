"""What a hostile guest can write: every line is one exact message, or ends the run."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monastery.runtime.errors import GuestMisbehaved
from monastery.sandbox import wire

GOOD = [
    wire.Hello("3.11", 1 << 30, 0, 0, 0, False),
    wire.Hello("3.11", 1 << 30, 1 << 47, 3, 4096, True),
    wire.Done(1),
    wire.Refused(1, b"why"),
    wire.Data(1, 2, b"\x00\xff"),
    wire.Ended(1, None, 0, 7),
    wire.Ended(1, -9, 0, 7),
    wire.Call(1, "propose", 3, b"{}"),
    wire.Part(1, b"abc"),
    wire.Dropped(1),
    wire.Cancelled(1),
    wire.Print(b"text"),
    wire.Exited(0),
]


@pytest.mark.parametrize("message", GOOD, ids=lambda message: type(message).__name__)
def test_each_message_has_one_exact_form(message):
    """What we would write is what we read; with one space more it is refused."""
    line = msgspec.json.encode(message)
    assert wire.decode(line) == message
    with pytest.raises(GuestMisbehaved):
        wire.decode(line.replace(b":", b": ", 1))


HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b'{"op":"nothing"}',
    b'{"op":"done"}',
    b'{"op":"done","job":1,"more":1}',
    b'{"op":"done","job":1,"job":1}',
    b'{"op":"done","op":"done","job":1}',
    b'{"op":"done","job":"1"}',
    b'{"op":"done","job":1.0}',
    b'{"op":"done","job":1e0}',
    b'{"op":"done","job":01}',
    b'{"op":"done","job":-0}',
    b'{"op":"done","job":NaN}',
    b'{"op":"done","job":true}',
    b'{"job":1,"op":"done"}',
    b'{"op":"d\\u006fne","job":1}',
    b'{"op":"print","data":"YQ"}',
    b'{"op":"print","data":"YR=="}',
    b'{"op":"print","data":"Y Q=="}',
    b'{"op":"call","call":1,"what":"execute","size":1,"head":""}',
    b'{"op":"done","job":' + b"9" * 5000 + b"}",
    b'{"op":"done","job":' + b"[" * 100_000,
    b'{"op":"done","job":' + b'{"a":' * 100_000,
    b"\xff\xfe",
    b'{"op":"hello","python":"\xed\xa0\x80","room":1,"greeting":0,"calls":0,"printed":0,"agent":false}',
]


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: repr(line[:40]))
def test_anything_else_ends_the_run(line):
    """Other spellings, duplicates, other types, deep nesting: the guest misbehaved."""
    with pytest.raises(GuestMisbehaved):
        wire.decode(line)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_misbehave(line):
    """Whatever the bytes, there is a message or that one error."""
    try:
        message = wire.decode(line)
    except GuestMisbehaved:
        return
    assert msgspec.json.encode(message) == line


@given(
    st.dictionaries(
        st.sampled_from(["op", "job", "call", "data", "fd", "code", "size", "head", "what", "x"]),
        st.one_of(st.none(), st.integers(), st.text(max_size=9), st.just("done"), st.floats()),
    )
)
def test_no_object_does_anything_but_misbehave(value):
    """Objects of nearly the right shape are no way in either."""
    line = json.dumps(value).encode()
    try:
        message = wire.decode(line)
    except GuestMisbehaved:
        return
    assert msgspec.json.encode(message) == line


@given(st.lists(st.binary(max_size=50)), st.integers(1, 20))
def test_lines_come_out_whole_however_they_are_cut(parts, size):
    """The stream's pieces do not matter, its newlines do."""
    whole = b"\n".join(parts)
    lines = wire.Lines()
    out = [line for at in range(0, len(whole), size) for line in lines.feed(whole[at : at + size])]
    assert out == whole.split(b"\n")[:-1]


def test_a_line_without_end_is_refused():
    """More than the longest line is not waited for."""
    lines = wire.Lines()
    for _ in range(wire.LINE_BYTES >> 16):
        assert lines.feed(bytes(1 << 16)) == []
    with pytest.raises(GuestMisbehaved, match="longer than"):
        lines.feed(b"x")
    with pytest.raises(GuestMisbehaved, match="longer than"):
        wire.Lines().feed(bytes(wire.LINE_BYTES + 1) + b"\n")


NONSENSE = [
    b"NaN",
    b"[-Infinity]",
    b'{"a":1,"a":2}',
    b'{"a":{"b":1,"b":1}}',
    b'"\\ud800"',
    b"\xff",
    b"[" * 65 + b"]" * 65,
    b"[" * 100_000,
    b"",
    b"1 2",
    b"1" * 10_000,
]


@pytest.mark.parametrize("data", NONSENSE, ids=lambda data: repr(data[:20]))
def test_json_of_an_agent_is_taken_only_when_it_means_one_thing(data):
    """The agent is told; nothing else breaks."""
    with pytest.raises(wire.NotARequest):
        wire.parse_json(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text() | st.floats(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_that_means_one_thing_is_taken_as_it_is(value):
    """What Python writes is what we read, unless it is no JSON."""
    text = json.dumps(value)
    if any(word in text for word in ("NaN", "Infinity")):
        return
    assert wire.parse_json(text.encode()) == value


@given(
    st.builds(
        wire.Call,
        st.just(1),
        st.sampled_from(["propose", "model"]),
        st.integers(0, 20),
        st.one_of(
            st.binary(max_size=60),
            st.fixed_dictionaries(
                {
                    "what": st.sampled_from(["propose", "model", 3]),
                    "sizes": st.lists(st.integers(-3, 20), max_size=3),
                    "names": st.lists(st.text(max_size=3), max_size=3),
                    "kind": st.text(max_size=3),
                    "rationale": st.text(max_size=3),
                }
            ).map(lambda head: json.dumps(head).encode()),
        ),
    )
)
def test_a_head_is_consistent_or_nonsense(call):
    """Sizes add up, none is negative, each piece of evidence has its own name."""
    try:
        head = wire.parse_head(call)
    except wire.NotARequest:
        return
    assert sum(head.sizes) == call.size
    assert min(head.sizes) >= 0
    assert head.what == "model" or len(set(head.names)) == len(head.sizes) - 1
