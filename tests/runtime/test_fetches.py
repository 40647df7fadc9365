"""Fetches from the cached web: what is recorded, in which segment, and what ends them."""

from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.errors import WebFailed
from monastery.runtime.store import Store
from monastery.runtime.story import tell
from tests.runtime.world import SetAuditor, Small, approve, notes


class Shelf:
    """A cached web of one book, which notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.says: Any = {"text": "a page"}
        self.closed = False

    async def fetch(self, asked: Any) -> Any:
        """Give the book."""
        await trio.lowlevel.checkpoint()
        self.asked.append(dict(asked))
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


def world(home: Path, bodies: list[Any], heard: list[Any], shelf: Shelf, **more: Any) -> Small:
    """Return a world whose agent asks these, hears the answers, and proposes a note."""

    async def agent(inside: Any) -> int:
        for body in bodies:
            heard.append(await inside.web(body))
        return await notes("one")(inside)

    extra = {"cached_web": {"path": "w", **more}}
    return Small(home, agent, rate=0.0, extra=extra, web=shelf)


async def test_a_fetch_is_recorded_with_what_was_given(tmp_path: Path) -> None:
    """Before the agent has it, in its segment, by the names of both contents."""
    heard: list[Any] = []
    small = world(tmp_path, [{"get": "a"}, {"search": "b"}], heard, shelf := Shelf())
    row = small.new()
    await small.live(row)
    assert heard == [shelf.says] * 2
    got, searched = small.events("web.fetched")
    assert (got.segment, got.refused) == (f"{row.run}.1", None)
    with Store.open(tmp_path) as store:
        assert store.blob(got.request.ref) == b'{"get":"a"}'
        assert store.blob(searched.response.ref) == b'{"text":"a page"}'
        story = tell(store, row.run)
    assert len(story.segments[0].fetches) == 2
    assert (story.fetched.count, story.fetched.size_bytes) == (2, 2 * len(b'{"text":"a page"}'))
    assert small.types.index("web.fetched") < small.types.index("proposal.frozen")
    assert shelf.closed


async def test_what_is_asked_is_whole_and_within_bounds(tmp_path: Path) -> None:
    """Every field has a value, and none gives more than may be given at a time."""
    asked = [{"get": "a"}, {"get": "a", "raw": True, "limit": 1 << 30}, {"search": "b"}]
    asked += [{"get": "a", "limit": 1 << 30}]
    await (small := world(tmp_path, asked, [], shelf := Shelf())).live(small.new())
    page = {"get": "a", "raw": False, "links": False, "offset": 0}
    assert shelf.asked == [
        {**page, "limit": 20_000},
        {**page, "raw": True, "limit": 1 << 18},
        {"search": "b", "limit": 10},
        {**page, "limit": 200_000},
    ]


NONSENSE = [
    {},
    {"get": ""},
    {"get": "x" * 2001},
    {"get": 7},
    {"get": "a", "raw": 1},
    {"get": "a", "offset": -1},
    {"get": "a", "limit": 0},
    {"get": "a", "path": "/etc"},
    {"get": "a", "search": "b"},
    {"search": "b", "limit": 51},
    {"search": ["b"]},
]


async def test_nonsense_is_answered_and_asks_nobody(tmp_path: Path) -> None:
    """The agent can read why; it counts, so nobody fills a journal with it."""
    heard: list[Any] = []
    small = world(tmp_path, NONSENSE, heard, shelf := Shelf())
    await small.live(small.new())
    assert [one["error"]["type"] for one in heard] == ["bad_request"] * len(NONSENSE)
    assert "path: Extra inputs are not permitted" in str(heard)
    assert shelf.asked == []
    assert len(small.events("web.fetched")) == len(NONSENSE)


async def test_a_reader_that_breaks_is_an_error_that_the_agent_can_read(tmp_path: Path) -> None:
    """And the run goes on."""
    heard: list[Any] = []
    shelf = Shelf()
    shelf.says = WebFailed("the reader ended")
    small = world(tmp_path, [{"get": "a"}], heard, shelf)
    await small.live(small.new())
    assert heard == [{"error": {"type": "web_failed", "message": "the reader ended"}}]
    assert small.events("step.completed")


@pytest.mark.parametrize(
    ("bound", "words"),
    [({"fetches": 2}, "made all of its 2 fetches"), ({"size": 30}, "was given 34 of 30 bytes")],
)
async def test_what_a_run_may_fetch_is_bounded_also_across_a_stop(
    tmp_path: Path, bound: dict[str, int], words: str
) -> None:
    """What was given before counts after it; that there is no more is recorded once."""
    heard: list[Any] = []
    small = world(tmp_path, [{"get": "a"}] * 4, heard, shelf := Shelf(), **bound)
    row = small.new()
    with trio.CancelScope() as scope:
        small.watch = lambda record: scope.cancel() if record.event.type == "web.fetched" else None
        await small.live(row)
    assert len(small.events("web.fetched")) == 1
    small.watch = None
    await small.live(small.claim(row.run))
    assert len(shelf.asked) == 2
    assert [one.get("error", {}).get("type") for one in heard[-4:]] == [
        None,
        *["budget_exhausted"] * 3,
    ]
    assert words in heard[-1]["error"]["message"]
    assert [one.refused for one in small.events("web.fetched")][:2] == [None, None]
    assert len(small.events("web.fetched")) == 3


async def test_parallel_fetches_do_not_overdraw_together(tmp_path: Path) -> None:
    """The last one that is allowed is the last one that is made."""
    heard: list[Any] = []

    async def agent(inside: Any) -> int:
        async def ask() -> None:
            heard.append(await inside.web({"get": "a"}))

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(ask)
        return 0

    shelf = Shelf()
    extra = {"cached_web": {"path": "w", "fetches": 3}}
    small = Small(tmp_path, agent, rate=0.0, extra=extra, web=shelf)
    await small.live(small.new())
    assert len(shelf.asked) == 3
    assert sum("error" in one for one in heard) == 5


async def test_without_a_cached_web_there_is_an_answer_too(tmp_path: Path) -> None:
    """A guest that asks all the same is told, and the runtime is not surprised."""
    heard: list[Any] = []

    async def agent(inside: Any) -> int:
        heard.append(await inside.web({"get": "a"}))
        return 0

    small = Small(tmp_path, agent, rate=0.0)
    await small.live(small.new())
    assert heard[0]["error"]["type"] == "no_web"


async def test_an_answer_that_comes_while_the_box_is_frozen_belongs_to_the_next_segment(
    tmp_path: Path,
) -> None:
    """In which the agent has it; nothing is recorded between a proposal and its outcome."""
    frozen = trio.Event()

    class Slow(Shelf):
        async def fetch(self, asked: Any) -> Any:
            await frozen.wait()
            return self.says

    async def agent(inside: Any) -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inside.web, {"get": "a"})
            await inside.propose("note", "one", "r")
        return 0

    extra = {"cached_web": {"path": "w"}}
    auditor = SetAuditor(approve())
    small = Small(tmp_path, agent, [auditor], rate=1.0, extra=extra, web=Slow())
    small.watch = lambda record: frozen.set() if record.event.type == "audit.drawn" else None
    row = small.new()
    await small.live(row)
    (fetched,) = small.events("web.fetched")
    assert fetched.segment == f"{row.run}.2"
