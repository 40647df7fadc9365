"""The auditor's pages: the queue, one question, and what became of it."""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from monastery.auditor.desk.clerk import Voted
from monastery.auditor.desk.rules import COUNTED, Caller, Refused, Why
from monastery.auditor.desk.views import Offer, Sheet
from monastery.auditor.web import text, votes
from monastery.auditor.web.decoded import decode
from monastery.auditor.web.office import Office
from monastery.auditor.web.session import Visit, form, visit

STATUS: Mapping[Why, int] = {
    "unknown": 404,
    "forbidden": 403,
    "answered": 409,
    "expired": 410,
    "withdrawn": 410,
    "changed": 409,
    "taken": 409,
    "voted": 409,
    "late": 409,
    "hasty": 425,
    "invalid": 422,
    "nothing": 200,
}
"""The status of an answer that refuses, by why."""
_STAYS = ("invalid", "hasty")
"""What can be mended on the same page."""
MOST_DONE = 12


async def queue(request: Request) -> Response:
    """Show what waits, and what this person did last."""
    by = await _signed_in(request)
    if by is None:
        return _to_the_door()
    office: Office = request.app.state.office
    now = office.now()
    waiting = await office.ask(office.clerk.count, by.caller, now)
    done = await office.ask(office.clerk.book.cast, by.caller.name, most=MOST_DONE)
    return page(request, "queue.html", by, waiting=waiting, done=done, now=now)


async def take_next(request: Request) -> Response:
    """Claim the next question and go to it."""
    by = await _must_be_signed_in(request)
    await form(request, by)
    office: Office = request.app.state.office
    found = await office.ask(office.clerk.next, by.caller, office.now(), by_hand=True)
    return _go("/" if isinstance(found, Refused) else _path(found))


async def item(request: Request) -> Response:
    """Put a question before someone, or say why it cannot be answered."""
    by = await _signed_in(request)
    if by is None:
        return _to_the_door()
    return await _question(request, by, request.path_params["item"])


async def vote(request: Request) -> Response:
    """Take a ballot."""
    by = await _must_be_signed_in(request)
    fields = await form(request, by)
    office: Office = request.app.state.office
    name = request.path_params["item"]
    told = votes.given(fields, await _purpose(request, name))
    await _close_dig(request, by, name, "You voted.")
    result = await office.ask(office.clerk.vote, by.caller, name, told, office.now())
    if isinstance(result, Voted):
        return _go(_path(name))
    return await _question(request, by, name, refused=result, fields=fields)


async def undo(request: Request) -> Response:
    """Hold an answer back while its author thinks of another."""
    by = await _must_be_signed_in(request)
    await form(request, by)
    office: Office = request.app.state.office
    name = request.path_params["item"]
    refused = await office.ask(office.clerk.hold, by.caller, name, office.now())
    if refused is not None:
        return await _question(request, by, name, refused=refused)
    return _go(f"{_path(name)}?undo")


async def correct(request: Request) -> Response:
    """Take an answer back by another."""
    by = await _must_be_signed_in(request)
    fields = await form(request, by)
    office: Office = request.app.state.office
    name = request.path_params["item"]
    told = votes.given(fields, await _purpose(request, name))
    result = await office.ask(office.clerk.correct, by.caller, name, told, office.now())
    if isinstance(result, Voted):
        return _go(_path(name))
    return await _question(request, by, name, refused=result, fields=fields)


async def skip(request: Request) -> Response:
    """Leave a question to others, and go on to the next."""
    by = await _must_be_signed_in(request)
    fields = await form(request, by)
    office: Office = request.app.state.office
    name = request.path_params["item"]
    reason = fields.get("reason", "")
    await _close_dig(request, by, name, "You left the question to others.")
    refused = await office.ask(office.clerk.skip, by.caller, name, reason, office.now())
    if refused is not None:
        return await _question(request, by, name, refused=refused, fields=fields)
    found = await office.ask(office.clerk.next, by.caller, office.now(), by_hand=True)
    return _go("/" if isinstance(found, Refused) else _path(found))


async def payload(request: Request) -> Response:
    """Hand out the exact bytes, to be looked at with tools of one's own."""
    sheet = await _sheet(request)
    if sheet.step.payload is None:
        raise HTTPException(404, "This question has no payload.")
    return _download(sheet.step.payload, "payload.bin")


async def evidence(request: Request) -> Response:
    """Hand out a file that the agent attached."""
    sheet = await _sheet(request)
    number = request.path_params["number"]
    if not 1 <= number <= len(sheet.step.evidence):
        raise HTTPException(404, "There is no such evidence.")
    return _download(sheet.step.evidence[number - 1].content, f"evidence-{number}.bin")


async def offered_payload(request: Request) -> Response:
    """Hand out the exact bytes of one of several proposals."""
    return _download(_offer(request, await _sheet(request)).payload, "payload.bin")


async def offered_evidence(request: Request) -> Response:
    """Hand out a file that is attached to one of several proposals."""
    one, number = _offer(request, await _sheet(request)), request.path_params["number"]
    if not 1 <= number <= len(one.evidence):
        raise HTTPException(404, "There is no such evidence.")
    return _download(one.evidence[number - 1].content, f"evidence-{number}.bin")


