"""The pages, asked as a program asks: who may, what is refused, and that nothing blinded leaves."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from monastery.auditor.desk import door
from monastery.auditor.web import live
from monastery.auditor.web.app import make
from monastery.auditor.web.office import Office
from monastery.auditor.web.session import cookie
from monastery.runtime.people import ROLES, Person, Role
from monastery.runtime.records import Item
from tests.desk.samples import samples
from tests.desk.world import ADA, SECRETS, World

HOST = "desk.test:8321"
BASE = f"http://{HOST}"
COOKIE = cookie("here")


class Client:
    """A browser without scripts, signed in or not."""

    def __init__(self, world: World, http: httpx.AsyncClient) -> None:
        self.world, self.http = world, http
        self.form = ""

    def sign_in(self, name: str, *roles: Role) -> None:
        """Come in with a session of one's own."""
        person = Person(name, frozenset(roles or ROLES), self.world.now)
        with self.world.book.turn():
            self.world.book.put_person(person)
        secret = door.issue(self.world.book, person, "session", now=self.world.now)
        self.http.cookies.set(COOKIE, secret)
        self.form = door.form_token(secret)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page."""
        return await self.http.get(path, headers=headers)

    async def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> Any:
        """Send a form as a page of ours would."""
        body = {"form": self.form, **fields}
        return await self.http.post(path, data=body, headers={"origin": BASE} | (headers or {}))

    async def vote(self, item: Item, stage: str = "first", **fields: str) -> Any:
        """Send a ballot."""
        given = {"decision": "approve", "score": "0.8", "slip": self.world.slip()} | fields
        return await self.post(f"/item/{item.id}/vote", stage=stage, **given)


@asynccontextmanager
async def desk(world: World) -> AsyncIterator[Client]:
    """Open the desk's application in this process."""
    app = make(Office(world.clerk, lambda: world.now), names=[HOST], desk="here", clock=lambda: 0.0)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        yield Client(world, http)


async def test_a_link_signs_in_once_and_only_when_pressed(world: World) -> None:
    """What fetches links ahead burns nothing; a second use, and a stale one, open nothing."""
    ada = world.book.person("ada")
    assert ada is not None
    async with desk(world) as client:
        key = door.issue(world.book, ada, "link", now=world.now)
        for _ in range(3):
            assert (await client.get(f"/enter?key={key}")).status_code == 200
        assert (await client.get("/")).headers["location"] == "/enter"
        came = await client.http.post("/enter", data={"key": key}, headers={"origin": BASE})
        assert came.status_code == 303
        cookie = came.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert (await client.get("/")).status_code == 200
        client.http.cookies.clear()
        again = await client.http.post("/enter", data={"key": key}, headers={"origin": BASE})
        assert again.status_code == 403
        stale = door.issue(world.book, ada, "link", now=world.now)
        world.pass_seconds(door.LINK_HOURS * 3600 + 1)
        late = await client.http.post("/enter", data={"key": stale}, headers={"origin": BASE})
        assert late.status_code == 403


async def test_secrets_are_kept_by_their_hashes(world: World) -> None:
    """Neither link nor session stands in the database; a session ends when its time is up."""
    async with desk(world) as client:
        client.sign_in("eve")
        secret = client.http.cookies[COOKIE]
        assert (await client.get("/")).status_code == 200
        files = b"".join(path.read_bytes() for path in world.home.iterdir() if path.is_file())
        assert secret.encode() not in files
        assert door.digest_of(secret).encode() in files
        world.pass_seconds(door.SESSION_HOURS * 3600 + 1)
        assert (await client.get("/")).headers["location"] == "/enter"


