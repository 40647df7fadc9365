"""The program that reads a cached web, as the runtime asks it: what is given, and what never is."""

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.errors import WebFailed
from monastery.runtime.web.cached import CachedWeb
from monastery.runtime.web.folder import FolderWeb
from tests.web.conftest import TIDE, write_zim
from tests.web.test_readable import TEXT


def get(url: str, **more: Any) -> dict[str, Any]:
    """Return the request for a page."""
    return {"get": url, "raw": False, "links": False, "offset": 0, "limit": 20_000, **more}


@asynccontextmanager
async def opened(path: Path, **more: Any) -> AsyncIterator[CachedWeb]:
    """Open a cached web for the length of the block."""
    cached = CachedWeb(path, **more)
    try:
        yield cached
    finally:
        await cached.aclose()


async def test_a_page_is_given_as_text_and_as_it_is(web: Path) -> None:
    """Text by default; the very bytes when they are asked for."""
    async with opened(web) as cached:
        told = await cached.fetch(get("wiki/Tide.html"))
        assert told == {
            "url": "wiki/Tide.html",
            "title": "Tide",
            "type": "text/html",
            "text": TEXT,
            "size": len(TEXT),
            "offset": 0,
            "next": None,
        }
        raw = await cached.fetch(get("wiki/Tide.html", raw=True))
        assert base64.b64decode(raw["base64"]) == TIDE.encode()
        assert (await cached.fetch(get("moon.bin")))["error"]["type"] == "not_text"
        raw = await cached.fetch(get("moon.bin", raw=True))
        assert base64.b64decode(raw["base64"]) == b"\x00\x01\xff"


@pytest.mark.parametrize(
    "url",
    [
        "/wiki/Tide.html",
        "http://wiki/Tide.html#top",
        "wiki/Tide",
        "wiki/Tide.html?print=1",
        "wiki%2FTide.html",
    ],
)
async def test_a_page_is_found_by_what_people_call_it(web: Path, url: str) -> None:
    """And told by its own name, which gives it again."""
    async with opened(web) as cached:
        assert (await cached.fetch(get(url)))["url"] == "wiki/Tide.html"


async def test_a_long_page_is_given_in_parts(web: Path) -> None:
    """Each says where the next begins; together they are the page."""
    async with opened(web) as cached:
        for raw, whole in ((False, TEXT), (True, TIDE)):
            parts, offset = "", 0
            while offset is not None:
                told = await cached.fetch(get("wiki/Tide.html", offset=offset, limit=50, raw=raw))
                assert told["size"] == len(whole)
                parts += base64.b64decode(told["base64"]).decode() if raw else told["text"]
                offset = told["next"]
            assert parts == whole
        beyond = await cached.fetch(get("wiki/Tide.html", offset=10**9))
        assert (beyond["text"], beyond["next"]) == ("", None)


async def test_a_search_finds_words_in_texts(web: Path) -> None:
    """The pages that hold all of them, with the place where they do."""
    async with opened(web) as cached:
        told = await cached.fetch({"search": "moon pulls", "limit": 10})
        (one,) = told["results"]
        assert (one["url"], one["title"]) == ("wiki/Tide.html", "Tide")
        assert "The moon pulls the sea" in one["excerpt"]
        assert (told["matches"], told["how"], told["complete"]) == (1, "full text", True)
        assert (await cached.fetch({"search": "xyzzy", "limit": 10}))["results"] == []
        assert len((await cached.fetch({"search": "tide OR moon", "limit": 1}))["results"]) <= 1


async def test_a_zim_without_an_index_is_searched_by_titles(tmp_path: Path) -> None:
    """And says so."""
    path = write_zim(tmp_path / "bare.zim", indexed=False)
    async with opened(path) as cached:
        told = await cached.fetch({"search": "tid", "limit": 10})
        assert [one["url"] for one in told["results"]] == ["wiki/Tide.html"]
        assert told["how"] == "titles"


async def test_a_zims_redirect_leads_to_its_page(zim: Path) -> None:
    """Under the page's own name."""
    async with opened(zim) as cached:
        assert (await cached.fetch(get("wiki/Ebb")))["url"] == "wiki/Tide.html"


@pytest.mark.parametrize(
    "words",
    ['"', "tide AND", "NEAR(", "*", "title:tide", "-", "\x00", "(" * 900, "é\u202e", "a*b^2"],
)
async def test_no_words_break_a_search(web: Path, words: str) -> None:
    """Neither index's own language is spoken to it by the agent, or no harm is done."""
    async with opened(web) as cached:
        told = await cached.fetch({"search": words, "limit": 10})
        assert "results" in told
        assert (await cached.fetch(get("wiki/Moon.html")))["title"] == "Moon"


OUTSIDE = [
    "../secret.txt",
    "wiki/../../secret.txt",
    "%2e%2e/secret.txt",
    "..%2fsecret.txt",
    "file:///etc/passwd",
    "/etc/passwd",
    "link.txt",
    "linked/secret.txt",
    "wiki/inner/secret.txt",
    "pipe",
    ".hidden",
    "wiki/\x00",
]


