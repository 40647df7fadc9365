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
from monastery.auditor.desk.views import Reasons, Sheet, StepView
from monastery.auditor.votes import parse_json
from monastery.auditor.web.guard import TooLarge
from monastery.auditor.web.office import Office
from monastery.auditor.web.pages import STATUS

_Answer = Callable[[Office, Caller, str, Mapping[str, Any]], Response]


def by_token(answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that hears those who have a token.

    Args:
        answer: Given the office, the caller, the question's id and the JSON object that was sent.
            Called in one turn of the office.
    """

    async def endpoint(request: Request) -> Response:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        body: Any = {}
        if request.method == "POST":
            try:
                body = parse_json(await request.body() or b"{}")
            except TooLarge:
                return refused(Refused("invalid", "That is too long."), 413)
            except ValueError as exc:
                body = f"It is not JSON: {exc}."
        office: Office = request.app.state.office
        known = secret.strip() if scheme.lower() == "bearer" else ""
        return await office.ask(_hear, office, known, request.path_params.get("item", ""), body)

    def _hear(office: Office, secret: str, item: str, body: Any) -> Response:
        entered = door.enter(office.clerk.book, secret, "token", office.now())
        if entered is None:
            told = Refused("forbidden", "A token is wanted: Authorization: Bearer TOKEN.")
            return refused(told, 401)
        if not isinstance(body, dict):
            wrong = body if isinstance(body, str) else "It is no JSON object."
            return refused(Refused("invalid", wrong))
        return answer(office, entered.caller, item, body)

    return endpoint


@by_token
def waiting(office: Office, caller: Caller, item: str, body: Mapping[str, Any]) -> Response:
    """Tell how many questions wait for the caller; a hundred stands for more."""
    return JSONResponse({"waiting": office.clerk.count(caller, office.now())})


@by_token
def take_next(office: Office, caller: Caller, item: str, body: Mapping[str, Any]) -> Response:
    """Claim the next question, and return it."""
    sheet = office.clerk.take(caller, office.now())
    if isinstance(sheet, Refused) and sheet.why == "nothing":
        return JSONResponse({"item": None})
    return _told(sheet)


@by_token
def show(office: Office, caller: Caller, item: str, body: Mapping[str, Any]) -> Response:
    """Claim one question, and return it."""
    return _told(office.clerk.show(caller, item, office.now()))


@by_token
def vote(office: Office, caller: Caller, item: str, body: Mapping[str, Any]) -> Response:
    """Take a ballot."""
    said = dict(body)
    stage, slip = said.pop("stage", "first"), said.pop("slip", None)
    if stage not in ("first", "second") or not isinstance(slip, str) or not 0 < len(slip) <= 64:
        wanted = "`stage` is first or second, and `slip` a name for this ballot, 64 characters"
        return refused(Refused("invalid", f"Nothing was sent: {wanted}."))
    given = Given(stage, slip, said, by_hand=False)
    result = office.clerk.vote(caller, item, given, office.now())
    if isinstance(result, Refused):
        return refused(result)
    return JSONResponse({"final": result.final, "again": result.again} | _until(result))


@by_token
def skip(office: Office, caller: Caller, item: str, body: Mapping[str, Any]) -> Response:
    """Leave a question to others."""
    why = office.clerk.skip(caller, item, str(body.get("reason", "")), office.now())
    return JSONResponse({"skipped": item}) if why is None else refused(why)


def _until(result: Voted) -> dict[str, Any]:
    until = result.undo_until
    return {"undo_until": None if until is None else until.isoformat()}


def _told(sheet: Sheet | Refused) -> Response:
    return refused(sheet) if isinstance(sheet, Refused) else _json(plain(sheet))


def plain(shown: Sheet | StepView | Reasons) -> dict[str, Any]:
    """Return what is seen as JSON values; bytes in base 64, under names that say so."""
    told = _plain(shown)
    told.pop("dig", None)  # a shell is for people
    assert isinstance(told, dict)
    if isinstance(shown, Sheet):
        told["mine"] = None if shown.mine is None else told["mine"]["body"]
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


def refused(told: Refused, status: int | None = None) -> Response:
    """Return a refusal as JSON."""
    code = STATUS[told.why] if status is None else status
    return JSONResponse({"refused": told.why, "text": told.text}, code)


def _json(value: Any) -> Response:
    # In ASCII: what an agent wrote acts on no terminal that this is printed on.
    return Response(json.dumps(value, default=str), media_type="application/json")
