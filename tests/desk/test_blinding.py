"""Every route there is, as everybody, with every name: nothing that blinding hides comes out.

The routes are read from the application's own table, and the parameters of its queries and forms
from its source and pages. So one that is added is tried without a word here.
"""

import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

import monastery.auditor.web.app as web
from monastery.auditor.desk import door
from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.clerk import Voted
from monastery.auditor.desk.rules import Caller
from monastery.auditor.web.office import Office
from monastery.auditor.web.session import cookie
from monastery.runtime.canonical import canonical
from monastery.runtime.content import Sealer
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.people import ROLES, Role
from monastery.runtime.records import Item
from monastery.runtime.rows import Append, Entry
from tests.cli.questions import RUN
from tests.desk.asgi import Application, Told, alive, ask
from tests.desk.world import World

HOST = "desk.test:8321"
SEEN = "CANARY-OF-WHAT-ALL-MAY-SEE"
"""Stands in the payload: who does not come across it has not looked."""
RATIONALE, PRINTED = "CANARY-RATIONALE", "CANARY-PRINTED"
HIDDEN = (
    RATIONALE,
    PRINTED,
    "CANARY-MODEL",
    "CANARY-RISK",
    "CANARY-VOTE",
    "CANARY-PLANTED",
    "CANARY-NOTE",
    "CANARY-CORRECTED",
    "CANARY-REASON",
    "0.4321",
    "0.8765",
)
BODY: dict[str, Any] = {
    "rationale": RATIONALE,
    "payload": f"echo {SEEN}\n".encode(),
    "model": "CANARY-MODEL",
    "policy": {"model": "CANARY-MODEL"},
    "risk": "CANARY-RISK",
    "monitor": {"risk": 0.8765, "why": "CANARY-RISK"},
    "votes": [{"by": "bob", "score": 0.4321, "note": "CANARY-VOTE"}],
    "planted": "CANARY-PLANTED",
    "known": {"good": "CANARY-PLANTED"},
    "thoughts": PRINTED,
}
CONVERTED = {"int": ("0", "1", "2"), "str": None, "path": None}


@dataclass
class Visitor:
    """Somebody who tries everything.

    Attributes:
        form: What their forms carry.
        session: Under which name their session is kept.
        fields: What forms they have seen hold: names, each with the values that were offered.
    """

    name: str
    headers: dict[str, str]
    form: str = ""
    session: str = ""
    fields: dict[str, set[str]] = field(default_factory=dict)


def visitors(world: World) -> Iterator[Visitor]:
    """Yield nobody, a stranger, and of each role, and of all, one with a session and a token."""
    yield Visitor("nobody", {})
    yield Visitor("a stranger", {"cookie": f"{cookie('here')}=x", "authorization": "Bearer x"})
    for roles in (*((role,) for role in ROLES), ROLES):
        name = roles[0] if len(roles) == 1 else "everything"
        yield visitor(world, name, *roles)


def visitor(world: World, name: str, *roles: Role) -> Visitor:
    """Take someone in, who has nothing of what others had before them; return them."""
    world.add(name, *roles)
    person = world.book.person(name)
    assert person is not None
    with world.book.turn():
        for claim in world.book.all_claims():
            if claim.person != "bob":
                world.book.drop_claim(claim.item)
    return signed_in(world, Visitor(name, {}))


def signed_in(world: World, visitor: Visitor) -> Visitor:
    """Return a visitor with passes of their own, if they are someone and have none any more."""
    person = world.book.person(visitor.name)
    if person is None or (visitor.session and world.book.find_pass(visitor.session)):
        return visitor
    token, session = (
        door.issue(world.book, person, kind, now=world.now) for kind in ("token", "session")
    )
    headers = {"cookie": f"{cookie('here')}={session}", "authorization": f"Bearer {token}"}
    digest = door.digest_of(session)
    return replace(visitor, headers=headers, form=door.form_token(session), session=digest)


def prints(world: World, step: int) -> None:
    """Let the agent have printed something in a step's segment, as its run would record it."""
    store = world.questions.store
    row = store.run(RUN)
    text = PRINTED.encode()
    sealed = Sealer(row.content_key).seal(text)
    event = {
        "type": "segment.printed",
        "segment": f"{RUN}.{step}",
        "text": {"ref": sealed.ref, "size_bytes": len(text)},
        "seen_bytes": len(text),
    }
    told = {"at": world.now.isoformat(), "event": event, "prev": row.head.hex(), "run": RUN}
    body = canonical(told | {"seq": row.seq, "v": 2})
    entries = [Entry(row.seq, bytes(32), body)]
    refused = store.append(
        [Append(RUN, row.owner or "", row.epoch, row.seq, row.head, entries, blobs=[sealed])]
    )
    assert refused == [None]


