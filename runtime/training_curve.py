"""The curve of a training: a JSON line for each episode, and a picture of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Point = dict[str, Any]
WINDOW = 10
"""Over so many episodes the line is a mean."""


def add(folder: Path, point: Point) -> None:
    """Add an episode."""
    with (folder / "curve.jsonl").open("a") as file:
        file.write(json.dumps(point) + "\n")


def cut(folder: Path, episodes: int) -> None:
    """Leave out what came after the checkpoint that is gone on from."""
    path = folder / "curve.jsonl"
    if path.exists():
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n")]  # a crash may have cut the last
        kept = [line for line in kept if json.loads(line)["episode"] <= episodes]
        new = path.with_suffix(".new")
        new.write_text("".join(kept))
        new.replace(path)


def read(folder: Path) -> list[Point]:
    """Return the episodes so far."""
    path = folder / "curve.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def draw(folder: Path) -> Iterator[Path]:
    """Draw the mean score over the episodes, where matplotlib is; yield the files of the curve."""
    points = read(folder)
    if not points:
        return
    yield folder / "curve.jsonl"
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    scored = [point for point in points if point["score"] is not None]
    at, scores = [one["episode"] for one in scored], [one["score"] for one in scored]
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    panel = figure.subplots()
    panel.plot(at, scores, ".", color="#8a8f98", label="mean score of an episode")
    means = [_mean(scores[max(0, end - WINDOW) : end]) for end in range(1, len(scores) + 1)]
    panel.plot(at, means, color="#2a78b5", label=f"mean of the last {WINDOW}")
    panel.set(xlabel="episode", ylabel="score of audited segments", ylim=(-0.03, 1.03))
    panel.legend(frameon=False)
    panel.spines[["top", "right"]].set_visible(False)
    path = folder / "curve.svg"
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    yield path


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
