"""Untrusted text as markup: made visible, escaped, with what is ours in it marked as ours."""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from monastery.runtime.display import visible, visible_line

_NOTICE = re.compile("‹[^›]*›")
MOST_LINES = 600
MOST_COLUMNS = 1500
MOST_EDITABLE_BYTES = 256 << 10


def safe(content: str | bytes, *, full: bool = False) -> Markup:
    """Return text as it may stand on a page: shortened with a notice, unless `full`."""
    lines, columns = (None, None) if full else (MOST_LINES, MOST_COLUMNS)
    return _marked(visible(content, max_lines=lines, max_columns=columns))


def line(content: Any, *, most: int | None = 300) -> Markup:
    """Return text as one line."""
    return _marked(
        visible_line(content if isinstance(content, bytes) else str(content), max_columns=most)
    )


def code(content: str, *, most: int | None = 400) -> Markup:
    """Return one line of a program, whose tabs stay."""
    return _marked(visible(content, max_lines=None, max_columns=most))


def pieces(content: str) -> list[tuple[str, bool]]:
    """Return a part of one line in pieces, for pages that make no markup: is the piece ours?"""
    shown, found, at = visible_line(content, max_columns=None), [], 0
    for notice in _NOTICE.finditer(shown):
        found += [(shown[at : notice.start()], False), (notice[0], True)]
        at = notice.end()
    return [one for one in [*found, (shown[at:], False)] if one[0]]


def editable(content: bytes | None) -> str | None:
    """Return bytes as text that a field can hold, unchanged and with nothing hidden; else None."""
    if content is None or len(content) > MOST_EDITABLE_BYTES:
        return None
    shown = visible(content, max_lines=None, max_columns=None)
    return shown if shown.encode() == content else None


def as_json(value: Any) -> str:
    """Return a JSON value in lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _marked(shown: str) -> Markup:
    """Escape, and mark every bracket: `visible` sees to it that each is ours."""
    return Markup(_NOTICE.sub(_loud, str(escape(shown))))  # noqa: S704 - escaped just here


def _loud(match: re.Match[str]) -> str:
    kind = "gone" if match[0].startswith("‹…") else "code"
    return f'<mark class="{kind}">{match[0]}</mark>'


def size(value: int) -> str:
    """Return a number of bytes as a person reads it."""
    if value < 1024:
        return f"{value} B"
    amount, unit = value / 1024, "KiB"
    for larger in ("MiB", "GiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}"


def measure(content: str | bytes) -> str:
    """Return how long a text is: what is not on the screen is in this line."""
    raw = content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
    lines = raw.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    longest = max((len(one.decode(errors="replace")) for one in lines), default=0)
    parts = [f"{len(lines):,} {'line' if len(lines) == 1 else 'lines'}", size(len(raw))]
    if longest > 200:
        parts.append(f"longest line {longest:,} characters")
    return ", ".join(parts)


def digest(content: bytes) -> str:
    """Return the hash of bytes, cut to what a person compares."""
    return f"sha256 {hashlib.sha256(content).hexdigest()[:16]}…"


def when(value: datetime) -> str:
    """Return a time as a person reads it, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(seconds: float) -> str:
    """Return a duration as a person reads it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10 and rest:
        return f"{minutes} min {rest} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"
