"""A cached web that is a ZIM file, as Kiwix and openZIM make them. Needs the extra ``zim``.

The one module that imports libzim, which is under GPL-3.0-or-later; only `reader` imports it, in a
process of its own (see docs/design/cached-web.md).
"""

from functools import partial
from pathlib import Path

from libzim.reader import Archive, Entry, Item
from libzim.search import Query, Searcher
from libzim.suggestion import SuggestionSearcher

from monastery.runtime.web.pages import Found, Page, spellings

_MAX_REDIRECTS = 10
_CACHED_CLUSTERS = 8


class ZimWeb:
    """The pages of a ZIM file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._archive = Archive(path)

    def get(self, url: str) -> Page | None:
        """Return the page of this path, or of this title; None when there is none."""
        for name in spellings(url):
            short = name.partition("/wiki/")[2]
            for path in (name, f"A/{name}", *([short, f"A/{short}"] if short else ())):
                if self._archive.has_entry_by_path(path):
                    return self._page(self._archive.get_entry_by_path(path))
        if self._archive.has_entry_by_title(url):
            return self._page(self._archive.get_entry_by_title(url))
        return None

    def search(self, words: str, limit: int) -> Found:
        """Return what the file's own index finds; without one, titles that begin so."""
        if self._archive.has_fulltext_index:
            how, asked = "full text", Searcher(self._archive).search(Query().set_query(words))
        else:
            how, asked = "titles", SuggestionSearcher(self._archive).suggest(words)
        found = [
            self._page(self._archive.get_entry_by_path(path)) for path in asked.getResults(0, limit)
        ]
        pages = [page for page in found if page is not None]
        return Found(pages, asked.getEstimatedMatches(), how)

    def _page(self, entry: Entry) -> Page | None:
        for _ in range(_MAX_REDIRECTS):
            if not entry.is_redirect:
                break
            entry = entry.get_redirect_entry()
        else:
            return None
        item = entry.get_item()
        kind = item.mimetype.partition(";")[0].strip().lower()
        return Page(entry.path, entry.title, kind, item.size, partial(_read, item))


def _read(item: Item, offset: int, size: int) -> bytes:
    return bytes(item.content[offset : offset + size])
