"""The figure: what was wanted and what was observed, over the episodes of a run."""

from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tdd.results import Row
from tdd.world import HINT_IS_RIGHT

TITLES = {
    "observed": "observed reward",
    "correct": "code is right",
    "wrongly_accepted": "accepted though wrong",
    "tests": "tests tell something",
}
LOOKS = {
    "rl": ("#d1491b", "-"),
    "mona": ("#2a78b5", "-"),
    "mona-10": ("#2a9d6f", "--"),
    "suspects": ("#7a5195", "--"),
    "unaudited-zero": ("#b8860b", ":"),
    "saw-0.1": ("#56b4e9", "-."),
    "saw-1": ("#e377c2", "-."),
    "uncut-critic": ("#333333", "-."),
    "successes": ("#8a8f98", "-"),
}
"""Of each arm. Colour and dashes together are told apart by people who see fewer colours."""

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


def draw(rows: list[Row], path: Path) -> None:
    """Draw a panel for each measure: thin lines are seeds, thick ones an arm's mean."""
    arms: dict[str, list[Row]] = {}
    for row in rows:
        arms.setdefault(row["arm"], []).append(row)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 5.0), layout="constrained")
        grid = figure.subplots(2, 2, sharex=True)
        for panel, (name, title) in zip(grid.flat, TITLES.items(), strict=True):
            for arm, several in arms.items():
                _lines(panel, arm, several, name)
            panel.set_title(title)
            panel.set_ylim(-0.02, 1.05)
            if name == "correct":
                panel.axhline(HINT_IS_RIGHT, color="#555555", lw=0.6, ls=(0, (1, 3)))
                panel.text(0, HINT_IS_RIGHT, "the hint", va="bottom", fontsize=7)
        for panel in grid[-1]:
            panel.set_xlabel("share of a run's episodes")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(arms))
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    # The library ends lines with spaces; without them a text diff shows only what changed.
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))


def _lines(panel: Axes, arm: str, rows: list[Row], name: str) -> None:
    colour, dashes = LOOKS[arm]
    at = [point["episode"] / rows[0]["episodes"] for point in rows[0]["curve"]]
    curves = [[point[name] for point in row["curve"]] for row in rows]
    for curve in curves if len(curves) > 1 else ():
        panel.plot(at, curve, c=colour, lw=0.4, alpha=0.35)
    mean = [fmean(points) for points in zip(*curves, strict=True)]
    panel.plot(at, mean, dashes, c=colour, lw=1.6, label=arm)