@pytest.mark.parametrize("raw", [False, True])
async def test_nothing_outside_the_folder_is_ever_given(folder: Path, raw: bool) -> None:
    """Not by dots, not by links to files or folders, not by what is swapped for a link later."""
    secret = folder.parent / "secret.txt"
    secret.write_text("the secret")
    (folder / "link.txt").symlink_to(secret)
    (folder / "linked").symlink_to(folder.parent)
    (folder / ".hidden").write_text("the secret")
    os.mkfifo(folder / "pipe")
    (folder / "wiki/inner").mkdir()
    (folder / "wiki/inner/secret.txt").write_text("harmless")
    (folder / "late.txt").write_text("harmless")
    async with opened(folder) as cached:
        assert (await cached.fetch(get("late.txt")))["text"] == "harmless"
        (folder / "late.txt").unlink()
        (folder / "late.txt").symlink_to(secret)
        (folder / "wiki/inner/secret.txt").unlink()
        (folder / "wiki/inner").rmdir()
        (folder / "wiki/inner").symlink_to(folder.parent)
        for url in [*OUTSIDE, "late.txt"]:
            told = await cached.fetch(get(url, raw=raw))
            assert told["error"]["type"] == "not_found", (url, told)
        assert (await cached.fetch({"search": "secret", "limit": 50}))["results"] == []


async def test_the_reader_is_alone_and_knows_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of the runtime's, no privileges to gain, and no network but its own empty one."""
    monkeypatch.setenv("SOME_KEY", "sk-of-the-operator")
    async with opened(folder) as cached:
        await cached.fetch(get("wiki/Moon.html"))
        assert cached._process is not None
        proc = Path(f"/proc/{cached._process.pid}")
        assert b"SOME_KEY" not in (proc / "environ").read_bytes()
        assert "NoNewPrivs:\t1" in (proc / "status").read_text()
        links = (proc / "net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in links] == ["lo"]


async def test_a_huge_page_costs_bounded_memory_and_says_that_it_is_cut(folder: Path) -> None:
    """What is beyond the first megabytes is there as it is, and not as text."""
    with (folder / "huge.txt").open("wb") as file:
        file.write(b"begin ")
        file.truncate(3 << 30)
    async with opened(folder) as cached:
        told = await cached.fetch(get("huge.txt"))
        assert told["text"].startswith("begin ")
        assert told["cut"] is True
        assert told["size"] == 8 << 20
        raw = await cached.fetch(get("huge.txt", raw=True, offset=(3 << 30) - 5, limit=1 << 18))
        assert (base64.b64decode(raw["base64"]), raw["next"]) == (bytes(5), None)
        assert cached._process is not None
        status = await trio.Path(f"/proc/{cached._process.pid}/status").read_text()
        peak = status.partition("VmHWM:")[2]
        assert int(peak.split()[0]) < 400_000  # KiB


async def test_a_zims_huge_article_is_cut_too(tmp_path: Path) -> None:
    """The same, from a file of a stranger."""
    page = "<p>" + "tide " * (3 << 20)
    path = write_zim(tmp_path / "huge.zim", indexed=False, more={"huge": (page, "text/html")})
    async with opened(path) as cached:
        told = await cached.fetch(get("huge", limit=10))
        assert (told["text"], told["cut"]) == ("tide tide ", True)


async def test_more_files_than_are_listed_are_told(folder: Path) -> None:
    """A search that did not see all says so; what is beyond the index is found by its name."""
    for number in range(20):
        (folder / f"zz-{number}.txt").write_text("words beyond")
    few = FolderWeb(folder, max_files=5)
    assert not few.search("moon", 10).complete
    bare = FolderWeb(folder, indexed_bytes=0)
    assert bare.search("beyond", 10).pages == []
    assert [page.url for page in bare.search("tide", 10).pages] == ["wiki/Tide.html"]
    assert not bare.search("tide", 10).complete
    assert FolderWeb(folder).search("beyond", 10).complete


async def test_a_reader_that_dies_is_said_and_started_again(folder: Path) -> None:
    """One page that breaks it does not end the others, nor the run."""
    async with opened(folder) as cached:
        await cached.fetch(get("wiki/Moon.html"))
        assert cached._process is not None
        cached._process.kill()
        with pytest.raises(WebFailed, match="ended"):
            await cached.fetch(get("wiki/Moon.html"))
        assert (await cached.fetch(get("wiki/Moon.html")))["title"] == "Moon"


async def test_what_takes_too_long_is_ended(folder: Path) -> None:
    """And nobody later is given its answer."""
    async with opened(folder, ask_seconds=0.0) as cached:
        with pytest.raises(WebFailed, match="took longer than 0 s"):
            await cached.fetch(get("wiki/Moon.html"))
        assert cached._process is None


async def test_what_is_no_zim_is_said(tmp_path: Path) -> None:
    """In one line, without its place on this machine."""
    path = tmp_path / "broken.zim"
    path.write_bytes(b"ZIM\x04" + bytes(500))
    async with opened(path) as cached:
        with pytest.raises(WebFailed, match="cannot be opened"):
            await cached.fetch(get("x"))
