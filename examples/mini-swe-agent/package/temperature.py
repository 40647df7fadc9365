"""Temperatures."""


def celsius(fahrenheit: float) -> float:
    """Return degrees Celsius."""
    return fahrenheit - 32 * 5 / 9
