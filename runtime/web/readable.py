"""A marked-up page as text that can be read: no scripts, no styles, no pictures. Pure.

Headings, lists, tables and preformatted text keep a sign of what they are. Nothing is executed and
nothing is fetched: a page is only ever text here. The standard library's parser is not used: a page
made for it (a hundred thousand of ``<a ``) keeps it busy for minutes. This one looks at each
character a bounded number of times.
"""

import html
import posixpath
import re
import urllib.parse

_DROPPED = {"template", "svg", "iframe", "object", "canvas", "audio", "video"}
_DROPPED |= {"select", "noembed", "noframes", "map"}
_BLOCKS = {"p", "div", "br", "li", "tr", "table", "ul", "ol", "dl", "dt", "dd", "pre", "hr"}
_BLOCKS |= {"blockquote", "section", "article", "header", "footer", "main", "nav", "aside", "body"}
_BLOCKS |= {"figure", "figcaption", "form", "fieldset", "details", "summary", "caption", "address"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_MAX_DEPTH = 1000
_RAW = {"script", "style"}
_NAME = re.compile(r"/?[a-z][a-z0-9:-]{0,40}", re.IGNORECASE)
_HREF = re.compile(
    r"\shref\s{0,9}=\s{0,9}(?:\"([^\"]{0,2000})|'([^']{0,2000})|([^\s\"'>]{1,2000}))", re.IGNORECASE
)


def readable(markup: str, url: str, *, links: bool = False) -> tuple[str, str]:
    """Return a page's title and its text.

    Args:
        markup: The page.
        url: Where it lies, for what its links mean.
        links: Whether to write them, as ``[words](url)``; those to elsewhere stay without.
    """
    reader = _Reader(url, links=links)
    reader.feed(markup)
    return " ".join("".join(reader.title).split()), reader.text()


class _Reader:
    def __init__(self, url: str, *, links: bool) -> None:
        self.title: list[str] = []
        self._url, self._links = url, links
        self._lines: list[str] = []
        self._line: list[str] = []
        self._dropped: list[str] = []
        self._in_title = False
        self._preformatted = 0
        self._targets: list[str | None] = []

    def text(self) -> str:
        """Return what was read."""
        self._end_line()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self._lines)).strip()

    def feed(self, markup: str) -> None:
        """Read a whole page: texts, tags, and what is left out between them."""
        at, lower = 0, markup.lower()
        if len(lower) != len(markup):  # a few letters have longer small ones
            lower = markup
        while (start := markup.find("<", at)) >= 0:
            name = _NAME.match(markup, start + 1)
            if markup.startswith("<!--", start):
                end, close = markup.find("-->", start + 4), 3
            elif name is not None or markup.startswith(("<!", "<?"), start):
                end, close = markup.find(">", start), 1
            else:
                self.handle_data(html.unescape(markup[at : start + 1]))
                at = start + 1
                continue
            self.handle_data(html.unescape(markup[at:start]))
            if end < 0:
                return  # it never ends, so nothing follows
            at = end + close
            if name is None:
                continue
            tag = name[0].lower()
            if tag.startswith("/"):
                self.handle_endtag(tag[1:])
            elif tag in _RAW:
                at = lower.find(f"</{tag}", at)
                if at < 0:
                    return
            elif markup[end - 1] != "/" or tag not in _DROPPED:
                self.handle_starttag(tag, markup[name.end() : end])
        self.handle_data(html.unescape(markup[at:]))

    def handle_starttag(self, tag: str, attributes: str) -> None:
        """Take the beginning of an element."""
        if self._dropped:
            if tag == self._dropped[-1] and len(self._dropped) < _MAX_DEPTH:
                self._dropped.append(tag)
            return
        if tag in _DROPPED:
            self._dropped.append(tag)
        elif tag == "title" and not self.title:
            self._in_title = True
        elif tag in _HEADINGS:
            self._end_block()
            self._line.append("#" * int(tag[1]) + " ")
        elif tag in ("td", "th"):
            if "".join(self._line).strip():
                self._line.append(" | ")
        elif tag == "a" and self._links and len(self._targets) < _MAX_DEPTH:
            target = self._target(attributes)
            self._targets.append(target)
            if target is not None:
                self._line.append("[")
        elif tag in _BLOCKS:
            self._end_line() if tag in ("br", "li", "tr", "dt", "dd") else self._end_block()
            if tag == "li":
                self._line.append("- ")
            elif tag == "pre":
                self._preformatted += 1

    def handle_endtag(self, tag: str) -> None:
        """Take the end of an element."""
        if self._dropped:
            if tag == self._dropped[-1]:
                self._dropped.pop()
        elif tag == "title":
            self._in_title = False
        elif tag == "a" and self._targets:
            target = self._targets.pop()
            if target is not None:
                self._line.append(f"]({target})")
        elif tag in _HEADINGS or tag in _BLOCKS:
            if tag == "pre":
                self._end_line()
                self._preformatted = max(0, self._preformatted - 1)
            self._end_line() if tag in ("li", "tr", "dt", "dd") else self._end_block()

    def handle_data(self, data: str) -> None:
        """Take text."""
        if self._in_title:
            self.title.append(data)
        elif self._dropped:
            pass
        elif self._preformatted:
            first, *others = data.split("\n")
            self._line.append(first)
            for other in others:
                self._end_line()
                self._line.append(other)
        else:
            self._line.append(re.sub(r"\s+", " ", data))

    def _target(self, attributes: str) -> str | None:
        """Return what a link's page is called here; None for one that leads elsewhere."""
        found = _HREF.search(attributes[:8000])
        href = html.unescape(next(filter(None, found.groups()), "")) if found else ""
        try:
            parts = urllib.parse.urlsplit(href)
            if not parts.path or parts.scheme or parts.netloc:
                return None
            joined = posixpath.normpath(posixpath.join("/" + self._url, "..", parts.path))
        except ValueError:
            return None
        return urllib.parse.unquote(joined).lstrip("/") or None

    def _end_line(self) -> None:
        line = "".join(self._line)
        self._line.clear()
        if not self._preformatted:
            line = re.sub(r" {2,}", " ", line).strip()
        if line.strip(" #-|"):
            self._lines.append(line.rstrip())
        elif self._preformatted:
            self._lines.append("")

    def _end_block(self) -> None:
        self._end_line()
        if self._lines and self._lines[-1]:
            self._lines.append("")
