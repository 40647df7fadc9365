"""Seals: a line that the guest did not write, or not at this place, is found."""

import pytest

from monastery.runtime.errors import GuestMisbehaved
from monastery.sandbox import guest
from monastery.sandbox.seal import SEAL_CHARACTERS, Seals

LINES = [
    b'{"op":"hello","python":"3.11"}\n',
    b'{"op":"done","job":1}\n',
    b'{"op":"done","job":2}\n',
]


def written(seals: Seals) -> list[bytes]:
    """Return what a guest with this key writes, without newlines."""
    return [guest.sealed(seals.key, place, line) + line[:-1] for place, line in enumerate(LINES)]


def test_what_the_guest_writes_is_opened() -> None:
    """Both sides agree on the key, the place and the digest."""
    seals = Seals()
    assert [seals.open(line) + b"\n" for line in written(seals)] == LINES


FORGERIES = {
    "without a seal": lambda lines: LINES[0][:-1],
    "changed": lambda lines: lines[0].replace(b"3.11", b"3.12"),
    "out of its place": lambda lines: lines[1],
    "of another guest": lambda lines: written(Seals())[0],
    "cut": lambda lines: lines[0][: SEAL_CHARACTERS - 1],
    "empty": lambda lines: b"",
    "no letters": lambda lines: b"\xff" * 40,
}


@pytest.mark.parametrize("how", FORGERIES)
def test_what_somebody_else_writes_is_found(how: str) -> None:
    """However the line came about."""
    seals = Seals()
    with pytest.raises(GuestMisbehaved, match="forged"):
        seals.open(FORGERIES[how](written(seals)))


def test_a_line_counts_once() -> None:
    """Written again, it is somebody else's."""
    seals = Seals()
    first = written(seals)[0]
    seals.open(first)
    with pytest.raises(GuestMisbehaved):
        seals.open(first)
