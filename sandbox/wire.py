"""The lines between the runtime and the guest.

What the guest says is untrusted: a box in which the agent found a way to our end of the stream
may say anything. So each message has one exact form, numbers and base64 without a space, and a
line that is not byte for byte what we would have written ourselves is refused. That leaves no
room for duplicate keys, other spellings, deep nesting or numbers that are none. The free text of
an agent (`parse_request`) travels as base64 and is judged apart: an agent that writes nonsense
is told so, and only a guest that does ends the run.
"""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from monastery.runtime.errors import GuestMisbehaved

CHUNK_BYTES = 1 << 18
"""Content travels in parts of at most this size."""

LINE_BYTES = 1 << 19
"""The longest line that a guest may write: a part in base64, or a request's head."""

MAX_CALLS = 132
"""Proposals, model calls and fetches that a box may have open: 128 by HTTP, and a few others."""

OPEN_BYTES = 64 << 20
"""How long the model calls and fetches that a box has open may be together."""

ANSWER_BYTES = 16 << 20
"""The longest answer to a proposal or a model call, as JSON."""

ANSWERS_BYTES = 256 << 20
"""How long answers may be together that a guest has not begun to read; what is more waits."""

MODEL_BYTES = 4 << 20
"""The longest model call."""

WEB_BYTES = 16 << 10
"""The longest search, and the longest address of a page, with all that goes with it."""

DEPTH = 64
"""How deeply the JSON of an agent may be nested."""

VALUES = 200_000
"""How many values the JSON of an agent may hold: empty lists take thirty times their text."""

OPEN_VALUES = 16 * VALUES
"""How many values the calls that a box has open may hold together."""

EVIDENCE = 64
"""How many pieces of evidence a proposal may have."""

NAME_CHARACTERS = 255
"""The longest kind of a step, and the longest name of a piece of evidence."""

Number = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
ExitCode = Annotated[int, msgspec.Meta(ge=-64, le=255)]


class _Message(msgspec.Struct, tag_field="op", forbid_unknown_fields=True):
    """One line from the guest."""


class Hello(_Message, tag="hello"):
    """The guest is there.

    Attributes:
        python: The version of its interpreter.
        room: How large the file system of the work folder is [bytes].
        greeting: The greeting that it answers, 0 when it was just started.
        calls: How many calls the agent made before; those of them that are open follow.
        printed: How much the agent printed since its last proposal was answered [bytes].
        agent: Whether the agent's program has been started.
    """

    python: Annotated[str, msgspec.Meta(max_length=16)]
    room: Number
    greeting: Count
    calls: Count
    printed: Count
    agent: bool


class Done(_Message, tag="done"):
    """A job was done, or a file's last byte was sent."""

    job: Number


class Refused(_Message, tag="refused"):
    """A job cannot be done."""

    job: Number
    why: bytes


class Data(_Message, tag="data"):
    """Bytes of a file (0), or of a command's stdout (1) or stderr (2)."""

    job: Number
    fd: Literal[0, 1, 2]
    data: bytes


class Ended(_Message, tag="ended"):
    """A command ended; `code` is None when its time was over, `out` and `err` count bytes."""

    job: Number
    code: ExitCode | None
    out: Count
    err: Count


class Call(_Message, tag="call"):
    """A process in the box asks for something; `size` bytes follow in parts."""

    call: Number
    what: Literal["propose", "model", "web"]
    size: Count
    head: bytes


class Part(_Message, tag="part"):
    """Bytes that belong to a call."""

    call: Number
    data: bytes


class Dropped(_Message, tag="dropped"):
    """The asker went away before its call was whole."""

    call: Number


class Cancelled(_Message, tag="cancelled"):
    """The asker of a whole model call went away; the call is open until it is answered."""

    call: Number


class Print(_Message, tag="print"):
    """Bytes that the agent printed."""

    data: bytes


class Exited(_Message, tag="exited"):
    """The agent's program ended."""

    code: ExitCode


Message = Hello | Done | Refused | Data | Ended | Call | Part | Dropped | Cancelled | Print | Exited

_decoder = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder()


def decode(line: bytes) -> Message:
    """Read one line of the guest, without its newline.

    Raises:
        GuestMisbehaved: It is not a message, or not written in the one way there is.
    """
    try:
        message: Message = _decoder.decode(line)
        exact = _encoder.encode(message) == line
    except (msgspec.DecodeError, RecursionError, UnicodeError) as exc:
        raise GuestMisbehaved(f"the guest sent {_shown(line)}, which is no message") from exc
    if not exact:
        raise GuestMisbehaved(f"the guest sent {_shown(line)}, which is not its exact form")
    return message


