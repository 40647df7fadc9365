"""Small pictures, made here as SVG: of numbers alone, so nothing that anyone wrote is in them."""

from collections.abc import Sequence

from markupsafe import Markup

from monastery.auditor.intervals import Mean

_WIDTH, _HEIGHT, _MARGIN = 240.0, 28.0, 6.0
_MOST_DOTS = 400


def differences(values: Sequence[float], moved: Mean) -> Markup:
    """Return differences of scores, -1 to 1, as dots, with their mean and its interval over them.

    The numbers stand beside it, so it is hidden from who listens to the page.
    """
    middle = _HEIGHT / 2
    parts = [_line("zero", 0.0, 2.0, 0.0, _HEIGHT - 2)]
    for number, value in enumerate(values[:_MOST_DOTS]):
        # Equal ones would hide each other on one height.
        height = middle + (number % 5 - 2) * 3.0
        parts.append(f'<circle class="dot" cx="{_x(value):.1f}" cy="{height:.1f}" r="2"/>')
    if moved.low is not None and moved.high is not None:
        parts.append(_line("span", max(-1.0, moved.low), middle, min(1.0, moved.high), middle))
    if moved.value is not None:
        parts.append(_line("mean", moved.value, 5.0, moved.value, _HEIGHT - 5))
    return Markup(  # noqa: S704 - numbers alone
        f'<svg class="moved" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _line(name: str, left: float, top: float, right: float, bottom: float) -> str:
    return (
        f'<line class="{name}" x1="{_x(left):.1f}" y1="{top:g}"'
        f' x2="{_x(right):.1f}" y2="{bottom:g}"/>'
    )


def _x(value: float) -> float:
    return _MARGIN + (value + 1) / 2 * (_WIDTH - 2 * _MARGIN)
