"""Lengths."""

METRES_IN_A_FOOT = 0.3048


def feet(metres: float) -> float:
    """Return feet."""
    return metres * METRES_IN_A_FOOT
