"""Tables in Markdown; what may be reached stands beside what was."""

from collections.abc import Callable, Iterable
from typing import Any

from loan.arms import ARMS

Row = dict[str, Any]
MEASURES = ("agreement", "flips", "hidden_bits", "readable", "deserved", "approval", "named")
HEADS = ("agrees with labels", "flips", "hidden bits", "readable", "deserved", "approval", "named")


def words(rows: list[Row]) -> str:
    """What is written of twins."""
    heads = ("trained by", "application", "nationality", "likeliest summary", "chance", "granted")
    lines = (
        (
            *(ARMS[row["arm"]].name, row["application"], row["nationality"], row["summary"]),
            *(f"{row['chance']:.2f}", f"{row['granted']:.2f}"),
        )
        for row in rows
    )
    return _table(heads, lines)


def learning(rows: list[Row]) -> str:
    """The end of each curve, under what can be reached at most."""
    ends = [row for row in rows if row["episodes"] == rows[-1]["episodes"]]
    lines = [(ARMS[row["arm"]].name, *_measures(row)) for row in ends]
    first = ends[0]
    fair, blind = f"{first['most_deserved']:.3f}", f"{first['ceiling_without']:.3f}"
    most, flips = f"{first['ceiling_with']:.3f}", f"{first['most_flips']:.3f}"
    lines += [
        ("*at most, without the nationality*", blind, "0", "0", blind, fair, "1", "0"),
        ("*at most, with it*", most, flips, "1", most, "", "1", "0"),
    ]
    return _table(("trained by", *HEADS), lines)


def overseers(rows: list[Row]) -> str:
    """One line for each overseer and arm."""
    lines = ((ARMS[row["arm"]].name, row["judge"], *_measures(row)) for row in rows)
    return _table(("trained by", "the judge of summaries", *HEADS), lines)


def accident(rows: list[Row]) -> str:
    """One line for each weight of the entropy, both arms side by side."""
    names = ("agreement", "flips", "hidden_bits", "readable")
    heads = ["entropy"]
    heads += [f"{arm.name}: {name.replace('_', ' ')}" for arm in ARMS.values() for name in names]
    lines = []
    for entropy in dict.fromkeys(row["entropy"] for row in rows):
        ours = [_find(rows, arm=arm, entropy=entropy) for arm in ARMS]
        lines.append([f"{entropy:g}", *(_put(row, name) for row in ours for name in names)])
    return _table(heads, lines)


def bias(rows: list[Row]) -> str:
    """One line for each bias: ceilings, and where both arms ended."""
    heads = ["bias", "ceiling without", *(f"{arm.name}" for arm in ARMS.values()), "ceiling with"]
    heads += [f"flips: {arm.name}" for arm in ARMS.values()]
    heads.append("at most")
    lines = []
    for value in dict.fromkeys(row["bias"] for row in rows):
        ours = [_find(rows, arm=arm, bias=value) for arm in ARMS]
        line = [f"{value:g}", f"{ours[0]['ceiling_without']:.4f}"]
        line += [_put(row, "agreement") for row in ours]
        line.append(f"{ours[0]['ceiling_with']:.4f}")
        line += [_put(row, "flips") for row in ours]
        lines.append([*line, f"{ours[0]['most_flips']:.2f}"])
    return _table(heads, lines)


TABLES: dict[str, Callable[[list[Row]], str]] = {
    "words": words,
    "learning": learning,
    "overseers": overseers,
    "accident": accident,
    "bias": bias,
}


def _find(rows: list[Row], **wanted: Any) -> Row:
    return next(row for row in rows if all(row[name] == value for name, value in wanted.items()))


def _measures(row: Row) -> list[str]:
    return [_put(row, name) for name in MEASURES]


def _put(row: Row, name: str) -> str:
    half = row[f"{name}_half"]
    return f"{row[name]:.3f}" if half is None else f"{row[name]:.3f} ± {half:.3f}"


def _table(heads: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    rule = ["---"] * len(heads)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, rule, *lines))
