"""The draw: blind, recomputable, and as often as it says."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from monastery.runtime.canonical import sha256
from monastery.runtime.draw import commitment, draw, new_seed

SEED = bytes(range(32))


def test_the_draw_is_the_documented_formula() -> None:
    """U is the first 53 bits of HMAC-SHA-256(seed, tag || digest) over 2**53."""
    digest = sha256(b"a proposal")
    message = b"monastery.draw.v1\n" + bytes.fromhex(digest)
    bits = int.from_bytes(hmac.new(SEED, message, hashlib.sha256).digest(), "big") >> (256 - 53)
    assert draw(SEED, digest, 0.5).u == bits / 2**53


def test_the_commitment_is_the_documented_formula() -> None:
    """The commitment is SHA-256(tag || seed)."""
    assert commitment(SEED) == hashlib.sha256(b"monastery.seed.v1\n" + SEED).hexdigest()


def test_draws_fall_as_often_as_their_probability() -> None:
    """Of 20,000 proposals at 0.1, the share audited is within five standard errors."""
    audited = sum(draw(SEED, sha256(str(n).encode()), 0.1).audited for n in range(20_000))
    assert abs(audited - 2_000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64))
def test_always_and_never_are_certain(seed: bytes, proposal: bytes) -> None:
    """Probability 1 always falls, 0 never does, and u lies in [0, 1)."""
    digest = sha256(proposal)
    assert draw(seed, digest, 1.0).audited
    assert not draw(seed, digest, 0.0).audited
    assert 0.0 <= draw(seed, digest, 0.5).u < 1.0


def test_seeds_differ() -> None:
    """Two seeds are not the same."""
    assert new_seed() != new_seed()
