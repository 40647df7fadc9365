"""Whom a secret lets in, as whom, and for how long. Secrets are kept by their hashes alone."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from monastery.auditor.desk.book import Book
from monastery.auditor.desk.rules import Caller
from monastery.runtime.people import Pass, Person, Role

LINK_HOURS = 24.0
SESSION_HOURS = 12.0
TOKEN_DAYS = 30.0
_TAG = b"monastery.pass.v1\n"


@dataclass(frozen=True, slots=True)
class Entered:
    """Who came in, and with what."""

    caller: Caller
    by: Pass


def digest_of(secret: str) -> str:
    """Return the name under which a secret is kept; 256 random bits need no slow hash."""
    return hashlib.sha256(_TAG + secret.encode(errors="replace")).hexdigest()


def form_token(secret: str) -> str:
    """Return what a form of this session carries, so that no other page can send it."""
    return hmac.digest(secret.encode(), b"monastery.form.v1", "sha256").hex()


def issue(
    book: Book,
    person: Person,
    kind: Literal["link", "session", "token"],
    *,
    now: datetime,
    scope: frozenset[Role] | None = None,
    lasts: timedelta | None = None,
    label: str = "",
) -> str:
    """Write a pass, and return its secret, which is known nowhere else."""
    usual = {
        "link": timedelta(hours=LINK_HOURS),
        "session": timedelta(hours=SESSION_HOURS),
        "token": timedelta(days=TOKEN_DAYS),
    }
    secret = secrets.token_urlsafe(32)
    wanted = person.roles if scope is None else scope & person.roles
    with book.turn():
        book.drop_passes(now)
        book.put_pass(
            Pass(
                digest=digest_of(secret),
                person=person.name,
                kind=kind,
                scope=wanted,
                made=now,
                expires=now + (lasts or usual[kind]),
                label=label,
            )
        )
    return secret


def enter(
    book: Book, secret: str, kind: Literal["session", "token"], now: datetime
) -> Entered | None:
    """Return who comes in with a secret; None when it opens nothing."""
    found = book.find_pass(digest_of(secret))
    if found is None or found.kind != kind:
        return None
    return _entered(book, found, now)


def sign_in(book: Book, secret: str, now: datetime) -> str | None:
    """Turn a link's secret into a session's, once; None when it opens nothing any more."""
    with book.turn():
        found = book.find_pass(digest_of(secret))
        if found is None or found.kind != "link":
            return None
        book.drop_pass(found.digest)
        person = book.person(found.person)
        if person is None or _entered(book, found, now) is None:
            return None
        return issue(book, person, "session", now=now, scope=found.scope)


def _entered(book: Book, found: Pass, now: datetime) -> Entered | None:
    person = book.person(found.person)
    if person is None or person.left is not None or now >= found.expires:
        return None
    return Entered(Caller(person.name, found.scope & person.roles), found)
