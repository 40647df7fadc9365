"""Figures: what the rows look like, the same bytes each time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loan.arms import ARMS
from loan.world import World

Row = dict[str, Any]
COLOURS = {"ordinary": "#d1491b", "mona": "#2a78b5"}
"""Told apart by people who see fewer colours, and in grey."""

STYLE: Any = {
    "svg.hashsalt": "loan",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
AGREEMENT, FLIPS = "agreement with the labels", "decisions that hang on the nationality"


def draw(name: str, rows: list[Row], path: Path) -> None:
    """Draw one part's figure as SVG."""
    with mpl.rc_context(STYLE):
        figure = DRAWN[name](rows)
        figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    # The library ends lines with spaces; without them a text diff shows only what changed.
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))


def learning(rows: list[Row]) -> Figure:
    """Over training: what is paid, what hangs on the nationality, what was deserved."""
    figure, (paid, flips, fair) = _panels(3)
    for arm in ARMS:
        chosen = [row for row in rows if row["arm"] == arm]
        at = [row["episodes"] / 1e6 for row in chosen]
        for panel, name in ((paid, "agreement"), (flips, "flips"), (fair, "deserved")):
            middle = np.array([row[name] for row in chosen])
            half = np.array([row[f"{name}_half"] or 0.0 for row in chosen])
            panel.plot(at, middle, c=COLOURS[arm], label=ARMS[arm].name)
            panel.fill_between(
                at, middle - half, middle + half, color=COLOURS[arm], alpha=0.2, lw=0
            )
    _ceilings(paid, rows[0])
    _level(flips, rows[0]["most_flips"], "")
    _level(fair, rows[0]["most_deserved"], "at most")
    for panel, title in ((paid, AGREEMENT), (flips, FLIPS), (fair, "with what was deserved")):
        panel.set_title(title)
        panel.set_xlabel("million episodes")
    flips.set_ylim(-0.03, 1.03)
    flips.legend(loc="center right")
    return figure


def overseers(rows: list[Row]) -> Figure:
    """One line for each overseer and arm."""
    figure, (paid, flips) = _panels(2, height=0.35 * len(rows) + 0.9, sharey=True)
    places = range(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        for panel, name in ((paid, "agreement"), (flips, "flips")):
            half = row[f"{name}_half"] or 0.0
            panel.errorbar(row[name], place, xerr=half, fmt="o", ms=4, c=COLOURS[row["arm"]])
    names = [f"{ARMS[row['arm']].name}; {row['judge']}" for row in rows]
    paid.set_yticks(list(places), names)
    for name in ("ceiling_without", "ceiling_with"):
        paid.axvline(rows[0][name], c="#555555", ls="--", lw=0.8)
    paid.set_title(AGREEMENT)
    paid.set_xlabel("dashed: at most, without and with the nationality")
    flips.set_title(FLIPS)
    flips.set_xlabel("a share of all applications")
    flips.set_xlim(-0.03, 1.03)
    return figure


def accident(rows: list[Row]) -> Figure:
    """Over the weight of the entropy: what could be read, what is hidden."""
    figure, (paid, hidden) = _panels(2)
    weights = list(dict.fromkeys(row["entropy"] for row in rows))
    for arm in ARMS:
        chosen = [row for row in rows if row["arm"] == arm]
        for panel, name in ((paid, "agreement"), (hidden, "hidden_bits")):
            middle, half = _column(chosen, name)
            panel.errorbar(
                range(len(weights)),
                middle,
                half,
                fmt="o-",
                ms=4,
                c=COLOURS[arm],
                label=ARMS[arm].name,
            )
    _ceilings(paid, rows[0])
    paid.set_title(AGREEMENT)
    hidden.set_title("bits of nationality in a summary")
    hidden.set_ylim(-0.03, 1.03)
    for panel in (paid, hidden):
        panel.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
        panel.set_xlabel("worth of a nat of entropy")
    paid.legend(loc="center right")
    return figure


def bias(rows: list[Row]) -> Figure:
    """Over the bias of the labels: both ceilings as lines, and what was learned."""
    figure, (paid, flips) = _panels(2)
    at = np.linspace(0, max(row["bias"] for row in rows), 241)
    worlds = [World(float(one)) for one in at]
    paid.plot(at, [one.without for one in worlds], c="#555555", ls="--", lw=0.8)
    paid.plot(at, [one.known for one in worlds], c="#555555", ls="-", lw=0.8)
    flips.plot(at, [one.flips for one in worlds], c="#555555", ls="-", lw=0.8)
    for arm in ARMS:
        chosen = [row for row in rows if row["arm"] == arm]
        for panel, name in ((paid, "agreement"), (flips, "flips")):
            middle, half = _column(chosen, name)
            where = [row["bias"] for row in chosen]
            panel.errorbar(where, middle, half, fmt="o", ms=4, c=COLOURS[arm], label=ARMS[arm].name)
    paid.set_title(f"{AGREEMENT}, and the two ceilings")
    flips.set_title(FLIPS)
    for panel in (paid, flips):
        panel.set_xlabel("bias of the labels")
    flips.legend(loc="upper left")
    return figure


DRAWN: dict[str, Callable[[list[Row]], Figure]] = {
    "learning": learning,
    "overseers": overseers,
    "accident": accident,
    "bias": bias,
}


def _panels(columns: int, height: float = 2.6, **options: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8.4, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False, **options)[0])


def _column(rows: Sequence[Row], name: str) -> tuple[list[float], list[float]]:
    return [row[name] for row in rows], [row[f"{name}_half"] or 0.0 for row in rows]


def _ceilings(panel: Axes, row: Row) -> None:
    _level(panel, row["ceiling_without"], "at most, without nationality")
    _level(panel, row["ceiling_with"], "at most, with it")


def _level(panel: Axes, height: float, label: str) -> None:
    panel.axhline(height, c="#555555", ls="--", lw=0.8)
    right = panel.get_yaxis_transform()
    panel.text(0.02, height, label, transform=right, va="bottom", fontsize=7, color="#555555")
