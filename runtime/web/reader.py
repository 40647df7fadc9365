"""The program that reads a cached web: a line of JSON in, a line of JSON out.

    python -m monastery.runtime.web.reader PATH

A process of its own, since what it reads may come from strangers and what it is asked comes from an
agent: it has no secrets, no network where the kernel lets it do without one, bounds on what it may
use, and it can be ended when it takes too long. It says what it is first, or why it cannot be.
"""

import base64
import ctypes
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, Protocol

from monastery.runtime.web.pages import (
    EXCERPT_BYTES,
    READ_BYTES,
    Found,
    Page,
    decoded,
    excerpt,
    words_of,
)
from monastery.runtime.web.readable import readable

DATA_BYTES = 2 << 30
"""How much memory of its own it may use; a mapped ZIM file does not count."""

_TITLE_CHARACTERS = 300
_NEW_NETWORK, _NEW_USER, _NO_NEW_PRIVILEGES = 0x40000000, 0x10000000, 38


class Web(Protocol):
    """Something to search and read."""

    def get(self, url: str) -> Page | None:
        """Return the page of this name."""
        ...

    def search(self, words: str, limit: int) -> Found:
        """Return the pages that hold these words."""
        ...


def main(path: Path) -> None:
    """Answer until nobody asks any more."""
    confine()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        web = opened(path)
    except Exception as exc:  # noqa: BLE001 - told to the runtime, whatever it is
        _say(answers, {"broken": f"{type(exc).__name__}: {exc}"})
        return
    _say(answers, {"ready": path.name})
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        try:
            told = answer(web, asked)
        except Exception as exc:  # noqa: BLE001 - a page that cannot be read ends no others
            told = _error("web_failed", f"it cannot be read: {type(exc).__name__}")
        _say(answers, told)


def confine() -> None:
    """Give up what reading does not need."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if libc.unshare(_NEW_NETWORK) != 0:
        libc.unshare(_NEW_USER | _NEW_NETWORK)  # refused on some machines; nothing here asks for it
    for kind, most in (
        (resource.RLIMIT_DATA, DATA_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, DATA_BYTES),
        (resource.RLIMIT_NOFILE, 256),
    ):
        _, hard = resource.getrlimit(kind)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


def opened(path: Path) -> Web:
    """Open a folder or a ZIM file."""
    if path.is_dir():
        from monastery.runtime.web.folder import FolderWeb

        return FolderWeb(path)
    from monastery.runtime.web.zim import ZimWeb

    return ZimWeb(path)


def answer(web: Web, asked: dict[str, Any]) -> dict[str, Any]:
    """Answer one request; see `monastery.runtime.fetches` for its shape."""
    if "search" in asked:
        words = asked["search"]
        found = web.search(words, asked["limit"])
        return {
            "results": [_result(page, words_of(words)) for page in found.pages],
            "matches": found.matches,
            "how": found.how,
            "complete": found.complete,
        }
    page = web.get(asked["get"])
    if page is None:
        return _error("not_found", f"there is no page {asked['get'][:200]!r} in this cached web")
    told: dict[str, Any] = {"url": page.url, "type": page.kind}
    told["title"] = page.title[:_TITLE_CHARACTERS]
    offset, limit = asked["offset"], asked["limit"]
    if asked["raw"]:
        data = page.read(offset, limit)
        told |= {"base64": base64.b64encode(data).decode(), "size": page.size_bytes}
        return told | _place(offset, len(data), page.size_bytes)
    if not page.is_text:
        why = f"{page.url!r} is {page.kind} and not text; ask for it raw"
        return _error("not_text", why)
    title, text = _text(page, links=asked["links"])
    told |= {"title": (title or page.title)[:_TITLE_CHARACTERS]}
    told |= {"text": text[offset : offset + limit], "size": len(text)}
    told |= {"cut": True} if page.size_bytes > READ_BYTES else {}
    return told | _place(offset, len(text[offset : offset + limit]), len(text))


def _place(offset: int, given: int, size: int) -> dict[str, Any]:
    end = offset + given
    return {"offset": offset, "next": end if given and end < size else None}


def _text(page: Page, *, links: bool = False) -> tuple[str, str]:
    text = decoded(page.read(0, READ_BYTES))
    return readable(text, page.url, links=links) if page.is_html else ("", text)


def _result(page: Page, words: list[str]) -> dict[str, str]:
    title, text = "", ""
    if page.is_text and page.size_bytes <= EXCERPT_BYTES:
        title, text = _text(page)
    told = {"url": page.url, "title": (title or page.title)[:_TITLE_CHARACTERS]}
    return told | {"excerpt": excerpt(text, words)}


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}


def _say(answers: Any, told: dict[str, Any]) -> None:
    # A stranger's text may hold half a character, which no UTF-8 can.
    text = json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")
    answers.write(text + b"\n")
    answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
