"""What an examination finds: expected, seen, and whether that holds."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["holds", "fails", "unknown"]
"""A check that crashed is unknown, never "holds"."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one probe expected, what it saw, and whether that holds."""

    probe: str
    expected: str
    seen: str
    verdict: Verdict
