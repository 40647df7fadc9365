"""Checkpoints: where a journal stood, noted outside the database.

A hash chain alone cannot show that its tail was cut off. A line of number and hash, kept elsewhere,
can: the journal must hold that event with that hash. The runtime notes one at every reward, gate
decision and end, in ``checkpoints/RUN`` beside the database; copy it to another machine to be sure.
"""

import os
from pathlib import Path

from monastery.runtime.errors import BadInput


def path_of(home: Path, run: str) -> Path:
    """Return where a run's checkpoints are noted."""
    return home / "checkpoints" / run


def note(home: Path, run: str, seq: int, head: bytes) -> None:
    """Append a checkpoint: event `seq` has the hash `head`. One write, so lines are never torn."""
    path = path_of(home, run)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    line = f"{seq} {head.hex()}\n".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def read(path: Path) -> dict[int, str]:
    """Return the checkpoints of a file: event numbers and their hashes in hexadecimal.

    Raises:
        BadInput: It is not a file of checkpoints.
    """
    found = {}
    try:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            seq, _, head = line.partition(" ")
            if not seq.isdecimal() or len(bytes.fromhex(head)) != 32:
                raise ValueError(f"line {number} is not a number and a hash")
            found[int(seq)] = head
    except (OSError, ValueError) as exc:
        raise BadInput(f"no checkpoints in {str(path)!r}: {exc}") from exc
    return found
