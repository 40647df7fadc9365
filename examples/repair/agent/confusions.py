"""What programmers confuse, and how often: the priors of the search."""

from __future__ import annotations

COMPARISONS = {
    "<": {"<=": 1.0, ">": 0.6, ">=": 0.6, "!=": 0.3},
    "<=": {"<": 1.0, ">=": 0.6, ">": 0.6, "==": 0.3},
    ">": {">=": 1.0, "<": 0.6, "<=": 0.6, "!=": 0.3},
    ">=": {">": 1.0, "<=": 0.6, "<": 0.6, "==": 0.3},
    "==": {"!=": 0.9, "<=": 0.3, ">=": 0.3, "<": 0.2, ">": 0.2},
    "!=": {"==": 0.9, "<": 0.3, ">": 0.3},
    "is": {"is not": 0.9, "==": 0.2},
    "is not": {"is": 0.9, "!=": 0.2},
    "in": {"not in": 0.9},
    "not in": {"in": 0.9},
}
ARITHMETIC = {
    "+": {"-": 1.0, "*": 0.3},
    "-": {"+": 1.0, "/": 0.2},
    "*": {"/": 0.6, "+": 0.4, "//": 0.3, "**": 0.2},
    "/": {"*": 0.6, "//": 0.7},
    "//": {"/": 0.7, "%": 0.6, "*": 0.4},
    "%": {"//": 0.6, "/": 0.2},
    "**": {"*": 0.5},
    "&": {"|": 0.8, "^": 0.4},
    "|": {"&": 0.8, "^": 0.4},
    "^": {"|": 0.4, "&": 0.4},
    "<<": {">>": 0.9},
    ">>": {"<<": 0.9},
}
FAMILIES = [
    {"min", "max"},
    {"any", "all"},
    {"floor", "ceil", "trunc"},
    {"append", "extend", "appendleft", "extendleft"},
    {"pop", "popleft"},
    {"bisect_left", "bisect_right"},
    {"lower", "upper"},
    {"strip", "lstrip", "rstrip"},
    {"split", "rsplit"},
    {"partition", "rpartition"},
    {"find", "rfind"},
    {"index", "rindex"},
    {"startswith", "endswith"},
    {"ljust", "rjust", "center"},
    {"keys", "values", "items"},
    {"union", "intersection", "difference", "symmetric_difference"},
    {"issubset", "issuperset"},
    {"add", "discard", "remove"},
    {"match", "search", "fullmatch"},
    {"year", "month", "day"},
    {"hour", "minute", "second"},
    {"days", "seconds", "total_seconds"},
    {"start", "stop", "step"},
    {"sorted", "reversed"},
]
COMMON_INTEGERS = (0, 1, 2, -1, 7, 10, 12, 24, 60, 100, 365, 1000)
EMPTY = {
    "int": "0",
    "float": "0.0",
    "str": '""',
    "bool": "False",
    "bytes": 'b""',
    "list": "[]",
    "List": "[]",
    "dict": "{}",
    "Dict": "{}",
    "tuple": "()",
    "Tuple": "()",
    "set": "set()",
    "Decimal": "Decimal(0)",
    "Fraction": "Fraction(0)",
}


def likeness(one: str | None, other: str | None) -> float:
    """Return how likely two names are confused, by their types: equal, unknown, different."""
    if one is None or other is None:
        return 0.3
    return 0.5 if one == other else 0.06


def family(name: str) -> dict[str, float]:
    """Return the names that people confuse with a well-known one."""
    return {other: 0.8 for names in FAMILIES if name in names for other in names - {name}}
