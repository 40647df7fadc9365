"""Binary changes in a git patch: what a ``GIT binary patch`` holds, decoded and bounded. Pure.

git takes the new bytes of a binary file from its object store when an object with the promised name
is there already, whatever the patch itself says. So the promise is checked here: a literal must
hash to it, and a delta must when it is laid on the old bytes.

The encodings are those of git's ``apply.c`` and ``patch-delta.c``.
"""

import base64
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from monastery.runtime.errors import BadPayload

MAX_BINARY_BYTES = 64 << 20
"""The most that one binary hunk may unpack to."""

_MAX_PIECES = 100_000


@dataclass(frozen=True, slots=True)
class Copy:
    """Bytes that a delta takes from the old file: half-open range [start, end)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A file's new bytes."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Delta:
    """A file's new bytes as pieces: some copied from the old bytes, some new."""

    old_bytes: int
    new_bytes: int
    pieces: tuple[Copy | bytes, ...]

    def lay_on(self, old: bytes) -> bytes | None:
        """Return the new bytes, or None when the delta was made for other old bytes."""
        if len(old) != self.old_bytes:
            return None
        return b"".join(
            old[piece.start : piece.end] if isinstance(piece, Copy) else piece
            for piece in self.pieces
        )


Binary = Literal | Delta


def object_name(content: bytes, digits: int) -> str:
    """Return the name that git gives to a blob, in 40 (SHA-1) or 64 (SHA-256) digits."""
    algorithm = "sha1" if digits == 40 else "sha256"
    digest = hashlib.new(algorithm, b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()


def decode(method: str, size: int, lines: Sequence[str]) -> Binary:
    """Return what a binary hunk holds.

    Args:
        method: ``literal`` or ``delta``.
        size: How many bytes the hunk says that it unpacks to.
        lines: Its base-85 lines, at most 52 bytes each.

    Raises:
        BadPayload: A line is wrong, or it unpacks to another size.
    """
    if size > MAX_BINARY_BYTES:
        raise BadPayload(f"a binary hunk unpacks to {size} bytes, allowed are {MAX_BINARY_BYTES}")
    unpacked = _inflate(b"".join(map(_line, lines)), size)
    return Literal(unpacked) if method == "literal" else _delta(unpacked)


def _line(line: str) -> bytes:
    """Return the bytes of one line: its length as a letter, then groups of five for four."""
    head, body = line[0], line[1:]
    length = ord(head) - ord("A") + 1 if head <= "Z" else ord(head) - ord("a") + 27
    if len(body) != -(-length // 4) * 5:
        raise BadPayload(f"a line of a binary hunk has not the length it says: {line[:60]!r}")
    try:
        return base64.b85decode(body)[:length]
    except ValueError as exc:
        raise BadPayload(f"a line of a binary hunk is not base 85: {line[:60]!r}") from exc


def _inflate(packed: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, size + 1)
    except zlib.error as exc:
        raise BadPayload("a binary hunk cannot be unpacked") from exc
    if len(content) != size or not unpacker.eof or unpacker.unused_data:
        raise BadPayload(f"a binary hunk does not unpack to the {size} bytes that it says")
    return content


def _delta(code: bytes) -> Delta:
    try:
        old_bytes, at = _varint(code, 0)
        new_bytes, at = _varint(code, at)
        pieces = tuple(_pieces(code, at, old_bytes))
    except IndexError as exc:
        raise BadPayload("a binary delta ends in the middle") from exc
    total = sum(
        piece.end - piece.start if isinstance(piece, Copy) else len(piece) for piece in pieces
    )
    if total != new_bytes or new_bytes > MAX_BINARY_BYTES:
        raise BadPayload(f"a binary delta makes {total} bytes and says {new_bytes}")
    return Delta(old_bytes, new_bytes, pieces)


def _varint(code: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = code[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 56:
            raise BadPayload("a binary delta holds a size beyond all bounds")


def _pieces(code: bytes, at: int, old_bytes: int) -> list[Copy | bytes]:
    pieces: list[Copy | bytes] = []
    while at < len(code):
        if len(pieces) == _MAX_PIECES:
            raise BadPayload(f"a binary delta has more than {_MAX_PIECES} pieces")
        byte = code[at]
        at += 1
        if byte == 0:
            raise BadPayload("a binary delta holds an instruction that git does not know")
        if byte < 0x80:
            if at + byte > len(code):
                raise IndexError
            pieces.append(code[at : at + byte])
            at += byte
            continue
        numbers = [0] * 7  # four bytes of the start, then three of the length
        for bit in range(7):
            if byte & (1 << bit):
                numbers[bit] = code[at]
                at += 1
        start = int.from_bytes(bytes(numbers[:4]), "little")
        end = start + (int.from_bytes(bytes(numbers[4:]), "little") or 0x10000)
        if end > old_bytes:
            raise BadPayload("a binary delta copies from beyond the old file")
        pieces.append(Copy(start, end))
    return pieces