@pytest.fixture
def items(world: World) -> dict[str, Item]:
    """Questions in every state, each with all that could leak; bob has said and skipped things."""
    bob = world.add("bob", *ROLES)
    plain: dict[str, Any] = {"desk": {"two_votes": False}}
    made = {
        "open": world.put(1, **BODY),
        "begun by another": world.put(2, **BODY),
        "answered": world.put(3, **BODY | plain),
        "taken": world.put(4, **BODY | plain),
        "expired": world.put(5, **BODY),
        "withdrawn": world.put(6, **BODY),
        "an opinion": world.put(7, **BODY | {"desk": {"opinion": "o", "two_votes": False}}),
        "another": world.put(8, **BODY | {"desk": {"opinion": "o"}}),
    }
    base = made["withdrawn"]
    world.questions.close(base, "withdrawn")
    anew = replace(base, id=type(base.id)(f"{base.id}~2"))
    made["asked anew"] = world.questions.put(anew)
    for step in range(1, 9):
        prints(world, step)
    for name in ("begun by another", "answered", "taken", "expired", "an opinion"):
        world.take(bob, made[name])
        assert world.vote(bob, made[name], score=0.4321, note="CANARY-NOTE")
        if name == "taken":
            given = world.clerk.hold(bob, made[name].id, world.now)
            assert given is None
    world.pass_seconds(1)
    world.questions.close(made["expired"], "expired")
    world.questions.close(made["taken"], "answered")
    world.take(bob, made["open"])
    assert world.clerk.skip(bob, made["open"].id, "CANARY-REASON", world.now) is None
    with world.book.turn():
        world.book.drop_claim(made["begun by another"].id)
    return made


@asynccontextmanager
async def desk(world: World) -> AsyncIterator[tuple[Application, list[Any]]]:
    """Open the desk with all that runs beside it; give its routes too."""
    ticks = itertools.count(step=1000.0)
    office = Office(world.clerk, lambda: world.now)
    app: Any = web.make(office, names=[HOST], desk="here", clock=lambda: next(ticks))
    async with alive(app):
        yield app, app._app.routes


def targets(route: Any, items: dict[str, Item]) -> Iterator[str]:
    """Yield a route's paths with every name there is, and each with what pages ask of it."""
    names = [*(item.id for item in items.values()), str(RUN)]
    if not hasattr(route, "methods"):  # a folder
        folder = Path(route.app.directory)
        yield from (f"{route.path}/{one.relative_to(folder)}" for one in folder.rglob("*.*"))
        return
    wanted = re.findall(r"{(\w+)(?::(\w+))?}", route.path)
    for values in itertools.product(*(CONVERTED[kind or "str"] or names for _, kind in wanted)):
        path = route.path
        for (name, kind), value in zip(wanted, values, strict=True):
            path = path.replace(f"{{{name}:{kind}}}" if kind else f"{{{name}}}", quote(value))
        yield path
        for item in values[:1] or names:
            yield f"{path}?{urlencode(dict.fromkeys(asked(), item) | {'stage': 'second'})}"


@cache
def asked() -> set[str]:
    """Return what pages ask in an address, as far as the source says it."""
    source = "\n".join(one.read_text() for one in Path(web.__file__).parent.glob("*.py"))
    found = set(re.findall(r"query_params(?:\.get\(|\[)\"(\w+)\"", source))
    found |= set(re.findall(r"\"(\w+)\" in request\.query_params", source))
    assert found >= {"item", "full", "undo", "key"}
    return found


def forms(visitor: Visitor, told: Told) -> None:
    """Note what the forms of a page hold."""
    text = told.body.decode(errors="replace")
    for tag in re.findall(r"<(?:input|textarea|select|button|option)\b[^>]*>", text):
        name, value = re.search(r' name="([^"]*)"', tag), re.search(r' value="([^"]*)"', tag)
        if name:
            offered = visitor.fields.setdefault(name[1], set())
            if value:
                offered.add(value[1])


