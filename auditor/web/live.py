"""Server-sent events: what an open page must know without asking."""

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from monastery.auditor.desk.rules import Caller
from monastery.auditor.web.office import Office
from monastery.auditor.web.session import visit

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
    item = request.query_params.get("item")
    return StreamingResponse(
        _stream(request, by.caller, item, streams),
        media_type="text/event-stream",
        headers={"cache-control": "no-store"},
    )


async def _stream(
    request: Request, caller: Caller, item: str | None, streams: Streams
) -> AsyncIterator[str]:
    office: Office = request.app.state.office
    told = None
    streams.open[caller.name] = streams.open.get(caller.name, 0) + 1
    try:
        while await visit(request) is not None:  # who left is told nothing more
            now = await office.ask(_look, office, caller, item)
            # A comment keeps the line open, and finds out when nobody hears.
            yield f"data: {json.dumps(now)}\n\n" if now != told else ":\n\n"
            told = now
            await office.news()
    finally:
        streams.open[caller.name] -= 1


def _look(office: Office, caller: Caller, item: str | None) -> dict[str, Any]:
    now = office.now()
    told: dict[str, Any] = {"waiting": office.clerk.count(caller, now)}
    if item is not None:
        refused = office.clerk.state(caller, item, now)
        told["closed"] = None if refused is None else {"why": refused.why, "text": refused.text}
    return told
