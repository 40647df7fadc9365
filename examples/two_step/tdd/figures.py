"""The figure: what was wanted and what was observed, over the episodes of a run."""

from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tdd.results import Row
from tdd.world import HINT_IS_RIGHT

LINES = {
    "observed": ("#333333", "-", "observed reward"),
    "correct": ("#2a78b5", "-", "code is right"),
    "wrongly_accepted": ("#d1491b", "--", "accepted though wrong"),
    "tests": ("#8a8f98", ":", "tests tell something"),
}
"""Told apart by people who see fewer colours, and in grey."""

STYLE: Any = {
    "svg.hashsalt": "two-step",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
COLUMNS = 3


def draw(rows: list[Row], path: Path) -> None:
    """Draw a panel for each arm: thin lines are seeds, thick ones their mean."""
    arms: dict[str, list[Row]] = {}
    for row in rows:
        arms.setdefault(row["arm"], []).append(row)
    columns = min(COLUMNS, len(arms))
    lines = -(-len(arms) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.1 * columns, 2.3 * lines), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        panels = [panel for line in grid for panel in line]
        for panel, (arm, several) in zip(panels, arms.items(), strict=False):
            _panel(panel, several)
            panel.set_title(arm)
        for panel in panels[len(arms) :]:
            panel.axis("off")
        for panel in panels[max(0, len(arms) - columns) : len(arms)]:
            panel.set_xlabel("episodes")
        handles, labels = panels[0].get_legend_handles_labels()
        beside = len(LINES) if columns > 2 else 2
        figure.legend(handles, labels, loc="outside upper center", ncols=beside)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    # The library ends lines with spaces; without them a text diff shows only what changed.
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))


def _panel(panel: Axes, rows: list[Row]) -> None:
    panel.axhline(HINT_IS_RIGHT, color="#2a78b5", lw=0.6, ls=(0, (1, 3)))
    for name, (colour, dashes, label) in LINES.items():
        for row in rows if len(rows) > 1 else ():
            at = [point["episode"] for point in row["curve"]]
            panel.plot(
                at, [point[name] for point in row["curve"]], dashes, c=colour, lw=0.4, alpha=0.4
            )
        at = [point["episode"] for point in rows[0]["curve"]]
        mean = [fmean(row["curve"][number][name] for row in rows) for number in range(len(at))]
        panel.plot(at, mean, dashes, c=colour, lw=1.6, label=label)
    panel.set_ylim(-0.02, 1.05)
