"""Seals on a guest's lines, for boxes where others can write on its stream.

Under gVisor a process of the agent's opens the guest's stdout (it does not keep `/proc/PID/fd` to
itself, dumpable or not). So the guest is told a key before anything else runs, and puts before each
line a keyed digest of it and of its place in the row: what somebody else writes, or writes once
more, is found. The key lies in the guest's memory alone, which gVisor does refuse to others.
"""

import hashlib
import hmac
import itertools
import secrets

from monastery.runtime.errors import GuestMisbehaved

KEY_BYTES = 32
SEAL_CHARACTERS = 32
"""How long a seal is, in hexadecimal digits. As in `guest.sealed`."""


class Seals:
    """The key of one guest, and the place of its next line."""

    def __init__(self) -> None:
        self.key = secrets.token_bytes(KEY_BYTES)
        self._places = itertools.count()

    def open(self, line: bytes) -> bytes:
        """Return a line without its seal.

        Raises:
            GuestMisbehaved: The seal is not the guest's: somebody else speaks on its stream.
        """
        seal, inner = line[:SEAL_CHARACTERS], line[SEAL_CHARACTERS:]
        place = next(self._places).to_bytes(8, "big")
        wanted = hashlib.blake2b(place + inner, key=self.key, digest_size=16).hexdigest()
        if not hmac.compare_digest(seal, wanted.encode()):
            raise GuestMisbehaved("a line is not the guest's own: somebody forged it, or broke one")
        return inner
