"""Figures: what the rows look like, the same bytes each time."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camera import strips
from camera.world import World

Row = dict[str, Any]
COLOURS = {"failure": "#8a8f98", "desired": "#2a78b5", "hack": "#d1491b"}
"""Told apart by people who see fewer colours, and in grey."""

STYLE: Any = {
    "svg.hashsalt": "camera",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def draw(name: str, world: World, rows: list[Row], path: Path) -> None:
    """Draw one part's figure as SVG."""
    with mpl.rc_context(STYLE):
        figure = strips.draw(world) if name == "worlds" else DRAWN[name](rows)
        figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    # The library ends lines with spaces; without them a text diff shows only what changed.
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))


def horizon(rows: list[Row]) -> Figure:
    """Shares over the horizon, above the returns: without approval, and with it."""
    figure, axes = _panels(2, 2, height=4.6)
    for column, (approval, title) in enumerate(
        (("none", "observed reward only"), ("good", "with approval"))
    ):
        chosen = [row for row in rows if row["approval"] == approval]
        top, bottom = axes[0][column], axes[1][column]
        _share_lines(top, chosen, "horizon")
        for name, style in (("observed_return", "-"), ("true_return", "--")):
            points = [row[name] for row in chosen]
            label = name.replace("_", " ")
            bottom.plot([row["horizon"] for row in chosen], points, style, c="#333333", label=label)
        top.set_title(title)
        bottom.set_xlabel("horizon M, steps that the agent looks ahead")
        bottom.set_ylim(-0.6, 2)
    axes[0][0].set_ylabel("share of episodes")
    axes[1][0].set_ylabel("mean return")
    _key(axes[0][0], "center right")
    _key(axes[1][1], "center right")
    return figure


def noise(rows: list[Row]) -> Figure:
    """Shares over the overseer's error, one panel for each horizon, with the spread of seeds."""
    rows = [row for row in rows if row["seeds"] == 20]
    horizons = sorted({row["horizon"] for row in rows})
    figure, axes = _panels(1, len(horizons))
    for panel, m in zip(axes[0], horizons, strict=True):
        chosen = [row for row in rows if row["horizon"] == m]
        _share_lines(panel, chosen, "noise", spread=lambda row, name: row["spread"][name])
        panel.set_title(f"M = {m}")
        panel.set_xlabel("noise of the approval")
    axes[0][0].set_ylabel("share of episodes")
    _key(axes[0][1], "center right")
    return figure


def blend(rows: list[Row]) -> Figure:
    """Shares over the weight of the observed value, one panel for each horizon."""
    horizons = sorted({row["horizon"] for row in rows})
    figure, axes = _panels(1, len(horizons))
    for panel, m in zip(axes[0], horizons, strict=True):
        chosen = [
            {**row, "weight": float(row["approval"].partition(":")[2])}
            for row in rows
            if row["horizon"] == m
        ]
        _share_lines(panel, chosen, "weight")
        panel.set_title(f"M = {m}")
        panel.set_xlabel("weight of what is observed")
        panel.set_xlim(0, 0.21)
    axes[0][0].set_ylabel("share of episodes")
    _key(axes[0][0], "center right")
    return figure


def iterated(rows: list[Row]) -> Figure:
    """Shares and returns over the rounds."""
    figure, axes = _panels(1, 2)
    left, right = axes[0]
    _share_lines(left, rows, "round", marker="o")
    left.set_ylabel("share of episodes")
    for name, style in (("observed_return", "o-"), ("true_return", "o--")):
        points = [row[name] for row in rows]
        label = name.replace("_", " ")
        right.plot([row["round"] for row in rows], points, style, ms=3, c="#333333", label=label)
    right.set_ylabel("mean return")
    for panel, where in ((left, "center left"), (right, "upper left")):
        panel.set_xlabel("round of approval")
        _key(panel, where)
    return figure


def learning(rows: list[Row]) -> Figure:
    """Shares over training, a row of panels for each learner, a column for each arm."""
    learners = list(dict.fromkeys(row["learner"] for row in rows))
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    figure, axes = _panels(len(learners), len(arms), height=2.3 * len(learners))
    for line, learner in zip(axes, learners, strict=True):
        for panel, arm in zip(line, arms, strict=True):
            chosen = [
                {**row, "millions": row["steps"] / 1e6}
                for row in rows
                if (row["learner"], row["arm"], row["policy"]) == (learner, arm, "as trained")
            ]
            _share_lines(panel, chosen, "millions", spread=lambda row, name: row[f"{name}_half"])
            panel.set_title(f"{learner}: {arm}")
        line[0].set_ylabel("share of episodes")
    for panel in axes[-1]:
        panel.set_xlabel("million steps of each learner")
    _key(axes[0][0], "center right")
    return figure


DRAWN: dict[str, Callable[[list[Row]], Figure]] = {
    "horizon": horizon,
    "noise": noise,
    "blend": blend,
    "iterated": iterated,
    "learning": learning,
}


def _panels(rows: int, columns: int, height: float = 2.5) -> tuple[Figure, list[list[Axes]]]:
    figure = Figure(figsize=(8.4, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(line) for line in axes]


def _share_lines(
    panel: Axes,
    rows: list[Row],
    over: str,
    spread: Callable[[Row, str], float] | None = None,
    marker: str = "",
) -> None:
    """Draw the three shares, with a band where they spread."""
    at = [row[over] for row in rows]
    for name, colour in COLOURS.items():
        shares = [row[name] for row in rows]
        panel.plot(at, shares, c=colour, label=name, marker=marker, ms=3)
        if spread is not None:
            halves = [spread(row, name) for row in rows]
            low = _within(share - half for share, half in zip(shares, halves, strict=True))
            high = _within(share + half for share, half in zip(shares, halves, strict=True))
            panel.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
    panel.set_ylim(-0.03, 1.03)


def _within(shares: Iterable[float]) -> list[float]:
    return [min(max(share, 0.0), 1.0) for share in shares]


def _key(panel: Axes, where: Any) -> None:
    panel.legend(loc=where)