def encode_answer(call: int, body: Mapping[str, Any] | bytes) -> bytes:
    """Return the line that answers a call; the guest hands `reply` on as it is written here."""
    written = body if isinstance(body, bytes) else _encoder.encode(body)
    return b'{"op":"answer","call":%d,"reply":{"ok":%s}}\n' % (call, written)


UNFINISHED = b"\x18\n"
"""What a runtime that joins says first: the line that the one before it may have begun is void.

JSON writes this byte in another way, so no line ends so by itself.
"""


def encode(op: str, **fields: Any) -> bytes:
    """Return one line for the guest: `op` and its fields; bytes become base64."""
    return _encoder.encode({"op": op, **fields}) + b"\n"


class Head(msgspec.Struct, forbid_unknown_fields=True):
    """What an agent's process says about its request: untrusted text, bounded by the guest.

    That its connection `stays` when it was answered means something to the guest alone.
    """

    what: Literal["propose", "model", "web"]
    sizes: list[int]
    kind: str = ""
    rationale: str = ""
    names: list[str] = []
    stays: bool = False


class NotARequest(Exception):
    """An agent's process asked nonsense; the text is for it."""


def parse_head(call: Call) -> Head:
    """Read what an agent's process says about its request.

    Raises:
        NotARequest: It is nonsense.
    """
    try:
        head = msgspec.convert(parse_json(call.head), Head)
    except msgspec.ValidationError as exc:
        raise NotARequest(f"the request is wrong: {exc}") from exc
    sizes = head.sizes
    if head.what != call.what or not sizes or min(sizes) < 0 or sum(sizes) != call.size:
        raise NotARequest("the request's sizes are wrong")
    if len(sizes) > EVIDENCE + 1:
        raise NotARequest(f"a proposal has at most {EVIDENCE} pieces of evidence")
    if max(map(len, [head.kind, *head.names])) > NAME_CHARACTERS:
        raise NotARequest(f"a kind or a name is longer than {NAME_CHARACTERS} characters")
    if head.what == "propose" and len(head.names) != len(head.sizes) - 1:
        raise NotARequest("the request must name each piece of evidence")
    if head.what == "propose" and len(set(head.names)) != len(head.names):
        raise NotARequest("two pieces of evidence have the same name")
    return head


def parse_body(data: bytes) -> tuple[Mapping[str, Any], int]:
    """Read the body of a model call or a fetch; return it, and how many values it holds.

    Raises:
        NotARequest: It is no JSON object, or says a thing twice.
    """
    body, values = _parsed(data)
    if not isinstance(body, dict):
        raise NotARequest("the body of a call must be a JSON object")
    return body, values


def parse_json(data: bytes) -> Any:
    """Read JSON of a stranger: UTF-8, no duplicate keys, no NaN, no infinity, no deep nesting.

    Raises:
        NotARequest: It is not that.
    """
    return _parsed(data)[0]


def _parsed(data: bytes) -> tuple[Any, int]:
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite
        )
        values = _values(value)
        msgspec.json.encode(value)  # refuses lone surrogates, which JSON's escapes can spell
    except (ValueError, RecursionError) as exc:
        raise NotARequest(f"not acceptable JSON: {str(exc)[:200]}") from exc
    return value, values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # 1e999: the record would hold null where the policy saw a number
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _values(value: Any) -> int:
    """Count the values; refuse more than `VALUES`, and nesting deeper than `DEPTH`."""
    level, count = [value], 0
    for _ in range(DEPTH):
        count += len(level)
        if count > VALUES:
            raise ValueError(f"more than {VALUES} values")
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return count
    raise ValueError(f"nested deeper than {DEPTH}")


def _shown(line: bytes) -> str:
    return f"{line[:80]!r}… ({len(line)} bytes)" if len(line) > 80 else f"{line!r}"


class Lines:
    """Cuts a stream of bytes into lines of bounded length."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that these bytes completed.

        Raises:
            GuestMisbehaved: A line is longer than `LINE_BYTES`.
        """
        if not self._rest and data.endswith(b"\n") and data.count(b"\n") == 1:
            lines = [data[:-1]]  # the usual case: one whole line
        else:
            self._rest += data
            if b"\n" not in data:
                lines = []
            else:
                lines = bytes(self._rest).split(b"\n")
                self._rest = bytearray(lines.pop())
        if len(self._rest) > LINE_BYTES or any(len(line) > LINE_BYTES for line in lines):
            raise GuestMisbehaved(f"the guest sent a line longer than {LINE_BYTES} bytes")
        return lines
