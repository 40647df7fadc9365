"""The blind draw: a committed seed, and a proposal's hash.

Before the run, ``commitment(seed)`` is recorded. Whether a proposal is audited is
``u(seed, digest) < probability``, so the agent cannot predict it, the operator cannot choose it
after the fact, and anyone can recompute it once the seed is revealed.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence

from monastery.runtime.canonical import canonical, sha256
from monastery.runtime.records import Draw, Sha256

SEED_BYTES = 32
_COMMIT = b"monastery.seed.v1\n"
_DRAW = b"monastery.draw.v1\n"
_PROPOSAL = b"monastery.proposal.v1\n"
_ORDER = b"monastery.order.v1\n"


def new_seed() -> bytes:
    """Return a fresh seed, 32 bytes from the operating system."""
    return secrets.token_bytes(SEED_BYTES)


def commitment(seed: bytes) -> Sha256:
    """Return the seed's commitment, SHA-256 over a tag and the seed."""
    return Sha256(hashlib.sha256(_COMMIT + seed).hexdigest())


def proposal_digest(
    *,
    segment: str,
    kind: str,
    probability: float,
    payload: str,
    rationale: str,
    evidence: Sequence[tuple[str, str]],
) -> Sha256:
    """Return the hash that draw, votes and decision name: none of this can change after the draw.

    Args:
        segment: The segment that ends in the proposal.
        kind: Its step kind.
        probability: That it is audited.
        payload: The payload's ref, its salted hash; of format 1, its bare SHA-256.
        rationale: The rationale's, alike.
        evidence: The name of each piece, and its.
    """
    core = {
        "segment": segment,
        "kind": kind,
        "probability": probability,
        "payload": payload,
        "rationale": rationale,
        "evidence": evidence,
    }
    return sha256(_PROPOSAL + canonical(core))


def draw(seed: bytes, digest: Sha256, probability: float) -> Draw:
    """Draw whether the proposal with this digest is audited.

    u is the first 53 bits of HMAC-SHA-256(seed, tag || digest) over 2**53: every value is a float
    exactly, so that ``u < probability`` is the same on every machine.
    """
    mac = hmac.digest(seed, _DRAW + bytes.fromhex(digest), "sha256")
    return Draw(u=(int.from_bytes(mac[:8]) >> 11) / 2**53, probability=probability)


def order(seed: bytes, digest: Sha256, names: Iterable[str]) -> list[str]:
    """Return the names of a moment's alternatives in the order in which they are shown.

    Each stands where HMAC-SHA-256(seed, tag || digest || name) puts it, so that nobody can tell
    from its place which is the live one, and anyone can recompute it once the seed is revealed.

    Args:
        seed: The run's.
        digest: Of the live proposal.
        names: Of the alternatives, the live one's among them.
    """

    def place(name: str) -> bytes:
        return hmac.digest(seed, _ORDER + bytes.fromhex(digest) + name.encode(), "sha256")

    return sorted(names, key=place)
