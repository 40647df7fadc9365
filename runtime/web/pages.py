"""What a cached web holds, and how its pages are named. Pure."""

import re
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

READ_BYTES = 8 << 20
"""How much of one page is ever turned into text."""

EXCERPT_BYTES = 1 << 19
"""Of longer pages a search gives no excerpt."""

EXCERPT_CHARACTERS = 240

_DECLARED = re.compile(rb"""(?i)<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]{1,40})""")
_TEXTS = {"application/json", "application/xml", "application/javascript", "application/xhtml+xml"}


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        url: What it is called here; asking for this gives it again.
        kind: Its media type, without parameters.
        size_bytes: How long it is, as it lies there.
        read: Returns so many of its bytes from an offset on; less only at its end.
    """

    url: str
    title: str
    kind: str
    size_bytes: int
    read: Callable[[int, int], bytes]

    @property
    def is_html(self) -> bool:
        """Whether it is marked up."""
        return self.kind in ("text/html", "application/xhtml+xml")

    @property
    def is_text(self) -> bool:
        """Whether a reader could make sense of its bytes."""
        return self.kind.startswith("text/") or self.kind in _TEXTS


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        pages: The best first.
        matches: How many there are in all, perhaps estimated.
        how: ``full text`` or ``titles``.
        complete: Whether all pages were searched.
    """

    pages: list[Page]
    matches: int
    how: str
    complete: bool = True


def spellings(url: str) -> Iterator[str]:
    """Yield the names under which a page may lie that somebody calls by this one.

    People and pages name a page by its whole address, in percent signs, with a fragment, or by the
    folder that it is the index of.
    """
    bare = re.sub(r"(?i)^[a-z][a-z0-9+.-]*://", "", url.partition("#")[0]).lstrip("/")
    once = dict.fromkeys(
        name
        for path in (bare, bare.partition("?")[0])
        for name in (path, urllib.parse.unquote(path))
    )
    for name in once:
        yield name
        folder = name.rstrip("/")
        yield f"{folder}.html"
        yield f"{folder}/index.html" if folder else "index.html"


def decoded(data: bytes) -> str:
    """Return text as it was meant: UTF-8, or what the page itself declares."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode()
    except UnicodeDecodeError:
        declared = _DECLARED.search(data[:2048])
        try:
            return data.decode(declared[1].decode() if declared else "utf-8", "replace")
        except (LookupError, ValueError):  # no such encoding
            return data.decode("latin-1")


def words_of(text: str) -> list[str]:
    """Return the words that are searched for, at most 32."""
    return re.findall(r"\w+", text)[:32]


def excerpt(text: str, words: list[str]) -> str:
    """Return the part of a text around the first of these words that it holds, in one line."""
    flat = " ".join(text.split())
    lower = flat.lower()
    places = [place for word in words if (place := lower.find(word.lower())) >= 0]
    start = max(0, min(places, default=0) - EXCERPT_CHARACTERS // 3)
    end = start + EXCERPT_CHARACTERS
    return ("…" if start else "") + flat[start:end] + ("…" if end < len(flat) else "")
