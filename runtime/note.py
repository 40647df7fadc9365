"""Signed checkpoints as text: a tree head in the C2SP signed-note format. Pure.

    monastery-3f1c09ab/repair-20261121-091500-k3f9      the origin: the home's key, and the run
    41                                                  how many entries the journal had
    qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=        the root of the Merkle tree over them

    — monastery-3f1c09ab PxwJqz9…                       key name, base64(key id || signature)

See c2sp.org/signed-note and c2sp.org/tlog-checkpoint. The origin holds the run, so that the head of
one journal cannot pass for another's.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

_ED25519 = b"\x01"
_DASH = "— "


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: who says to have signed, the key's id [4 bytes], the signature."""

    name: str
    key_id: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint as it was written, with the signatures under it.

    Attributes:
        root: Of the Merkle tree over the first `size` entries.
        text: What was signed, with its last newline.
    """

    origin: str
    size: int
    root: bytes
    text: str
    signatures: tuple[Signature, ...]


def head_text(origin: str, size: int, root: bytes) -> str:
    """Return the text that is signed for a tree head."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def key_id(name: str, public: bytes) -> bytes:
    """Return the id of an Ed25519 key [4 bytes]."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def signed(text: str, name: str, public: bytes, signature: bytes) -> str:
    """Return a whole note: the text, an empty line, and one signature line."""
    line = base64.b64encode(key_id(name, public) + signature).decode()
    return f"{text}\n{_DASH}{name} {line}\n"


def public_text(name: str, public: bytes) -> str:
    """Return a public key as one line: name, id and key, joined by plus signs."""
    key = base64.b64encode(_ED25519 + public).decode()
    return f"{name}+{key_id(name, public).hex()}+{key}"


def parse_public(text: str) -> tuple[str, bytes]:
    """Return name and key [32 bytes] of a public key's line.

    Raises:
        ValueError: It is none.
    """
    name, _, rest = text.strip().partition("+")
    id_, _, encoded = rest.partition("+")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"{text.strip()!r} is no public key: {exc}") from exc
    if len(raw) != 33 or raw[:1] != _ED25519 or key_id(name, raw[1:]).hex() != id_:
        raise ValueError(f"{text.strip()!r} is no Ed25519 key with its name and id")
    return name, raw[1:]


def parse_note(lines: Sequence[str]) -> Note:
    """Return the note in these lines: three of text, an empty one, one or more of signatures.

    Raises:
        ValueError: They are none.
    """
    if len(lines) < 5 or not lines[0] or lines[3]:
        raise ValueError("three lines, an empty one and a signature are expected")
    origin, size, root = lines[:3]
    if not (size.isascii() and size.isdecimal()) or (size != "0" and size.startswith("0")):
        raise ValueError(f"{size!r} is no size of a tree")
    raw = _base64(root)
    if len(raw) != 32:
        raise ValueError(f"{root!r} is no root of a tree")
    signatures = tuple(_signature(line) for line in lines[4:])
    return Note(origin, int(size), raw, head_text(origin, int(size), raw), signatures)


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = _base64(encoded)
    if not line.startswith(_DASH) or not name or len(raw) <= 4:
        raise ValueError(f"{line!r} is no signature line")
    return Signature(name, raw[:4], raw[4:])


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"{text!r} is not base64: {exc}") from exc
