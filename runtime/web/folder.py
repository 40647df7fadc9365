"""A cached web that is a folder of files: pages, texts, whatever.

What it holds is listed once, when it is opened. A page is one of that list, so no name leads out of
the folder; and it is opened part by part, following no symbolic link, so no link does either. Names
that begin with a dot are left out: they are a folder's business and not its pages.
"""

import mimetypes
import os
import posixpath
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import apsw

from monastery.runtime.web.pages import (
    READ_BYTES,
    Found,
    Page,
    decoded,
    spellings,
    words_of,
)
from monastery.runtime.web.readable import readable

MAX_FILES = 100_000
"""More are not listed, and a search says so."""

INDEXED_BYTES = 256 << 20
"""How much is read for the index; what lies beyond is found by its name only."""

_MAX_DEPTH = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TYPES = {".md": "text/markdown", ".rst": "text/x-rst", ".org": "text/x-org", "": "text/plain"}


class FolderWeb:
    """The pages in a folder.

    Args:
        path: The folder.
        max_files, indexed_bytes: See the constants.
    """

    def __init__(
        self, path: Path, *, max_files: int = MAX_FILES, indexed_bytes: int = INDEXED_BYTES
    ) -> None:
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._urls: list[str] = []
        self._complete = True
        for url in self._walk("", 0):
            if len(self._urls) == max_files:
                self._complete = False
                break
            self._urls.append(url)
        self._known = set(self._urls)
        self._words = apsw.Connection("")  # a file of its own that has no name
        self._index(indexed_bytes)

    def get(self, url: str) -> Page | None:
        """Return the page of this name, None when there is none."""
        for name in spellings(url):
            if name in self._known:
                return self._page(name)
        return None

    def search(self, words: str, limit: int) -> Found:
        """Return the pages that hold all of these words; if there are none, any of them."""
        quoted = [f'"{word}"' for word in words_of(words)]
        for joined in (" AND ".join(quoted), " OR ".join(quoted)) if quoted else ():
            counted = self._words.execute(
                "SELECT count(*) FROM words WHERE words MATCH ?", (joined,)
            )
            ((matches,),) = counted
            if matches:
                rows = self._words.execute(
                    "SELECT rowid FROM words WHERE words MATCH ?"
                    " ORDER BY bm25(words, 5.0, 1.0), rowid LIMIT ?",
                    (joined, limit),
                )
                pages = [self._page(self._urls[row - 1]) for (row,) in rows]
                kept = [page for page in pages if page is not None]
                return Found(kept, matches, "full text", self._complete)
        return Found([], 0, "full text", self._complete)

    def _walk(self, folder: str, depth: int) -> Iterator[str]:
        """Yield the regular files below a folder, in order."""
        try:
            fd = self._open(folder, _FOLDER) if folder else os.dup(self._root)
        except OSError:
            return
        try:
            with os.scandir(fd) as entries:
                found = sorted(
                    (entry.name, entry.is_dir(follow_symlinks=False))
                    for entry in entries
                    if not entry.name.startswith(".")
                    and _is_utf8(entry.name)
                    and not entry.is_symlink()
                    and (
                        entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
                    )
                )
        finally:
            os.close(fd)
        for name, is_folder in found:
            if not is_folder:
                yield posixpath.join(folder, name)
            elif depth < _MAX_DEPTH:
                yield from self._walk(posixpath.join(folder, name), depth + 1)

    def _open(self, url: str, flags: int) -> int:
        """Open what lies at a path, through folders that are no links."""
        *folders, last = url.split("/")
        at = os.dup(self._root)
        try:
            for name in folders:
                below = os.open(name, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
            return os.open(last, flags, dir_fd=at)
        finally:
            os.close(at)

    def _page(self, url: str) -> Page | None:
        """Return a page, None when its file is gone or is no file any more."""
        try:
            fd = self._open(url, _FILE)
        except OSError:
            return None
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        kind, _ = mimetypes.guess_type(url, strict=False)
        suffix = posixpath.splitext(url)[1].lower()
        kind = _TYPES.get(suffix) or kind or "application/octet-stream"
        return Page(url, posixpath.basename(url), kind, status.st_size, partial(self._read, url))

    def _read(self, url: str, offset: int, size: int) -> bytes:
        try:
            fd = self._open(url, _FILE)
        except OSError:
            return b""
        with os.fdopen(fd, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            file.seek(offset)
            parts = []
            while size > 0 and (part := file.read(min(size, 1 << 20))):
                parts.append(part)
                size -= len(part)
            return b"".join(parts)

    def _index(self, left_bytes: int) -> None:
        """Note the words of every page: of its name, and of its text while there is room."""
        self._words.execute(
            "CREATE VIRTUAL TABLE words USING fts5("
            "title, body, content='', tokenize='porter unicode61 remove_diacritics 2')"
        )
        with self._words:
            for row, url in enumerate(self._urls, 1):
                page, body = self._page(url), ""
                if page is not None and page.is_text:
                    data = page.read(0, min(READ_BYTES, max(0, left_bytes)))
                    left_bytes -= len(data)
                    self._complete &= len(data) == page.size_bytes
                    text = decoded(data)
                    body = readable(text, url)[1] if page.is_html else text
                title = posixpath.splitext(url)[0].replace("_", " ").replace("-", " ")
                self._words.execute(
                    "INSERT INTO words(rowid, title, body) VALUES (?, ?, ?)",
                    (row, title, body.encode("utf-8", "replace").decode()),
                )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
