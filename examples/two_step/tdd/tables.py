"""The table: what each arm came to."""

from typing import Any

from tdd.arms import ARMS
from tdd.results import MEASURES, Row

HEADS = ("observed reward", "code right", "accepted though wrong", "tests tell something")


def table(rows: list[Row]) -> str:
    """Return the summary as a table in Markdown: the mean of the seeds, and its 95 % interval."""
    lines = [
        f"| arm | {' | '.join(HEADS)} | seeds, episodes |",
        f"|{' --- |' * (len(HEADS) + 2)}",
    ]
    for row in rows:
        cells = [_cell(row[name]) for name in MEASURES]
        box = "" if row["boxed"] else ", without a box"
        played = f"{row['seeds']}, {row['episodes']:,}{box}"
        lines.append(
            f"| `{row['arm']}`: {ARMS[row['arm']].says} | {' | '.join(cells)} | {played} |"
        )
    return "\n".join(lines)


def _cell(found: dict[str, Any]) -> str:
    if found["low"] is None:
        return f"{found['mean']:.3f}"
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
