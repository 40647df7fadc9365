"""Contents and their names: a salted hash, so that what was erased cannot be guessed. Pure.

An event names bytes that are kept beside it by their *ref*: SHA-256(tag || salt || content). The
salt is HMAC-SHA-256(the run's content key, SHA-256(content)): within a run the same bytes have the
same ref, in the proposal as at the gate, before a crash as after it. It lies in the content's row.
Who has content and salt can check the ref; who has neither cannot try guesses against it. So when
both are erased, and the key with them, the ref still stands in every proof and tells nothing.

Format 1 named contents by their bare SHA-256; what it wrote is still read by that rule.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from functools import lru_cache

from monastery.runtime.canonical import sha256
from monastery.runtime.records import Sha256

KEY_BYTES = 32
ERASED = b"[erased]"
"""What stands where a content was that was erased."""
_TAG = b"monastery.content.v2\n"
_REMEMBERED = 8  # a payload is named some five times in its step


@dataclass(frozen=True, slots=True)
class Sealed:
    """A content with its salt [32 bytes] and the ref that they make."""

    ref: Sha256
    salt: bytes
    content: bytes


def new_content_key() -> bytes:
    """Return a fresh content key, 32 bytes from the operating system."""
    return secrets.token_bytes(KEY_BYTES)


def ref_of(salt: bytes | None, content: bytes) -> Sha256:
    """Return the ref that a salt and a content make; without a salt, that of format 1."""
    return sha256(content if salt is None else _TAG + salt + content)


def belongs(ref: str, salt: bytes | None, content: bytes) -> bool:
    """Whether a content is the one of that ref.

    A content that begins with our own tag is never taken without a salt: it could be a salt and
    another content, written as one.
    """
    if salt is None and content.startswith(_TAG):
        return False
    return ref_of(salt, content) == ref


class Sealer:
    """Names contents for one run.

    Args:
        key: The run's content key.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.seal = lru_cache(_REMEMBERED)(self._seal)

    def _seal(self, content: bytes) -> Sealed:
        salt = hmac.digest(self._key, hashlib.sha256(content).digest(), "sha256")
        return Sealed(ref_of(salt, content), salt, content)