def bodies(visitor: Visitor) -> Iterator[tuple[str, bytes]]:
    """Yield forms and JSON that are no first vote: empty, full, out of turn, out of range."""
    wrong = {"form": visitor.form, "slip": "s", "name": "nobody-here", "reason": "", "key": "x"}
    filled = {name: max(values, default="x") for name, values in visitor.fields.items()}
    for said in ({}, filled | {"stage": "second"}, filled | {"stage": "first", "score": "7"}):
        sent = {"stage": "second", "decision": "approve", "score": "0.5"} | said | wrong
        yield "application/x-www-form-urlencoded", urlencode(sent).encode()
    yield "application/json", b'{"stage": "second", "slip": "s", "decision": "reject", "score": 1}'
    yield "application/json", b'{"stage": "first", "slip": "s", "decision": "approve", "score": 7}'


async def walk(
    world: World,
    app: Application,
    routes: list[Any],
    items: dict[str, Item],
    visitor: Visitor,
) -> AsyncIterator[tuple[str, Told]]:
    """Try everything as one visitor; yield what was asked, and what was told."""
    for route in routes:
        visitor = signed_in(world, visitor)  # they may have tried the way out
        base = {"host": HOST, "origin": f"http://{HOST}"} | visitor.headers
        methods = getattr(route, "methods", None) or {"GET"}
        for target in targets(route, items):
            for method in sorted(methods if "?" not in target else methods & {"GET"}):
                sent = [("", b"")] if method in ("GET", "HEAD") else bodies(visitor)
                for kind, body in sent:
                    headers = base | ({"content-type": kind} if kind else {})
                    told = await ask(app, method, target, headers, body)
                    forms(visitor, told)
                    yield f"{method} {target} {body!r} as {visitor.name}", told


async def test_no_route_tells_anybody_what_blinding_hides(
    world: World, items: dict[str, Item]
) -> None:
    """Before their first vote: in no body, header or stream, whatever they ask, as whomever."""
    leaks: list[str] = []
    came: dict[str, set[str]] = {}
    async with desk(world) as (app, routes):
        for one in visitors(world):
            async for what, told in walk(world, app, routes, items, one):
                leaks += [f"{word}: {what}" for word in HIDDEN if word in told.all]
                if told.status == 200:
                    came.setdefault(what.split()[1].partition("?")[0], set()).add(one.name)
                if SEEN in told.all:
                    came.setdefault("seen", set()).add(one.name)
    assert leaks == []
    assert came["seen"] == {"auditor", "everything"}
    assert came[f"/item/{quote(items['open'].id)}"] == {"auditor", "everything"}
    assert came["/api/next"] == {*ROLES, "everything"}
    assert came["/events"] == {*ROLES, "everything"}


async def test_what_is_hidden_is_found_by_the_same_walk_once_it_may_be_known(
    world: World, items: dict[str, Item]
) -> None:
    """After the first vote it is told, to that person alone: the walk would have seen it."""
    eve = visitor(world, "eve", "auditor")
    caller = Caller("eve", frozenset({"auditor"}))
    world.take(caller, items["open"])
    assert isinstance(world.vote(caller, items["open"]), Voted)
    found = set()
    async with desk(world) as (app, routes):
        async for _, told in walk(world, app, routes, items, eve):
            found |= {word for word in HIDDEN if word in told.all}
    assert found == {RATIONALE, PRINTED}


async def test_an_open_page_is_not_told_how_another_voted(
    world: World, items: dict[str, Item]
) -> None:
    """The stream of a question that someone else answers says that it is closed, and no more."""
    bob = world.add("bob", *ROLES)
    item = world.put(9, **BODY | {"desk": {"two_votes": False}})
    headers = {"host": HOST} | visitor(world, "eve", "auditor").headers

    def answers() -> None:
        with DeskBook.open(world.home) as other:
            clerk = type(world.clerk)(other)
            clerk.show(bob, item.id, world.now)
            said = {"decision": "reject", "score": 0.4321, "note": "CANARY-NOTE"}
            later = world.now + timedelta(seconds=5)
            assert isinstance(clerk.vote(bob, item.id, Given("first", "s", said), later), Voted)

    async with desk(world) as (app, _):
        target = f"/events?item={quote(item.id)}"
        told = await ask(app, "GET", target, headers, news=2, heard=answers)
    first, second = (json.loads(one) for one in re.findall("data: (.*)", told.body.decode()))
    assert first["closed"] is None
    assert second["closed"]["why"] == "answered"
    assert not [word for word in (*HIDDEN, "bob", "reject") if word in told.all]
