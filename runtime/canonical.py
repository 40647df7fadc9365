"""Canonical bytes and their hashes: what two readers must agree on to the last bit. Pure."""

import hashlib
from typing import Any

import msgspec

from monastery.runtime.records import Sha256


def canonical(value: Any) -> bytes:
    """Return a JSON value's canonical bytes: keys sorted, no spaces, UTF-8."""
    return msgspec.json.encode(value, order="deterministic")


def sha256(content: bytes) -> Sha256:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return Sha256(hashlib.sha256(content).hexdigest())