async def test_who_left_or_lost_a_role_is_out_at_once(world: World) -> None:
    """An open session opens what its person may now, not what they once could."""
    item = world.put()
    async with desk(world) as client:
        client.sign_in("eve")
        assert (await client.get(f"/item/{item.id}")).status_code == 200
        with world.book.turn():
            world.book.put_person(Person("eve", frozenset({"researcher"}), world.now))
        assert (await client.get(f"/item/{item.id}")).status_code == 403
        with world.book.turn():
            world.book.put_person(Person("eve", frozenset(ROLES), world.now, left=world.now))
        assert (await client.get("/")).headers["location"] == "/enter"


FORGED: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("no token", {"form": ""}, {}),
    ("another token", {"form": "0" * 64}, {}),
    ("a token that is no ASCII", {"form": "ä"}, {}),
    ("another origin", {}, {"origin": "https://evil.example"}),
    ("the origin null", {}, {"origin": "null"}),
    ("another site", {}, {"origin": "", "sec-fetch-site": "cross-site"}),
]


@pytest.mark.parametrize(("fields", "headers"), [one[1:] for one in FORGED])
async def test_a_form_that_is_not_ours_does_nothing(
    world: World, fields: dict[str, str], headers: dict[str, str]
) -> None:
    """Without the session's token, or from elsewhere, no vote is cast and nobody is taken in."""
    item = world.put()
    async with desk(world) as client:
        client.sign_in("eve")
        await client.get(f"/item/{item.id}")
        world.pass_seconds(5)
        wrong = {"decision": "approve", "score": "1", "slip": "x", "stage": "first"} | fields
        assert (await client.post(f"/item/{item.id}/vote", headers, **wrong)).status_code == 403
        people = {"do": "add", "name": "mallory", "role-admin": "on"} | fields
        assert (await client.post("/people", headers, **people)).status_code == 403
        assert (await client.post("/next", headers, **fields)).status_code == 403
    assert world.book.ballots(item.id, "eve") == []
    assert world.book.person("mallory") is None


async def test_another_name_or_a_flood_reaches_nothing(world: World) -> None:
    """A name that is not ours could be another site's; too many, and too long requests, end."""
    async with desk(world) as client:
        client.sign_in("eve")
        assert (await client.get("/", host="evil.example")).status_code == 421
        assert (await client.get("/")).status_code == 200
        huge = {"content-length": str(1 << 30), "content-type": "application/json"}
        assert (await client.http.post("/next", headers=huge)).status_code == 413
        wrong = await client.http.post("/next", content=b"{}", headers={"origin": BASE})
        assert wrong.status_code == 415
        tries = [
            (
                await client.http.post("/enter", data={"key": "x"}, headers={"origin": BASE})
            ).status_code
            for _ in range(12)
        ]
        assert tries == [403] * 10 + [429] * 2
        codes = [(await client.get("/static/icon.svg")).status_code for _ in range(300)]
        assert codes[0] == 200
        assert codes[-1] == 429
        client.http.cookies.clear()
        assert (await client.get("/static/icon.svg")).status_code == 200


async def test_every_answer_has_the_headers(world: World) -> None:
    """Pages, files, refusals and what is not there: our own files alone, no frame."""
    async with desk(world) as client:
        for path in ("/", "/enter", "/static/desk.js", "/nowhere", "/item/x", "/events"):
            answer = await client.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


async def test_pages_hold_nothing_inline_and_nothing_from_elsewhere(world: World) -> None:
    """No style or script in a page, no handler in a tag, no address but our own."""
    items = samples()
    for item in items.values():
        world.questions.put(item)
    async with desk(world) as client:
        client.sign_in("eve")
        for path in ("/", "/people", *(f"/item/{item.id}" for item in items.values())):
            text = (await client.get(path)).text
            tags = "\n".join(re.findall(r"<[a-zA-Z][^>]*>", text))
            assert not re.search(r"\s(style|on[a-z]+)=", tags), path
            assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) == [""]
            for address in re.findall(r'(?:src|href|action)="([^"]*)"', tags):
                assert urlsplit(address).netloc == "", address


