"""Account names: a tree written with colons."""

from __future__ import annotations

from typing import Iterable, Iterator

ROOTS = ("Assets", "Liabilities", "Equity", "Income", "Expenses")
DEBIT_ROOTS = ("Assets", "Expenses")
SEPARATOR = ":"


def is_valid(name: str) -> bool:
    """Return whether a name begins with a root and every part begins with a capital or digit."""
    parts = name.split(SEPARATOR)
    if parts[0] not in ROOTS:
        return False
    return all(part[:1].isupper() or part[:1].isdigit() for part in parts)


def root_of(name: str) -> str:
    """Return the first part of a name."""
    return name.split(SEPARATOR, 1)[0]


def leaf_of(name: str) -> str:
    """Return the last part of a name."""
    return name.rsplit(SEPARATOR, 1)[-1]


def parent_of(name: str) -> str | None:
    """Return the account above, or None at a root."""
    above, separator, _ = name.rpartition(SEPARATOR)
    return above if separator else None


def depth_of(name: str) -> int:
    """Return how deep an account lies; a root has depth 1."""
    return name.count(SEPARATOR) + 1


def ancestors(name: str) -> Iterator[str]:
    """Yield the accounts above, nearest first."""
    above = parent_of(name)
    while above is not None:
        yield above
        above = parent_of(above)


def is_under(name: str, above: str) -> bool:
    """Return whether an account is the other or lies below it."""
    return name == above or name.startswith(above + SEPARATOR)


def sign_of(name: str) -> int:
    """Return 1 where a debit makes the account grow, -1 where a credit does."""
    return 1 if root_of(name) in DEBIT_ROOTS else -1


def shortened(name: str, width: int) -> str:
    """Shorten a name to a width by cutting the parts before the last to two letters.

    The parts are cut from the left, and only as many as needed. The last part is never cut.
    """
    parts = name.split(SEPARATOR)
    for index in range(len(parts) - 1):
        if len(SEPARATOR.join(parts)) <= width:
            break
        parts[index] = parts[index][:2]
    return SEPARATOR.join(parts)


def common_root(names: Iterable[str]) -> str | None:
    """Return the deepest account that all the names lie under, or None."""
    common: list[str] | None = None
    for name in names:
        parts = name.split(SEPARATOR)
        if common is None:
            common = parts
            continue
        length = 0
        while length < min(len(common), len(parts)) and common[length] == parts[length]:
            length += 1
        common = common[:length]
    return SEPARATOR.join(common) if common else None
