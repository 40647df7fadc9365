"""The sixteen colours of terminals, and which of them is nearest to one of the many others."""

from collections.abc import Iterator

_DARK = 80
_STEPS = (0, 95, 135, 175, 215, 255)


def nearest(numbers: Iterator[int]) -> int | None:
    """Return which of sixteen colours is meant by what follows a 38 or 48; None for nonsense.

    Args:
        numbers: ``5, index`` or ``2, red, green, blue``; those are taken from it.
    """
    match next(numbers, None):
        case 5:
            index = next(numbers, -1)
            if index < 0 or index > 255:
                return None
            return index if index < 16 else _of(*_indexed(index))
        case 2:
            parts = [next(numbers, -1) for _ in range(3)]
            return _of(*parts) if all(0 <= part <= 255 for part in parts) else None
    return None


def _indexed(index: int) -> tuple[int, int, int]:
    """Return the red, green and blue of a colour among 256."""
    if index >= 232:
        grey = 8 + 10 * (index - 232)
        return grey, grey, grey
    cube = index - 16
    return _STEPS[cube // 36], _STEPS[cube // 6 % 6], _STEPS[cube % 6]


def _of(red: int, green: int, blue: int) -> int:
    most = max(red, green, blue)
    if most < _DARK:
        return 0
    bits = [part * 5 > most * 3 for part in (red, green, blue)]
    return sum(bit << place for place, bit in enumerate(bits)) + (8 if most > 200 else 0)