@pytest.mark.parametrize("name", ["git", "email", "http", "ssh", "file", "hostile", "ask", "gate"])
async def test_every_kind_has_its_page(world: World, name: str) -> None:
    """Each is shown with its goal and its own words."""
    item = world.questions.put(samples()[name])
    words = {
        "git": "import csv",
        "email": "Hafen, Nord",
        "http": "https://table.survey.example/v2/means/ost-tor-3",
        "ssh": "table.survey.example port 22",
        "file": "report.md",
        "hostile": "‹U+202E›",
        "ask": "Which of the two tables is right?",
        "gate": "May this step be carried out?",
    }
    async with desk(world) as client:
        client.sign_in("eve")
        text = (await client.get(f"/item/{item.id}")).text
    assert words[name] in text
    assert "Bring the survey package to version 2" in text


async def test_no_route_gives_what_blinding_hides(world: World) -> None:
    """Before the first vote neither rationale nor thoughts nor others' votes leave by any route."""
    hidden = (*SECRETS, "BOBS-NOTE", "0.4321", "RISKY")
    more = {"model": SECRETS[2], "risk": "RISKY", "planted": True, "votes": [{"note": "BOBS-NOTE"}]}
    item = world.put(rationale=SECRETS[0], **more)
    world.take(ADA, item)
    assert not isinstance(world.vote(ADA, item, score=0.4321, note="BOBS-NOTE"), str)
    with world.book.turn():
        world.book.drop_claim(item.id)
    async with desk(world) as client:
        client.sign_in("eve", "auditor", "researcher")
        paths = [
            "/",
            f"/item/{item.id}",
            f"/item/{item.id}?full",
            f"/item/{item.id}?undo",
            f"/item/{item.id}?stage=second",
            f"/item/{item.id}/payload",
            f"/item/{item.id}/evidence/1",
            f"/item/{item.id}/evidence/2",
            f"/item/{item.id}/vote",
            f"/item/{item.id}/correct",
            "/people",
        ]
        seen = []
        for path in paths:
            seen.append(await client.get(path))
        world.pass_seconds(5)
        seen.append(await client.vote(item, "second"))
        seen.append(await client.vote(item, score="7"))
        seen.append(await client.post(f"/item/{item.id}/undo"))
        seen.append(await client.post(f"/item/{item.id}/correct", decision="approve", score="1"))
        seen.append(await client.post(f"/item/{item.id}/skip", reason=""))
        for answer in seen:
            whole = f"{answer.headers}\n{answer.text}"
            for word in hidden:
                assert word not in whole, (answer.request.url, word)
        assert seen[1].status_code == 200
        assert "planted" not in seen[1].text.lower()
        world.pass_seconds(5)
        assert (await client.vote(item)).status_code == 303
        text = (await client.get(f"/item/{item.id}")).text
        assert SECRETS[0] in text
        assert "BOBS-NOTE" not in text


async def test_an_auditor_sees_no_page_of_another_role(world: World) -> None:
    """People are an admin's business, deeds a runner's, gates an approver's."""
    deed, gate = world.put(1, "human"), world.put(2, "gate")
    async with desk(world) as client:
        client.sign_in("eve", "auditor")
        assert (await client.get("/people")).status_code == 403
        add = await client.post("/people", do="add", name="mallory", **{"role-admin": "on"})
        assert add.status_code == 403
        for item in (deed, gate):
            assert (await client.get(f"/item/{item.id}")).status_code == 403
            assert (await client.get(f"/item/{item.id}/payload")).status_code == 403


async def test_what_was_typed_is_on_the_page_that_refuses(world: World) -> None:
    """A score out of range keeps the note in its field; a withdrawn question shows it once more."""
    item = world.put()
    async with desk(world) as client:
        client.sign_in("eve")
        await client.get(f"/item/{item.id}")
        world.pass_seconds(5)
        bad = await client.vote(item, score="1.7", note="an hour of work")
        assert bad.status_code == 422
        assert "an hour of work" in bad.text
        assert "score" in bad.text
        world.questions.close(item, "withdrawn")
        late = await client.vote(item, note="an hour of work")
        assert late.status_code == 410
        assert "an hour of work" in late.text
        assert "withdrawn" in late.text


