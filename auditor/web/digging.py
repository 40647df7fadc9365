"""Pages' way to a shell in a copy of the box: open it, look at it, type, close it.

What the shell shows is sent as rows of text with the names of styles, each made visible like all
that an agent wrote. There is no markup in it, and what a terminal would obey is obeyed or dropped
before.
"""

import json
from collections.abc import Mapping
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from monastery.auditor.desk import door
from monastery.auditor.desk.rules import Refused
from monastery.auditor.dig.digs import Digs, Live
from monastery.auditor.dig.screen import Row, Style
from monastery.auditor.web.office import Office
from monastery.auditor.web.pages import STATUS
from monastery.auditor.web.session import Visit, form, secret_of, visit
from monastery.auditor.web.text import pieces
from monastery.runtime.errors import BoxError

PAUSE_SECONDS = 0.04
"""How long after a screen was sent the next one is, at the earliest."""
QUIET_SECONDS = 15.0
MOST_TYPED = 100_000
MOST_AT_ONCE = 500
"""So many rows that were scrolled away are sent at a time; of more, the last."""


async def begin(request: Request) -> Response:
    """Open a copy of the box, with a shell in it."""
    by = await visit(request)
    if by is None:
        return _refused(Refused("forbidden", "You are not signed in any more."))
    fields = await form(request, by)
    digs: Digs | None = request.app.state.digs
    if digs is None:
        return _refused(Refused("forbidden", "This desk opens no copies of boxes."))
    office: Office = request.app.state.office
    name = request.path_params["item"]
    may = await office.ask(office.clerk.may_dig, by.caller, name, office.now())
    if isinstance(may, Refused):
        return _refused(may)
    full = digs.why_full(by.caller.name)
    if full:
        return _refused(Refused("taken", full))
    watch = _watch(office, secret_of(request), name)
    try:
        live = await digs.open(may.question, by.caller.name, may.stage, _size(fields), watch)
    except BoxError as exc:
        return _refused(Refused("invalid", f"No copy was opened: {exc}."))
    return JSONResponse({"dig": live.dig.dig, "of": live.dig.of})


async def act(request: Request) -> Response:
    """Type, make the terminal larger or smaller, or close the copy."""
    by = await visit(request)
    if by is None:
        return _refused(Refused("forbidden", "You are not signed in any more."))
    fields = await form(request, by)
    live = _live(request, by)
    if live is None:
        return _refused(Refused("unknown", "This copy is closed."))
    match fields.get("do"):
        case "type":
            typed = fields.get("keys", "").encode(errors="replace")
            if len(typed) > MOST_TYPED:
                return _refused(Refused("invalid", f"Paste at most {MOST_TYPED} bytes at a time."))
            await live.session.type(typed)
        case "size":
            await live.session.resize(*_size(fields))
        case "close":
            digs: Digs = request.app.state.digs
            await digs.end(live.dig.item, by.caller.name, "You closed it.")
    return Response(status_code=204)


async def screen(request: Request) -> Response:
    """Stream what the shell shows."""
    by = await visit(request)
    live = None if by is None else _live(request, by)
    if live is None:  # not an error, after which a page would try again
        return Response(status_code=204)
    return _Screens(live)


class _Screens(Response):
    """What a terminal shows, as it changes, until it is over."""

    def __init__(self, live: Live) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until then, or until nobody looks."""
        live = self._live
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        live.lookers += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_gone, receive, nursery.cancel_scope)
                await self._show(send)
                nursery.cancel_scope.cancel()
        finally:
            live.lookers -= 1
            live.seen_at = trio.current_time()
        await send({"type": "http.response.body", "body": b""})

    async def _until_gone(self, receive: Receive, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _show(self, send: Send) -> None:
        session = self._live.session
        sent: list[Any] = []
        scrolled = max(0, session.screen.scrolled_count - MOST_AT_ONCE)
        while True:
            changed = session.changed
            rows = [_told(row) for row in session.screen.lines()]
            gone = session.screen.scrolled(
                max(scrolled, session.screen.scrolled_count - MOST_AT_ONCE)
            )
            scrolled = session.screen.scrolled_count
            told = {
                "count": len(rows),
                "rows": {
                    number: row
                    for number, row in enumerate(rows)
                    if number >= len(sent) or sent[number] != row
                },
                "gone": [_told(row) for row in gone],
                "keys": session.screen.application_keys,
                "paste": session.screen.brackets_paste,
                "left": round(session.left_seconds()),
                "over": session.over,
            }
            sent = rows
            await send(_part(f"data: {json.dumps(told)}\n\n"))
            if session.over:
                return
            await trio.sleep(PAUSE_SECONDS)
            while not changed.is_set():
                with trio.move_on_after(QUIET_SECONDS) as quiet:
                    await changed.wait()
                if quiet.cancelled_caught:
                    await send(_part(":\n\n"))


def _part(text: str) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}


def _told(row: Row) -> list[tuple[str, str]]:
    """Return a row as a page shows it: texts, each with the names of its styles."""
    return [
        (text, f"{_names(style)} code".strip() if is_ours else _names(style))
        for run, style in row
        for text, is_ours in pieces(run)
    ]


def _names(style: Style) -> str:
    names = [f"c{style.colour}"] if 0 <= style.colour < 16 else []
    names += [name for name in ("bold", "underline", "inverse", "cursor") if getattr(style, name)]
    return " ".join(names)


def _size(fields: Mapping[str, str]) -> tuple[int, int]:
    """Return the size that a page asks for; the screen has bounds of its own."""
    given = (fields.get("rows", ""), fields.get("columns", ""))
    rows, columns = (int(one) if one.isdecimal() and len(one) < 6 else 0 for one in given)
    return rows or 24, columns or 80


def _live(request: Request, by: Visit) -> Live | None:
    digs: Digs | None = request.app.state.digs
    return None if digs is None else digs.find(request.path_params["dig"], by.caller.name)


def _watch(office: Office, secret: str, item: str) -> Any:
    async def why_not() -> str:
        await office.news()
        return str(await office.ask(look))

    def look() -> str:
        entered = door.enter(office.clerk.book, secret, "session", office.now())
        if entered is None:
            return "You were signed out."
        may = office.clerk.may_dig(entered.caller, item, office.now())
        return may.text if isinstance(may, Refused) else ""

    return why_not


def _refused(refused: Refused) -> Response:
    told = {"refused": refused.why, "text": refused.text}
    return JSONResponse(told, STATUS[refused.why])
