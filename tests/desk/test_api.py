"""The desk as JSON: a program with a token audits from outside, and sees no field more."""

import base64
import re
from typing import Any

import pytest

from monastery.auditor.desk import door
from monastery.runtime.people import Role
from monastery.runtime.records import Item
from tests.desk.test_web import BASE, Client, desk
from tests.desk.world import SECRETS, World

SHEET = {"step", "stage", "last", "reasons", "mine", "until"}
STEP = {"item", "purpose", "kind", "step", "goal", "rendering", "payload_base64", "settings"}
STEP |= {"evidence", "changes", "earlier", "reason", "canned", "alternatives"}
STEP |= {"created", "deadline"}


class Program:
    """Something that holds a token."""

    def __init__(self, client: Client, name: str, *roles: Role) -> None:
        self.client, world = client, client.world
        world.add(name, *roles)
        person = world.book.person(name)
        assert person is not None
        self.token = door.issue(world.book, person, "token", now=world.now)

    async def get(self, path: str) -> Any:
        """Ask."""
        return await self.client.http.get(f"/api/{path}", headers=self._headers)

    async def post(self, path: str, **body: Any) -> Any:
        """Say something."""
        return await self.client.http.post(f"/api/{path}", json=body, headers=self._headers)

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def vote(self, item: Item, stage: str = "first", **said: Any) -> Any:
        """Cast a ballot."""
        body = {"decision": "approve", "score": 0.8, "slip": self.client.world.slip()} | said
        return await self.post(f"item/{item.id}/vote", stage=stage, **body)


async def test_a_program_audits_from_outside(world: World) -> None:
    """It takes the next, votes twice, sends the last again, and there is one answer."""
    item = world.put()
    async with desk(world) as client:
        program = Program(client, "judge", "auditor")
        assert (await program.get("waiting")).json() == {"waiting": 1}
        sheet = (await program.post("next")).json()
        assert sheet.keys() == SHEET
        assert sheet["step"].keys() == STEP
        assert base64.b64decode(sheet["step"]["payload_base64"]) == b"echo hello\n"
        assert sheet["reasons"] is None
        first = (await program.vote(item, score=0.25)).json()
        assert first == {"final": False, "again": False, "undo_until": None}
        sheet = (await program.get(f"item/{item.id}")).json()
        assert sheet["reasons"]["rationale"] == SECRETS[0]
        assert sheet["mine"] == {"decision": "approve", "score": 0.25}
        for again in (False, True):
            last = (await program.vote(item, "second", slip="mine")).json()
            assert (last["final"], last["again"]) == (True, again)
        assert (await program.post("next")).json() == {"item": None}
    assert world.answer(item)["score"] == 0.25


async def test_what_blinding_hides_is_in_no_answer(world: World) -> None:
    """Every route, before the first vote, with a question that carries all that could leak."""
    hidden = {"model": SECRETS[2], "risk": "RISKY", "planted": True, "votes": ["BOBS-NOTE"]}
    item = world.put(rationale=SECRETS[0], **hidden)
    async with desk(world) as client:
        program = Program(client, "judge", "auditor", "researcher", "approver")
        answers = [
            await program.get("waiting"),
            await program.post("next"),
            await program.get(f"item/{item.id}"),
            await program.vote(item, "second"),
            await program.vote(item, score=7),
            await program.post(f"item/{item.id}/skip", reason=""),
            await program.post(f"item/{item.id}/vote", stage="third", slip="x"),
        ]
        for answer in answers:
            for word in (*SECRETS, "RISKY", "BOBS-NOTE", "planted", "digest"):
                assert word not in answer.text, (answer.request.url, word)
        assert answers[2].json()["step"]["item"] == item.id


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "JSON"),
        (b"[]", "object"),
        (b'{"a": NaN}', "NaN"),
        (b'{"slip": "a", "slip": "b"}', "twice"),
        (b'{"slip": "", "decision": "approve", "score": 1}', "slip"),
        (b'{"slip": "a", "decision": "approve", "score": 2}', "score"),
        (b'{"slip": "a", "decision": "approve", "score": 1, "planted": 1}', "planted"),
    ],
)
async def test_nonsense_is_refused_in_one_line(world: World, body: bytes, word: str) -> None:
    """With the status 422, a word for programs and a line for people; nothing is kept."""
    item = world.put()
    async with desk(world) as client:
        program = Program(client, "judge", "auditor")
        headers = {"authorization": f"bearer {program.token}"}
        url = f"/api/item/{item.id}/vote"
        answer = await client.http.post(url, content=body, headers=headers)
        assert answer.status_code == 422
        told = answer.json()
        assert told["refused"] == "invalid"
        assert word in told["text"]
        assert "\n" not in told["text"]
    assert world.book.ballots(item.id, "judge") == []


async def test_a_token_opens_what_was_ticked_until_it_ends(world: World) -> None:
    """Made on the page People, shown once, kept by its hash; a stale or a foreign one is none."""
    world.put()
    async with desk(world) as client:
        client.sign_in("ada")
        world.add("mira", "auditor", "approver", "admin")
        ticked = {"role-approver": "on", "role-admin": "on"}
        made = await client.post("/people", do="token", name="mira", **ticked)
        (token,) = re.findall(r'id="token">([\w-]+)<', made.text)
        assert token not in (await client.get("/people")).text
        headers = {"authorization": f"Bearer {token}"}
        kept = world.book.find_pass(door.digest_of(token))
        assert kept is not None
        assert kept.scope == {"approver"}
        waiting = await client.http.get("/api/waiting", headers=headers)
        assert waiting.json() == {"waiting": 0}  # the question wants an auditor
        for wrong in ({}, {"authorization": "Bearer x"}, {"authorization": token}):
            assert (await client.http.get("/api/waiting", headers=wrong)).status_code == 401
        assert (await client.http.get("/", headers={"cookie": f"x={token}"})).status_code == 303
        session = client.http.cookies[next(iter(client.http.cookies))]
        other = {"authorization": f"Bearer {session}"}
        assert (await client.http.get("/api/waiting", headers=other)).status_code == 401
        world.pass_seconds(door.TOKEN_DAYS * 86400 + 1)
        assert (await client.http.get("/api/waiting", headers=headers)).status_code == 401


async def test_a_cookie_alone_says_nothing_to_the_json_form(world: World) -> None:
    """So no other site's page can speak through somebody's browser."""
    item = world.put()
    async with desk(world) as client:
        client.sign_in("eve")
        url = f"/api/item/{item.id}/vote"
        body = {"stage": "first", "slip": "x", "decision": "approve", "score": 1}
        assert (await client.http.post(url, json=body, headers={"origin": BASE})).status_code == 401
    assert world.book.ballots(item.id, "eve") == []
