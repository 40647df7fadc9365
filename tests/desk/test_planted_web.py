"""Pages and JSON of planted questions: to the byte those of real ones, until they are told."""

import re
from dataclasses import replace
from typing import Any

import pytest

from monastery.runtime.records import ItemId
from tests.desk.planting import BAD, WHY, handed, judge, known, planting, put, through
from tests.desk.test_api import Program
from tests.desk.test_web import Client, desk
from tests.desk.world import ADA, BOB, World

MINUTES_LATER = 16
"""From here on in a course what was answered cannot be taken back."""


def _plain(text: str, *names: str) -> str:
    """Return a page without what differs between any two: secrets by lot, ids, who looks."""
    for name in names:
        text = text.replace(name, "ID")
    text = re.sub(r'name="(form|slip)" value="[^"]*"', r"\1", text)
    return text.replace("<span>ada</span>", "WHO").replace("<span>bob</span>", "WHO")


async def _course(client: Client, world: World, name: str) -> list[Any]:
    """Judge a question on its pages, and return all that came."""
    said = {"decision": "reject", "score": "0.3", "note": "no"}
    told = []

    async def get(path: str) -> None:
        came = await client.get(path)
        length = len(came.content)
        told.append((came.status_code, length, dict(came.headers), came.text))

    async def post(path: str, **fields: str) -> None:
        came = await client.post(path, **fields)
        told.append((came.status_code, came.headers.get("location"), came.text))

    page = f"/item/{name}"
    await get(page)
    await get(f"{page}?full")
    await get(f"{page}/payload")
    await get(f"{page}/evidence/1")
    await get(f"{page}/evidence/2")
    world.pass_seconds(5)
    await post(f"{page}/vote", stage="first", slip=world.slip(), **said)
    await post(f"{page}/vote", stage="first", slip=world.slip(), **said)
    await get(page)
    await get("/")
    world.pass_seconds(5)
    await post(f"{page}/vote", stage="second", slip=world.slip(), **said)
    await get(page)
    await post(f"{page}/undo")
    await get(f"{page}?undo")
    await post(f"{page}/correct", slip=world.slip(), decision="approve", score="0.9")
    await get(page)
    await get("/")
    world.pass_seconds(300)
    await post(f"{page}/undo")
    await post(f"{page}/correct", slip=world.slip(), decision="approve", score="0.9")
    await post(f"{page}/skip", reason="too late")
    await get(page)
    return told


async def test_every_page_is_the_same_to_the_byte(world: World) -> None:
    """The very proposal of the real question, planted: no byte of any answer tells which it is.

    But for how many wait minutes later: the real one, which then seems to have come just now.
    """
    real = put(world)
    same = known(payload=b"echo hello\n", rationale="because it is late", good=True)
    planting(world, replace(same, evidence=(("log.txt", b"all green"),)))
    name = handed(world, BOB)
    assert world.book.is_planted(name)
    put(world, 2, rate=0.0)
    put(world, 3, rate=0.0)
    courses = []
    began = world.now
    async with desk(world) as client:
        for person, item in (("bob", name), ("ada", real.id)):
            world.now = began
            world._slips, world.clerk._read = 0, None
            client.sign_in(person)
            courses.append(await _course(client, world, item))
    for number, (one, other) in enumerate(zip(*courses, strict=True)):
        both = [_plain(str(text), name, real.id) for text in (one, other)]
        if number >= MINUTES_LATER:
            both = [re.sub(r'(data-waiting="|waiting(-here)?">)\d', "", text) for text in both]
        assert both[0] == both[1], number


async def test_the_button_plants_and_a_token_does_not(world: World) -> None:
    """Who presses Next is handed one; a program of the same desk gets the run's own question."""
    planting(world)
    real = put(world)
    async with desk(world) as client:
        program = Program(client, "judge", "auditor")
        assert (await program.post("next")).json()["step"]["item"] == real.id
        with world.book.turn():
            world.book.drop_claim(real.id)
        client.sign_in("ada")
        went = (await client.post("/next")).headers["location"]
        assert world.book.is_planted(went.removeprefix("/item/").replace("%7E", "~"))


async def test_no_word_of_it_is_on_a_page_before_it_is_told(world: World) -> None:
    """Nor is what is known of it; on the page of one's own work it is, afterwards."""
    planting(world)
    put(world)
    name = handed(world, ADA)
    async with desk(world) as client:
        client.sign_in("ada")
        for told in await _course(client, world, name):
            for word in (WHY, "planted", "bad-1", "stands_for"):
                assert word not in str(told), word
        page = (await client.get("/work")).text
        assert WHY in page
        assert BAD.decode() in page


async def test_ones_own_work_is_ones_own(world: World) -> None:
    """Others' recall is for researchers and admins; while it can be undone it is told to nobody."""
    shelf = planting(world)
    through(world, ADA, 1, decision="reject")
    shelf.there = [known("good-1", b"make test\n", good=True)]
    async with desk(world) as client:
        client.sign_in("bob", "auditor")
        page = (await client.get("/work")).text
        assert "ada" not in page
        assert "none yet" in page
        client.sign_in("rosa", "researcher")
        page = (await client.get("/work")).text
        assert re.search(r"ada</th><td>.*1 of 1", page)
        assert WHY not in page
        client.sign_in("ada", "auditor")
        page = (await client.get("/work")).text
        assert "1 of 1" in page
        assert "Others" not in page
        world.clerk.skip(ADA, handed(world, ADA), "later", world.now)
        put(world, 2)
        judge(world, ADA, handed(world, ADA), decision="approve")
        assert (await client.get("/work")).text.count("none yet") == 1
        world.pass_seconds(60)
        assert "none yet" not in (await client.get("/work")).text


async def test_who_is_held_is_told_so(world: World) -> None:
    """On the page where the vote was recorded, and on that of their work."""
    planting(world, *(known(f"bad-{n}", b"rm %d\n" % n) for n in range(4)))
    for step in range(1, 5):
        name = through(world, ADA, step, decision="approve", floor=0.7)
        world.clerk.skip(ADA, handed(world, ADA), "later", world.now)
        assert isinstance(name, str)
    real = put(world, 20, rate=0.0, floor=0.7)
    world.take(ADA, real)
    judge(world, ADA, ItemId(real.id))
    async with desk(world) as client:
        client.sign_in("ada", "auditor")
        page = (await client.get(f"/item/{real.id}")).text
        assert "Recorded" in page
        assert "an adjudicator decides" in page
        page = (await client.get("/work")).text
        assert "0 of 4" in page
        assert "an adjudicator decides" in page
        assert "below 70 %" in page


@pytest.mark.parametrize("path", ["/work"])
async def test_nobody_who_is_not_signed_in_sees_it(world: World, path: str) -> None:
    """They are shown to the door."""
    async with desk(world) as client:
        came = await client.get(path)
        assert (came.status_code, came.headers["location"]) == (303, "/enter")
