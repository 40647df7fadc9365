"""Server-sent events: what an open page must know without asking.

One round looks for all open pages at once: with fifty of them, each asking by itself left no time
for votes. Who left is told nothing more.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from monastery.auditor.desk import door
from monastery.auditor.desk.rules import Caller
from monastery.auditor.web.office import Office
from monastery.auditor.web.session import secret_of

ROUND_SECONDS = 0.5
"""How long after a round the next one comes at the earliest."""
QUIET_SECONDS = 15.0
"""After how long without news a line is sent all the same, so that nobody hangs up."""
STALE_SECONDS = 1.0
"""How old the number of what waits may be. Among many who work it changes with every second."""
RETRY_MS = 1000
"""After how long a page tries again when the line was broken."""
MOST_STREAMS = 8
"""How many a person may have open: each tab has one."""


@dataclass(slots=True, eq=False)
class _Page:
    """An open page: who looks at it, by which secret, and at which question.

    Attributes:
        told: What it is to be told; None when nobody may hear it any more.
    """

    person: str
    secret: str
    item: str | None
    told: dict[str, Any] | None
    news: trio.Event = field(default_factory=trio.Event)

    def tell(self, told: dict[str, Any] | None) -> None:
        """Note what is new, and wake who sends it."""
        if told != self.told:
            self.told = told
            self.news.set()


class Board:
    """Looks for all open pages."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._pages: set[_Page] = set()

    async def keep(self) -> None:
        """Look whenever anyone has written, and when time has passed, for ever."""
        known = self._office.changes
        while True:
            await self._office.news(known)
            known = self._office.changes  # what changes from here on is for the next round
            pages = list(self._pages)
            if pages:
                found = await self._office.ask(_look_for, self._office, pages)
                for page, told in zip(pages, found, strict=True):
                    page.tell(told)
            await trio.sleep(ROUND_SECONDS)

    @contextmanager
    def opened(self, page: _Page) -> Iterator[None]:
        """Look for a page until the block ends."""
        self._pages.add(page)
        try:
            yield
        finally:
            self._pages.discard(page)

    def count(self, person: str) -> int:
        """Return how many pages a person has open."""
        return Counter(page.person for page in self._pages)[person]


async def events(request: Request) -> Response:
    """Stream how many questions wait, and whether the one that is open can still be answered."""
    office: Office = request.app.state.office
    board: Board = request.app.state.board
    secret, item = secret_of(request), request.query_params.get("item")
    entered = await office.ask(door.enter, office.clerk.book, secret, "session", office.now())
    if entered is None:
        return Response(status_code=401)
    if board.count(entered.caller.name) >= MOST_STREAMS:
        return Response(status_code=429)
    told = await office.ask(look, office, entered.caller, item)
    return _Stream(board, _Page(entered.caller.name, secret, item, told))


class _Stream(Response):
    """An answer without an end: it ends when its reader goes, or is no one any more."""

    def __init__(self, board: Board, page: _Page) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self._board, self._page = board, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until then."""
        start: Message = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        with self._board.opened(self._page):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_gone, receive, nursery.cancel_scope)
                await self._tell(send)
                nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _until_gone(self, receive: Receive, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _tell(self, send: Send) -> None:
        page = self._page
        await send(_part(f"retry: {RETRY_MS}\n\n"))
        while page.told is not None:
            page.news = trio.Event()
            await send(_part(f"data: {json.dumps(page.told)}\n\n"))
            while not page.news.is_set():
                with trio.move_on_after(QUIET_SECONDS) as quiet:
                    await page.news.wait()
                if quiet.cancelled_caught:
                    await send(_part(":\n\n"))


def _part(text: str) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}


def _look_for(office: Office, pages: Sequence[_Page]) -> list[dict[str, Any] | None]:
    """Look for several pages in one turn of the office."""
    found = []
    for page in pages:
        entered = door.enter(office.clerk.book, page.secret, "session", office.now())
        found.append(None if entered is None else look(office, entered.caller, page.item))
    return found


def look(office: Office, caller: Caller, item: str | None) -> dict[str, Any]:
    """Return all that an open page is told."""
    now = office.now()
    waiting = office.clerk.count(caller, now, stale_seconds=STALE_SECONDS)
    told: dict[str, Any] = {"waiting": waiting}
    if item is not None:
        refused = office.clerk.state(caller, item, now)
        told["closed"] = None if refused is None else {"why": refused.why, "text": refused.text}
    return told
