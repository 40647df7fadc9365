"""Small pictures, made here as SVG: of numbers alone, so nothing that anyone wrote is in them."""

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from monastery.auditor.intervals import Mean

_WIDTH, _HEIGHT, _MARGIN = 240.0, 28.0, 6.0
_MOST_DOTS = 400


def reach(values: Iterable[float]) -> float:
    """Return how far from 0 pictures of these must go: tenths, at most 1."""
    return min(1.0, max(1, math.ceil(10 * max(map(abs, values), default=0.0) - 1e-9)) / 10)


def differences(values: Sequence[float], moved: Mean, far: float) -> Markup:
    """Return differences of scores as dots, with their mean and its interval over them.

    The numbers stand beside it, so it is hidden from who listens to the page.

    Args:
        values: The differences.
        moved: Their mean.
        far: The picture goes from minus this to this.
    """

    def across(value: float) -> float:
        share = (max(-far, min(far, value)) / far + 1) / 2
        return _MARGIN + share * (_WIDTH - 2 * _MARGIN)

    def line(name: str, left: float, top: float, right: float, bottom: float) -> str:
        return (
            f'<line class="{name}" x1="{across(left):.1f}" y1="{top:g}"'
            f' x2="{across(right):.1f}" y2="{bottom:g}"/>'
        )

    middle = _HEIGHT / 2
    parts = [line("zero", 0.0, 2.0, 0.0, _HEIGHT - 2)]
    for number, value in enumerate(values[:_MOST_DOTS]):
        # Equal ones would hide each other on one height.
        height = middle + (number % 5 - 2) * 3.0
        parts.append(f'<circle class="dot" cx="{across(value):.1f}" cy="{height:.1f}" r="2"/>')
    if moved.low is not None and moved.high is not None:
        parts.append(line("span", moved.low, middle, moved.high, middle))
    if moved.value is not None:
        parts.append(line("mean", moved.value, 5.0, moved.value, _HEIGHT - 5))
    return Markup(  # noqa: S704 - numbers alone
        f'<svg class="moved" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )
