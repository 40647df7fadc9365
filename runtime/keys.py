"""The key of a home: it signs the checkpoints of all its runs.

It lies in ``keys/checkpoints`` in the home folder, readable for its owner alone, and is made when
the first checkpoint is. Losing it loses no record; but what it signed can then only be checked with
the public key, which `monastery key` prints and which lies beside the checkpoints.
"""

import base64
import hashlib
import os
import secrets
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from monastery.runtime.errors import StoreError
from monastery.runtime.note import Note, head_text, key_id, parse_public, public_text, signed

if TYPE_CHECKING:  # 40 ms that `--help` should not pay
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PREFIX = "monastery-ed25519:"


class PublicKey:
    """A home's public key.

    Args:
        name: What signature lines call it.
        raw: The key [32 bytes].
    """

    def __init__(self, name: str, raw: bytes) -> None:
        self.name, self.raw = name, raw

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """Return the key in a line as `monastery key` prints it.

        Raises:
            ValueError: It is none.
        """
        return cls(*parse_public(text))

    @property
    def text(self) -> str:
        """The key as one line."""
        return public_text(self.name, self.raw)

    def origin(self, run: str) -> str:
        """Return the first line of a run's checkpoints."""
        return f"{self.name}/{run}"

    def signed(self, note: Note) -> bool:
        """Whether this key signed the note."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        own = key_id(self.name, self.raw)
        for one in note.signatures:
            if (one.name, one.key_id) == (self.name, own):
                try:
                    Ed25519PublicKey.from_public_bytes(self.raw).verify(one.raw, note.text.encode())
                except InvalidSignature:
                    return False
                return True
        return False


class HomeKey:
    """A home's private key.

    Args:
        seed: The private key [32 bytes].
    """

    def __init__(self, seed: bytes) -> None:
        self._seed = seed

    @classmethod
    def of(cls, home: Path) -> "HomeKey":
        """Return a home's key; make it if there is none.

        Raises:
            StoreError: It cannot be read or made.
        """
        path = _path(home)
        try:
            if not path.exists():
                _make(path)
            text = path.read_text().strip()
            seed = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except (OSError, ValueError) as exc:
            raise StoreError(f"cannot use the key {str(path)!r}: {exc}; put it back") from exc
        if not text.startswith(_PREFIX) or len(seed) != 32:
            raise StoreError(f"{str(path)!r} holds no key; put the right one back")
        return cls(seed)

    @classmethod
    def public_of(cls, home: Path) -> PublicKey | None:
        """Return a home's public key, None where it has none yet."""
        return cls.of(home).public if _path(home).exists() else None

    @cached_property
    def public(self) -> PublicKey:
        """The public key; its name is made of its hash."""
        raw = self._private.public_key().public_bytes_raw()
        return PublicKey(f"monastery-{hashlib.sha256(raw).hexdigest()[:8]}", raw)

    @cached_property
    def _private(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed)

    def checkpoint(self, run: str, size: int, root: bytes) -> str:
        """Return a signed note of a run's tree head."""
        text = head_text(self.public.origin(run), size, root)
        return signed(text, self.public.name, self.public.raw, self._private.sign(text.encode()))


def _path(home: Path) -> Path:
    return home / "keys" / "checkpoints"


def _make(path: Path) -> None:
    """Write a fresh key, whole or not at all; if another process was first, its key stays."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(partial)
        except FileExistsError:
            return
    finally:
        partial.unlink()
