"""Server-sent events: what an open page must know without asking."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from monastery.auditor.desk.rules import Caller
from monastery.auditor.web.office import Office
from monastery.auditor.web.session import visit

RETRY_MS = 1000
"""After how long a page tries again when the line was broken."""
MOST_STREAMS = 8
"""How many a person may have open: each tab has one."""


class Streams:
    """Counts the open streams of each person."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}


async def events(request: Request) -> Response:
    """Stream how many questions wait, and whether the one that is open can still be answered."""
    by = await visit(request)
    if by is None:
        return Response(status_code=401)
    streams: Streams = request.app.state.streams
    if streams.open.get(by.caller.name, 0) >= MOST_STREAMS:
        return Response(status_code=429)
    return _Stream(request, by.caller, request.query_params.get("item"))


class _Stream(Response):
    """An answer without an end: it ends when its reader goes, or is no one any more."""

    def __init__(self, request: Request, caller: Caller, item: str | None) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self._request, self._caller, self._item = request, caller, item

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until then."""
        start: Message = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        with _counted(self._request.app.state.streams, self._caller.name):
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
        office: Office = self._request.app.state.office
        told = None
        await send(_part(f"retry: {RETRY_MS}\n\n"))
        while await visit(self._request) is not None:  # who left is told nothing more
            now = await office.ask(look, office, self._caller, self._item)
            # A comment keeps the line open where nothing is new.
            text = f"data: {json.dumps(now)}\n\n" if now != told else ":\n\n"
            told = now
            await send(_part(text))
            await office.news()


def _part(text: str) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}


@contextmanager
def _counted(streams: Streams, person: str) -> Iterator[None]:
    streams.open[person] = streams.open.get(person, 0) + 1
    try:
        yield
    finally:
        streams.open[person] -= 1


def look(office: Office, caller: Caller, item: str | None) -> dict[str, Any]:
    """Return all that an open page is told."""
    now = office.now()
    told: dict[str, Any] = {"waiting": office.clerk.count(caller, now)}
    if item is not None:
        refused = office.clerk.state(caller, item, now)
        told["closed"] = None if refused is None else {"why": refused.why, "text": refused.text}
    return told
