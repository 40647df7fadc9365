"""The same desk as JSON, for a program that audits from outside. It holds a token, not a cookie.

A sheet is made of a `StepView` and, when they may be known, `Reasons`: what a person sees, and no
field more. Whatever is refused has `refused`, one word, and `text`, one line.
"""

import base64
import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from monastery.auditor.desk import door
from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.clerk import Voted
from monastery.auditor.desk.rules import Caller, Refused
from monastery.auditor.desk.views import Sheet
from monastery.auditor.votes import parse_json
from monastery.auditor.web.guard import TooLarge
from monastery.auditor.web.office import Office
from monastery.auditor.web.pages import STATUS

_Answer = Callable[[Request, Caller, Mapping[str, Any]], Awaitable[Response]]


def by_token(answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that hears those who have a token; it is given their JSON object."""

    async def endpoint(request: Request) -> Response:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        office: Office = request.app.state.office
        entered = None
        if scheme.lower() == "bearer" and secret:
            entered = await office.ask(
                door.enter, office.clerk.book, secret.strip(), "token", office.now()
            )
        if entered is None:
            told = Refused("forbidden", "A token is wanted: Authorization: Bearer TOKEN.")
            return _refused(told, 401)
        body: Any = {}
        if request.method == "POST":
            try:
                body = parse_json(await request.body() or b"{}")
            except TooLarge:
                return _refused(Refused("invalid", "That is too long."), 413)
            except ValueError as exc:
                return _refused(Refused("invalid", f"It is not JSON: {exc}."))
        if not isinstance(body, dict):
            return _refused(Refused("invalid", "It is no JSON object."))
        return await answer(request, entered.caller, body)

    return endpoint


@by_token
async def waiting(request: Request, caller: Caller, body: Mapping[str, Any]) -> Response:
    """Tell how many questions wait for the caller; a hundred stands for more."""
    office: Office = request.app.state.office
    return JSONResponse({"waiting": await office.ask(office.clerk.count, caller, office.now())})


@by_token
async def take_next(request: Request, caller: Caller, body: Mapping[str, Any]) -> Response:
    """Claim the next question, and return it."""
    office: Office = request.app.state.office
    sheet = await office.ask(office.clerk.take, caller, office.now())
    if isinstance(sheet, Refused) and sheet.why == "nothing":
        return JSONResponse({"item": None})
    return _told(sheet)


@by_token
async def show(request: Request, caller: Caller, body: Mapping[str, Any]) -> Response:
    """Claim one question, and return it."""
    office: Office = request.app.state.office
    item = request.path_params["item"]
    return _told(await office.ask(office.clerk.show, caller, item, office.now()))


@by_token
async def vote(request: Request, caller: Caller, body: Mapping[str, Any]) -> Response:
    """Take a ballot."""
    said = dict(body)
    stage, slip = said.pop("stage", "first"), said.pop("slip", None)
    if stage not in ("first", "second") or not isinstance(slip, str) or not 0 < len(slip) <= 64:
        wanted = "`stage` is first or second, and `slip` a name for this ballot, 64 characters"
        return _refused(Refused("invalid", f"Nothing was sent: {wanted}."))
    office: Office = request.app.state.office
    given = Given(stage, slip, said, by_hand=False)
    item = request.path_params["item"]
    result = await office.ask(office.clerk.vote, caller, item, given, office.now())
    if isinstance(result, Refused):
        return _refused(result)
    return JSONResponse({"final": result.final, "again": result.again} | _until(result))


@by_token
async def skip(request: Request, caller: Caller, body: Mapping[str, Any]) -> Response:
    """Leave a question to others."""
    office: Office = request.app.state.office
    reason, item = str(body.get("reason", "")), request.path_params["item"]
    refused = await office.ask(office.clerk.skip, caller, item, reason, office.now())
    return JSONResponse({"skipped": item}) if refused is None else _refused(refused)


def _until(result: Voted) -> dict[str, Any]:
    until = result.undo_until
    return {"undo_until": None if until is None else until.isoformat()}


def _told(sheet: Sheet | Refused) -> Response:
    return _refused(sheet) if isinstance(sheet, Refused) else _json(plain(sheet))


def plain(sheet: Sheet) -> dict[str, Any]:
    """Return a sheet as JSON values; bytes in base 64, under names that say so."""
    told = _plain(sheet)
    assert isinstance(told, dict)
    mine = told.pop("mine")
    told["mine"] = None if mine is None else mine["body"]
    return told


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = {}
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if isinstance(inner, bytes):
                made[f"{field.name}_base64"] = base64.b64encode(inner).decode()
            else:
                made[field.name] = _plain(inner)
        return made
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _refused(told: Refused, status: int | None = None) -> Response:
    code = STATUS[told.why] if status is None else status
    return JSONResponse({"refused": told.why, "text": told.text}, code)


def _json(value: Any) -> Response:
    # In ASCII: what an agent wrote acts on no terminal that this is printed on.
    return Response(json.dumps(value, default=str), media_type="application/json")
