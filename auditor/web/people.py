"""Signing in and out, and looking after people."""

import re
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from monastery.auditor.desk import door
from monastery.auditor.desk.book import Book
from monastery.auditor.web import session
from monastery.auditor.web.guard import comes_from_here
from monastery.auditor.web.office import Office
from monastery.auditor.web.pages import may_look_after_people, page
from monastery.runtime.people import ROLES, Pass, Person

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


async def enter(request: Request) -> Response:
    """Sign in with a link that works once, when its button is pressed and not before."""
    if request.method == "GET":
        by = await session.visit(request)
        key = request.query_params.get("key", "")[:100]
        return page(request, "enter.html", by, key=key, refused="")
    fields = await session.any_form(request)
    if not comes_from_here(request):
        raise HTTPException(403, "This form was not sent by this page. Load it again, and retry.")
    office: Office = request.app.state.office
    key = fields.get("key", "").strip()[:100]
    secret = await office.ask(door.sign_in, office.clerk.book, key, office.now())
    if secret is None:
        refused = "This link opens nothing: it was used, or has expired. Ask for another."
        return page(request, "enter.html", None, status=403, key="", refused=refused)
    response = RedirectResponse("/", 303)
    session.keep(request, response, secret)
    return response


async def leave(request: Request) -> Response:
    """Sign out: the session is no more."""
    by = await session.visit(request)
    response = RedirectResponse("/enter", 303)
    if by is not None:
        await session.form(request, by)
        office: Office = request.app.state.office
        digest = door.digest_of(session.secret_of(request))
        await office.ask(_forget, office.clerk.book, digest)
        response.delete_cookie(request.app.state.cookie, path="/")
    return response


async def people(request: Request) -> Response:
    """Show who there is; take someone in, give roles, make a sign-in link, let someone go."""
    by = await session.visit(request)
    if by is None:
        return RedirectResponse("/enter", 303)
    if not may_look_after_people(by.caller):
        raise HTTPException(403, "Only an admin looks after people.")
    office: Office = request.app.state.office
    made = Made("")
    if request.method == "POST":
        fields = await session.form(request, by)
        made = await office.ask(_change, office, dict(fields), by.caller.name)
    everyone = await office.ask(office.clerk.book.people)
    scheme = "https" if request.app.state.secure else "http"
    base = f"{scheme}://{request.headers['host']}"
    return page(
        request,
        "people.html",
        by,
        people=everyone,
        strangers=await office.ask(office.clerk.strangers),
        roles=ROLES,
        link=f"{base}/enter?key={made.link}" if made.link else "",
        token=made.token,
        told=made.told,
        hours=door.LINK_HOURS,
        days=door.TOKEN_DAYS,
        passes=await office.ask(_tokens, office.clerk.book),
    )


def _forget(book: Book, digest: str) -> None:
    with book.turn():
        book.drop_pass(digest)


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a form: what to tell, and the secret of what was made."""

    told: str
    link: str = ""
    token: str = ""


def _tokens(book: Book) -> dict[str, list[Pass]]:
    """Return everyone's tokens."""
    return {
        person.name: [one for one in book.passes(person.name) if one.kind == "token"]
        for person in book.people()
    }


def _change(office: Office, fields: dict[str, str], admin: str) -> Made:
    """Do what the form says."""
    book, now = office.clerk.book, office.now()
    name = fields.get("name", "").strip()
    if _NAME.fullmatch(name) is None:
        return Made("A name has lower-case letters, digits and hyphens, 40 at most.")
    roles = frozenset(role for role in ROLES if f"role-{role}" in fields)
    with book.turn():
        known = book.person(name)
        match fields.get("do"):
            case "add":
                if known is not None and known.left is None:
                    return Made(f"There is a {name} already.")
                if not roles:
                    return Made("Choose at least one role.")
                since = now if known is None else known.since
                person = Person(name, roles, since)
                book.put_person(person)
            case "roles" if known is not None:
                if name == admin and "admin" not in roles:
                    return Made("You would lock yourself out; ask another admin to do that.")
                book.put_person(Person(name, roles, known.since, known.left))
                return Made(f"The roles of {name} are changed.")
            case "leave" if known is not None:
                if name == admin:
                    return Made("You would lock yourself out; ask another admin to do that.")
                book.put_person(Person(name, frozenset(), known.since, now))
                for one in book.passes(name):
                    book.drop_pass(one.digest)
                return Made(f"{name} has left; what they said stays in the record.")
            case "link" if known is not None and known.left is None:
                person = known
            case "token" if known is not None and known.left is None:
                label, scope = fields.get("label", "")[:80], roles - {"admin"}
                if not scope & known.roles:
                    return Made("Tick the roles that the token opens; they have none of these.")
                token = door.issue(book, known, "token", now=now, scope=scope, label=label)
                return Made(f"A token for a program of {name}.", token=token)
            case "revoke" if known is not None:
                for one in book.passes(name):
                    book.drop_pass(one.digest)
                return Made(f"{name} is signed out everywhere, and their tokens open nothing.")
            case _:
                return Made(f"There is no {name} here.")
    link = door.issue(book, person, "link", now=now)
    return Made(f"A link for {name}; it works once.", link=link)