async def broken(request: Request, exc: Exception) -> Response:
    """Say in one line what went wrong."""
    status, told = 500, "Something broke."
    if isinstance(exc, HTTPException):
        status, told = exc.status_code, exc.detail
    by = await visit(request)
    return page(request, "broken.html", by, code=status, status=status, text=told)


def page(
    request: Request, template: str, by: Visit | None, *, status: int = 200, **shown: Any
) -> HTMLResponse:
    """Return a page."""
    content = request.app.state.templates.get_template(template).render(
        by=by, form="" if by is None else by.form, slip=secrets.token_urlsafe(12), **shown
    )
    return HTMLResponse(content, status)


async def _question(
    request: Request,
    by: Visit,
    name: str,
    *,
    refused: Refused | None = None,
    fields: Any = None,
) -> Response:
    """Show a question as it stands now; with what was refused, and what was typed, if anything."""
    office: Office = request.app.state.office
    now = office.now()
    sheet = await office.ask(office.clerk.show, by.caller, name, now)
    command = await office.ask(_waking, request, name)
    if isinstance(sheet, Sheet):
        waiting = await office.ask(office.clerk.count, by.caller, now)
        # In a thread: what is long takes long, and others wait for their pages meanwhile.
        return await trio.to_thread.run_sync(
            partial(
                _item_page,
                request,
                by,
                sheet,
                refused,
                fields or {},
                now=now,
                waiting=waiting,
                waking=command,
            )
        )
    told = refused if refused is not None and refused.why not in _STAYS else sheet
    said, until, purpose = await office.ask(office.clerk.said, by.caller, name, now)
    fault = refused if refused is not None and refused.why in _STAYS else None
    mine = told.why in ("voted", "late")
    return page(
        request,
        "over.html",
        by,
        status=STATUS[(fault or told).why] if refused is not None or not mine else 200,
        name=name,
        told=told,
        counted=COUNTED.text,
        fault=fault,
        said=said,
        undo_until=until,
        undoing="undo" in request.query_params or fault is not None,
        purpose=purpose,
        typed=fields or {},
        now=now,
        waiting=await office.ask(office.clerk.count, by.caller, now),
        waking=command if mine else None,
    )


def _waking(request: Request, name: str) -> str | None:
    """Return the command that goes on with the run of a question, when nothing runs it."""
    office: Office = request.app.state.office
    standing = office.clerk.book.standing(name)
    waking: Callable[[str], str | None] = request.app.state.waking
    return None if standing is None else waking(standing.question.run)


def _item_page(
    request: Request,
    by: Visit,
    sheet: Sheet,
    refused: Refused | None,
    typed: Mapping[str, str],
    **shown: Any,
) -> Response:
    offers = sheet.step.alternatives
    return page(
        request,
        "compare.html" if offers else "item.html",
        by,
        status=200 if refused is None else STATUS[refused.why],
        sheet=sheet,
        step=sheet.step,
        parts=decode(sheet.step),
        offered=[decode(one) for one in offers],
        editable=text.editable(sheet.step.payload),
        refused=refused,
        typed=typed,
        full="full" in request.query_params,
        digs=request.app.state.digs is not None and sheet.dig,
        live_dig=_live_dig(request, by, sheet.step.item),
        **shown,
    )


def _offer(request: Request, sheet: Sheet) -> Offer:
    place: int = request.path_params["place"]
    if not 1 <= place <= len(sheet.step.alternatives):
        raise HTTPException(404, "There is no such proposal.")
    offer: Offer = sheet.step.alternatives[place - 1]
    return offer


async def _close_dig(request: Request, by: Visit, item: str, why: str) -> None:
    """End the copy of the box that someone has open, so that what they say names its recording."""
    if request.app.state.digs is not None:
        await request.app.state.digs.end(item, by.caller.name, why)


def _live_dig(request: Request, by: Visit, item: str) -> str:
    """Return the name of the dig that someone has open on a question: a page may be loaded anew."""
    digs = request.app.state.digs
    live = None if digs is None else digs.of(item, by.caller.name)
    return "" if live is None else str(live.dig.dig)


async def _sheet(request: Request) -> Sheet:
    by = await _must_be_signed_in(request)
    office: Office = request.app.state.office
    name = request.path_params["item"]
    sheet = await office.ask(office.clerk.look, by.caller, name, office.now())
    if isinstance(sheet, Refused):
        raise HTTPException(STATUS[sheet.why], sheet.text)
    return sheet


async def _purpose(request: Request, name: str) -> str:
    office: Office = request.app.state.office
    standing = await office.ask(office.clerk.book.standing, name)
    return "audit" if standing is None else standing.question.purpose


async def _signed_in(request: Request) -> Visit | None:
    return await visit(request)


async def _must_be_signed_in(request: Request) -> Visit:
    by = await visit(request)
    if by is None:
        raise HTTPException(403, "You are not signed in any more; sign in, and do it again.")
    return by


def may_look_after_people(caller: Caller) -> bool:
    """Whether someone is an admin."""
    return "admin" in caller.roles


def _to_the_door() -> Response:
    return _go("/enter")


def _path(name: str) -> str:
    return f"/item/{quote(name, safe='')}"


def _go(path: str) -> Response:
    return RedirectResponse(path, 303)


def _download(content: bytes, name: str) -> Response:
    return Response(
        content,
        media_type="application/octet-stream",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )
