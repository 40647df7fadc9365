"""Who asks: the session in a cookie, or a program's token; and that a form is one of ours."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from monastery.auditor.desk import door
from monastery.auditor.desk.rules import Caller
from monastery.auditor.web.guard import TooLarge, comes_from_here
from monastery.auditor.web.office import Office

COOKIE = "monastery"
"""What the cookie's name begins with. Browsers send cookies to every port of a host, so that each
desk of a machine has a name of its own."""
_MOST_FIELDS = 40


@dataclass(frozen=True, slots=True)
class Visit:
    """A request by someone who is signed in.

    Attributes:
        form: What their forms carry.
    """

    caller: Caller
    form: str


def cookie(desk: str) -> str:
    """Return the name of a desk's cookie.

    Args:
        desk: What tells it from others on the same host, and stays when it is served anew.
    """
    return f"{COOKIE}-{hashlib.sha256(desk.encode()).hexdigest()[:12]}"


def secret_of(request: Request) -> str:
    """Return the secret in the cookie; empty where there is none."""
    return request.cookies.get(request.app.state.cookie, "")


async def visit(request: Request) -> Visit | None:
    """Return who asks by the cookie, if anyone."""
    secret = secret_of(request)
    if not secret:
        return None
    office: Office = request.app.state.office
    entered = await office.ask(door.enter, office.clerk.book, secret, "session", office.now())
    return None if entered is None else Visit(entered.caller, door.form_token(secret))


async def form(request: Request, by: Visit) -> Mapping[str, str]:
    """Return the fields of a form that one of our pages sent.

    Raises:
        HTTPException: It was not one of them, or is none.
    """
    fields = await any_form(request)
    ours = hmac.compare_digest(fields.get("form", "").encode(), by.form.encode())
    if not ours or not comes_from_here(request):
        raise HTTPException(403, "This form was not sent by this page. Load it again, and retry.")
    return fields


async def any_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form, whoever sent it; of a name given twice, the last.

    Raises:
        HTTPException: It is none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "A form is sent as application/x-www-form-urlencoded.")
    try:
        text = (await request.body()).decode()
        fields = parse_qs(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except TooLarge as exc:
        raise HTTPException(413, "That is too long.") from exc
    except ValueError as exc:
        raise HTTPException(400, "The form cannot be read.") from exc
    return {name: values[-1] for name, values in fields.items()}


def keep(request: Request, response: Response, secret: str) -> None:
    """Give a browser its session; scripts, and other sites' requests, do not have it."""
    response.set_cookie(
        request.app.state.cookie,
        secret,
        max_age=int(door.SESSION_HOURS * 3600),
        httponly=True,
        samesite="strict",
        secure=request.app.state.secure,
        path="/",
    )