async def test_an_admin_takes_people_in_and_lets_them_go(world: World) -> None:
    """The link that is made signs them in with their roles; who has left is out."""
    async with desk(world) as client, desk(world) as theirs:
        client.sign_in("ada")
        made = await client.post("/people", do="add", name="mira", **{"role-auditor": "on"})
        (key,) = re.findall(r"/enter\?key=([\w-]+)", made.text)
        await theirs.http.post("/enter", data={"key": key}, headers={"origin": BASE})
        assert "mira" in (await theirs.get("/")).text
        again = await client.post("/people", do="add", name="mira", **{"role-admin": "on"})
        assert "already" in again.text
        bad = await client.post("/people", do="add", name="<b>", **{"role-admin": "on"})
        assert "lower-case" in bad.text
        locked = await client.post("/people", do="leave", name="ada")
        assert "lock yourself out" in locked.text
        await client.post("/people", do="leave", name="mira")
        assert (await theirs.get("/")).headers["location"] == "/enter"


async def test_modified_bytes_are_those_that_were_typed(world: World) -> None:
    """A form's line breaks are not the payload's; what a field would change cannot be edited."""
    item = world.put(payload=b"one\ntwo\n", desk={"two_votes": False})
    hidden = world.put(2, payload="a\u202eb\r\n".encode())
    async with desk(world) as client:
        client.sign_in("eve")
        page = (await client.get(f"/item/{item.id}")).text
        assert 'spellcheck="false">\none\ntwo\n</textarea>' in page
        assert "would hide or change" in (await client.get(f"/item/{hidden.id}")).text
        await client.get(f"/item/{item.id}")
        world.pass_seconds(5)
        sent = await client.vote(item, decision="modify", modified="one\r\nthree\r\n")
        assert sent.status_code == 303
    assert world.answer(item)["modified_base64"] == "b25lCnRocmVlCg=="


async def test_open_pages_are_told_what_waits_and_no_more(world: World) -> None:
    """The stream has two fields; it says why a question is closed, and not by whom or how."""
    item = world.put(desk={"two_votes": False})
    office = Office(world.clerk, lambda: world.now)
    eve = world.add("eve", "auditor")
    assert live.look(office, eve, item.id) == {"waiting": 1, "closed": None}
    world.take(ADA, item)
    told = live.look(office, eve, item.id)
    assert told["closed"]["why"] == "taken"
    assert world.vote(ADA, item, note="BOBS-NOTE").final
    told = live.look(office, eve, item.id)
    assert told.keys() == {"waiting", "closed"}
    assert told["waiting"] == 0
    assert told["closed"]["why"] == "answered"
    assert "ada" not in str(told)
    assert live.look(office, eve, None) == {"waiting": 0}


async def test_what_the_agent_may_be_told_is_chosen_and_a_line_of_its_own(world: World) -> None:
    """Where the project lists sentences; nowhere else is there anything to choose."""
    item = world.put(desk={"two_votes": False, "canned": ["Add a test.", "Ask <first>."]})
    plain = world.put(2, desk={"two_votes": False})
    async with desk(world) as client:
        client.sign_in("eve")
        assert 'name="told"' not in (await client.get(f"/item/{plain.id}")).text
        text = (await client.get(f"/item/{item.id}")).text
        assert 'value="Ask &lt;first&gt;."' in text
        world.pass_seconds(5)
        sent = await client.vote(item, decision="reject", told="Add a test.", note="for us")
        assert sent.status_code == 303
    assert world.answer(item)["note"] == "Add a test.\nfor us"
