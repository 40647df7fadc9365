"""A hostile guest whose every word comes from a few bytes, so that a fuzzer can write it."""

import json
from collections.abc import Iterator

import msgspec
import trio

from monastery.sandbox import wire

HELLO = (
    b'{"op":"hello","python":"3.11","room":1,"greeting":0,"calls":0,"printed":0,"agent":false}\n'
)
_WORDS = (b"", b"{}", b"a", b"\0", b'{"a":1}', b'{"a":1e999}', b'{"a":1,"a":2}', b'"\\ud800"')
_NUMBERS = (0, 1, 2, 3, -1, 17, 1 << 31, 1 << 63, 1 << 64, 10**30)
_SIZES = (0, 1, 2, 7, 300, 4096, (8 << 20) + 1, -1, 1 << 62)


class Bytes:
    """Reads choices from bytes; after their end every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def below(self, bound: int) -> int:
        """Return a number below a bound of at most 256."""
        if not self:
            return 0
        self._at += 1
        return self._data[self._at - 1] % bound

    def take(self, size: int) -> bytes:
        """Return the next bytes, at most so many."""
        self._at += size
        return self._data[self._at - size : self._at]

    def pick(self, values: tuple[int, ...]) -> int:
        """Return one of these."""
        return values[self.below(len(values))]


def line(message: object) -> bytes:
    """Return a message in its exact form, whether or not it is one."""
    return msgspec.json.encode(message) + b"\n"


def says(script: Bytes) -> Iterator[bytes]:
    """Yield the pieces of what a guest says; an empty piece stands for a moment of waiting."""
    if script.below(16):
        yield HELLO
    last, calls = HELLO, 0
    while script:
        verb = script.below(21)
        number = calls if verb >= 12 else script.pick(_NUMBERS)
        match verb:
            case 0:
                last = HELLO
            case 1:
                last = line(wire.Done(number))
            case 2:
                last = line(wire.Refused(number, script.take(script.below(9))))
            case 3:
                last = line(wire.Data(number, script.below(4), script.take(script.below(40))))  # type: ignore[arg-type]
            case 4:
                code = script.pick((0, 1, -9, 256, 10**20))
                last = line(wire.Ended(number, code, script.pick(_SIZES), script.pick(_SIZES)))
            case 5:
                last = line(wire.Exited(script.pick((0, 1, -9, 256, 10**20))))
            case 6:
                last = line(wire.Print(script.take(script.below(60))))
            case 7:
                last = line(wire.Part(number, script.take(script.below(40))))
            case 8:
                last = line((wire.Dropped, wire.Cancelled)[script.below(2)](number))
            case 9:  # bytes as they come
                last = script.take(script.below(80))
            case 10:  # what was said before, with one byte changed
                at, byte = script.below(256) % len(last or b"x"), script.below(256)
                last = last[:at] + bytes([byte]) + last[at + 1 :]
            case 11:  # again and again
                last = (last * (1 + script.below(64)))[: 1 << 16]
            case 12:
                yield b""
                continue
            case 13:  # a piece of what was said before
                last = last[: script.below(256)]
            case 14:
                last = line(wire.Part(calls, bytes(script.pick((1, 2, 7, 300, 4096)))))
            case 15:
                last = line((wire.Dropped, wire.Cancelled)[script.below(2)](calls))
            case 16 | 17:  # a call with a head of its own making
                calls += 1
                what = "propose" if verb == 16 else ("model", "web")[script.below(2)]
                size, head = script.pick(_SIZES), _WORDS[script.below(len(_WORDS))]
                last = line(wire.Call(calls, what, size, head))  # type: ignore[arg-type]
            case 18:  # a whole proposal
                calls += 1
                last = proposal(calls, script.take(script.below(20)), script.below(3))
            case _:  # a whole model call, or a whole fetch
                calls += 1
                body = _WORDS[script.below(len(_WORDS))]
                last = (model if verb == 19 else web)(calls, body)
        yield last


def proposal(call: int, payload: bytes, evidence: int = 0) -> bytes:
    """Return the lines of a proposal with so many pieces of evidence."""
    sizes = [len(payload), *range(1, evidence + 1)]
    names = [f"e{number}" for number in range(evidence)]
    head = {"what": "propose", "sizes": sizes, "kind": "note", "rationale": "", "names": names}
    body = payload + bytes(sum(sizes[1:]))
    return _whole(call, "propose", json.dumps(head).encode(), body)


def model(call: int, body: bytes) -> bytes:
    """Return the lines of a model call."""
    return _whole(call, "model", json.dumps({"what": "model", "sizes": [len(body)]}).encode(), body)


def web(call: int, body: bytes) -> bytes:
    """Return the lines of a fetch from the cached web."""
    return _whole(call, "web", json.dumps({"what": "web", "sizes": [len(body)]}).encode(), body)


def _whole(call: int, what: str, head: bytes, body: bytes) -> bytes:
    began = line(wire.Call(call, what, len(body), head))  # type: ignore[arg-type]
    return began + (line(wire.Part(call, body)) if body else b"")


class HostileStream:
    """What a guest says, and a guest that may be deaf.

    Args:
        said: Its pieces; after an empty one it waits until it was told something, or a moment.
        deaf: Whether what is written to it is never read.
    """

    def __init__(self, said: Iterator[bytes], *, deaf: bool = False) -> None:
        self._said = said
        self._deaf = deaf
        self.heard_bytes = 0

    async def send_all(self, data: bytes) -> None:
        """Hear it, or never."""
        await trio.lowlevel.checkpoint()
        if self._deaf:
            await trio.sleep_forever()
        self.heard_bytes += len(data)

    async def receive(self) -> bytes:
        """Say the next piece; nothing at the end."""
        await trio.lowlevel.checkpoint()
        for piece in self._said:
            if piece:
                return piece
            before = self.heard_bytes
            for _ in range(5):
                if self.heard_bytes == before:
                    await trio.lowlevel.checkpoint()
        return b""

    def last_words(self) -> str:
        """Have none."""
        return ""

    async def aclose(self) -> None:
        """Hang up."""
        await trio.lowlevel.checkpoint()
