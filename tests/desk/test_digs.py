"""Digs at the desk: who may have one and when, its limits, its record; without Docker."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio

from monastery.auditor.desk.queue import Dug
from monastery.auditor.desk.rules import Refused
from monastery.auditor.dig.digs import CUT_OFF, Digs, Live
from monastery.auditor.dig.screen import Screen
from monastery.auditor.dig.session import Limits
from monastery.auditor.web import digging
from monastery.auditor.web.app import make
from monastery.auditor.web.office import Office
from monastery.runtime.errors import BoxError
from monastery.runtime.people import Dig
from monastery.runtime.records import Item
from tests.desk.digging import ScriptedDigger
from tests.desk.test_web import BASE, COOKIE, HOST, Client
from tests.desk.world import ADA, BOB, World
from tests.runtime.test_store import DEAD

ALWAYS = {"dig": "always"}


class Inline(Office):
    """An office that asks in this thread, where the test asks too."""

    async def ask(self, question: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what a function says."""
        await trio.lowlevel.checkpoint()
        return question(*args, **kwargs)


@asynccontextmanager
async def digging_at(
    world: World, digger: ScriptedDigger, limits: Limits | None = None
) -> AsyncIterator[Digs]:
    """Keep the digs of a server until the block ends."""
    office = Inline(world.clerk, lambda: world.now)
    digs = Digs(digger, world.book, office.ask, lambda: world.now, limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(digs.keep)
        await trio.testing.wait_all_tasks_blocked()
        yield digs
        nursery.cancel_scope.cancel()


async def stays() -> str:
    """Find no reason to end, ever."""
    await trio.sleep_forever()
    raise AssertionError


async def begin(
    world: World, digs: Digs, item: Item, may_stay: Callable[[], Awaitable[str]] = stays
) -> Live:
    """Open a dig for Ada, who has the question before her."""
    world.take(ADA, item)
    may = world.clerk.may_dig(ADA, item.id, world.now)
    assert isinstance(may, Dug), may
    return await digs.open(may.question, "ada", may.stage, (24, 80), may_stay)


def text(live: Live) -> str:
    """Return what its screen shows."""
    rows = live.session.screen.lines()
    return "\n".join("".join(run for run, _ in row).rstrip() for row in rows)


async def until(live: Live, wanted: str) -> None:
    """Wait until its screen shows this."""
    while wanted not in text(live):
        await live.session.changed.wait()


# The rules.


@pytest.mark.parametrize(
    ("dig", "blind", "after"),
    [
        ("always", True, True),
        ("second", False, True),
        ("never", False, False),
        (None, False, False),
    ],
)
def test_a_copy_may_be_opened_when_the_project_lets_it(
    world: World, dig: str | None, blind: bool, after: bool
) -> None:
    """By default not before the blind first vote: a box can hold what blinding hides."""
    item = world.put(desk={} if dig is None else {"dig": dig})
    assert world.take(ADA, item).dig is blind
    assert isinstance(world.clerk.may_dig(ADA, item.id, world.now), Dug) is blind
    world.vote(ADA, item)
    assert world.take(ADA, item).dig is after
    assert isinstance(world.clerk.may_dig(ADA, item.id, world.now), Dug) is after


def test_only_who_has_the_question_before_them_may(world: World) -> None:
    """Not who never took it, not another, and nobody when their lease ran out or it is closed."""
    item = world.put(desk=ALWAYS)

    def why(who: Any) -> str:
        found = world.clerk.may_dig(who, item.id, world.now)
        return found.why if isinstance(found, Refused) else ""

    assert why(ADA) == "taken"
    world.take(ADA, item)
    assert (why(ADA), why(BOB)) == ("", "taken")
    assert why(world.add("eve", "researcher")) == "forbidden"
    world.pass_seconds(world.clerk.hours.lease)
    assert why(ADA) == "taken"
    world.take(BOB, item)
    assert (why(ADA), why(BOB)) == ("taken", "")
    world.questions.close(item, "withdrawn")
    assert why(BOB) == "withdrawn"


# What lasts, and what ends it.


async def test_what_is_typed_and_shown_is_recorded_and_its_hash_kept(world: World) -> None:
    """The row names the recording's hash; the copy is gone when the row is closed."""
    item, digger = world.put(desk=ALWAYS), ScriptedDigger()
    async with digging_at(world, digger) as digs:
        live = await begin(world, digs, item)
        await live.session.type(b"cat note.txt\r")
        await until(live, "the bell is broken")
        (row,) = world.book.all_digs()
        assert (row.ended, row.sha256, row.stage, row.of) == (None, "", "first", "box")
        await digs.end(item.id, "ada", "You closed it.")
        assert digger.opened == 0
    (row,) = world.book.all_digs()
    content = world.book.recording(row).read_bytes()
    assert (row.why, row.size_bytes) == ("You closed it.", len(content))
    assert row.sha256 == hashlib.sha256(content).hexdigest()
    assert world.book.recording(row).stat().st_mode & 0o777 == 0o600
    moments = [json.loads(line) for line in content.splitlines()][1:]
    assert "".join(text for _, kind, text in moments if kind == "i") == "cat note.txt\r"
    assert "the bell is broken" in "".join(text for _, kind, text in moments if kind == "o")


async def test_the_answer_names_what_was_recorded_before_it(world: World) -> None:
    """Both votes' digs, with their hashes: the record commits to them."""
    item = world.put(desk=ALWAYS)
    async with digging_at(world, ScriptedDigger()) as digs:
        for stage in ("first", "second"):
            await begin(world, digs, item)
            await digs.end(item.id, "ada", "You voted.")
            world.vote(ADA, item, stage)
    rows = world.book.digs(item.id, "ada")
    told = world.answer(item)["desk"]["digs"]
    assert [(one["dig"], one["sha256"]) for one in told] == [(one.dig, one.sha256) for one in rows]
    assert [one["stage"] for one in told] == ["first", "second"]
    assert all(len(one["sha256"]) == 64 for one in told)


async def test_one_each_and_so_many_in_all(world: World) -> None:
    """The next is refused in words, before anything is copied, and may come when one is closed."""
    items = [world.put(step, desk=ALWAYS) for step in (1, 2)]
    async with digging_at(world, ScriptedDigger(), Limits(at_once=1)) as digs:
        assert digs.why_full("ada") == ""
        await begin(world, digs, items[0])
        assert "another tab" in digs.why_full("ada")
        assert "1 copies" in digs.why_full("bob")
        await digs.end(items[0].id, "ada", "You closed it.")
        assert digs.why_full("bob") == digs.why_full("ada") == ""


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(idle_seconds=60, unseen_seconds=1e6), "Nothing was typed"),
        (Limits(idle_seconds=1e6, total_seconds=60, unseen_seconds=1e6), "time was over"),
        (Limits(unseen_seconds=30), "page was closed"),
    ],
)
async def test_time_ends_it(world: World, limits: Limits, why: str) -> None:
    """Nothing typed for long, too long in all, or nobody who looks."""
    item, digger = world.put(desk=ALWAYS), ScriptedDigger()
    async with digging_at(world, digger, limits) as digs:
        live = await begin(world, digs, item)
        await live.gone.wait()
        assert why in live.session.over
    assert digger.opened == 0
    assert why in world.book.all_digs()[0].why


async def test_a_flood_ends_when_its_recording_is_full(world: World) -> None:
    """What is shown is recorded, so what cannot be recorded is not shown."""
    item, most = world.put(desk=ALWAYS), 1 << 18
    async with digging_at(world, ScriptedDigger(), Limits(recorded_bytes=most)) as digs:
        live = await begin(world, digs, item)
        await live.session.type(b"flood\r")
        await live.gone.wait()
        assert "full" in live.session.over
    (row,) = world.book.all_digs()
    assert most < row.size_bytes < most * 2


async def test_what_may_not_stay_ends(world: World) -> None:
    """A reason from outside, a withdrawn question say, ends it with its words."""
    item, gone = world.put(desk=ALWAYS), trio.Event()

    async def withdrawn() -> str:
        await gone.wait()
        return "It was withdrawn."

    async with digging_at(world, ScriptedDigger()) as digs:
        live = await begin(world, digs, item, withdrawn)
        gone.set()
        await live.gone.wait()
        assert live.session.over == "It was withdrawn."
        assert digs.of(item.id, "ada") is None


async def test_a_box_that_cannot_be_copied_leaves_nothing(world: World) -> None:
    """The fault is told, there is no row, and the next one may try."""
    item, digger = world.put(desk=ALWAYS), ScriptedDigger()
    digger.fault = "its box went on while it was copied"
    async with digging_at(world, digger) as digs:
        with pytest.raises(BoxError, match="went on"):
            await begin(world, digs, item)
        assert world.book.all_digs() == []
        assert digs.why_full("ada") == ""


async def test_a_stopped_server_closes_what_is_open(world: World) -> None:
    """The row says why; the copy is removed."""
    item, digger = world.put(desk=ALWAYS), ScriptedDigger()
    async with digging_at(world, digger) as digs:
        await begin(world, digs, item)
    assert digger.opened == 0
    (row,) = world.book.all_digs()
    assert (row.why, len(row.sha256)) == ("The server was stopped.", 64)


async def test_the_next_server_closes_the_rows_of_a_killed_one(world: World) -> None:
    """With the hash of what was recorded; the rows of the living are left alone."""
    item = world.put(desk=ALWAYS)
    rows = [
        Dig(name, item.id, "ada", "first", "box", owner, world.now)
        for name, owner in (("dig-dead", DEAD), ("dig-alive", "elsewhere/a/b/1/2"))
    ]
    with world.book.turn():
        for row in rows:
            world.book.put_dig(row)
    path = world.book.recording(rows[0])
    path.parent.mkdir()
    path.write_bytes(b"half")
    async with digging_at(world, ScriptedDigger()):
        pass
    found = {row.dig: row for row in world.book.all_digs()}
    assert found["dig-dead"].why == CUT_OFF
    assert found["dig-dead"].sha256 == hashlib.sha256(b"half").hexdigest()
    assert found["dig-alive"].ended is None


# The pages.


@asynccontextmanager
async def desk(world: World, digger: ScriptedDigger) -> AsyncIterator[tuple[Client, Digs]]:
    """Open the desk's application, with digs."""
    async with digging_at(world, digger) as digs:
        office = Inline(world.clerk, lambda: world.now)
        app = make(office, names=[HOST], desk="here", digs=digs, clock=lambda: 0.0)
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
            yield Client(world, http), digs


async def test_a_page_opens_it_and_only_its_owners_own_pages_reach_it(world: World) -> None:
    """Forms of other sites, other people and no people get nothing of it."""
    item = world.put(desk=ALWAYS)
    async with desk(world, ScriptedDigger()) as (client, digs):
        client.sign_in("ada")
        page = (await client.get(f"/item/{item.id}")).text
        assert 'id="dig-open"' in page
        stranger = await client.post(f"/item/{item.id}/dig", {"origin": "https://evil.example"})
        assert stranger.status_code == 403
        form, client.form = client.form, "forged"
        assert (await client.post(f"/item/{item.id}/dig")).status_code == 403
        client.form = form
        begun = await client.post(f"/item/{item.id}/dig", rows="30", columns="100")
        name = begun.json()["dig"]
        live = digs.find(name, "ada")
        assert live is not None
        assert (live.session.screen.rows, live.session.screen.columns) == (30, 100)
        assert f'data-live="{name}"' in (await client.get(f"/item/{item.id}")).text
        typed = await client.post(f"/dig/{name}", do="type", keys="cat note.txt\r")
        assert typed.status_code == 204
        await until(live, "the bell is broken")
        await client.post(f"/dig/{name}", do="size", rows="99999", columns="x")
        assert live.session.screen.columns == 80
        too_much = await client.post(f"/dig/{name}", do="type", keys="x" * 200_000)
        assert too_much.status_code == 422
        second = await client.post(f"/item/{item.id}/dig")
        assert second.json()["refused"] == "taken"

        client.sign_in("bob")
        assert (await client.post(f"/dig/{name}", do="type", keys="rm")).status_code == 404
        assert (await client.get(f"/dig/{name}/screen")).status_code == 204
        client.http.cookies.clear()
        assert (await client.post(f"/dig/{name}", do="close")).status_code == 403
        assert digs.find(name, "ada") is live


async def test_a_vote_ends_it_first_and_names_it(world: World) -> None:
    """Who votes while the shell is open has its hash in the answer; skipping closes it too."""
    item, other = world.put(desk=ALWAYS | {"two_votes": False}), world.put(2, desk=ALWAYS)
    async with desk(world, ScriptedDigger()) as (client, digs):
        client.sign_in("ada")
        await client.get(f"/item/{item.id}")
        await client.post(f"/item/{item.id}/dig")
        world.pass_seconds(5)
        assert (await client.vote(item)).status_code == 303
        assert digs.of(item.id, "ada") is None
        (told,) = world.answer(item)["desk"]["digs"]
        assert told["sha256"] == world.book.digs(item.id, "ada")[0].sha256 != ""
        await client.get(f"/item/{other.id}")
        await client.post(f"/item/{other.id}/dig")
        await client.post(f"/item/{other.id}/skip", reason="not mine")
        assert digs.of(other.id, "ada") is None


async def test_before_the_first_vote_there_is_no_trace_of_it(world: World) -> None:
    """The default: no button on the blind page, and its address refuses."""
    item = world.put(desk={"dig": "second"})
    async with desk(world, ScriptedDigger()) as (client, _):
        client.sign_in("ada")
        assert 'id="dig-open"' not in (await client.get(f"/item/{item.id}")).text
        refused = await client.post(f"/item/{item.id}/dig")
        assert refused.status_code == 403
        assert "Vote first" in refused.json()["text"]
        world.pass_seconds(5)
        await client.vote(item)
        assert 'id="dig-open"' in (await client.get(f"/item/{item.id}")).text
        assert "dig" in (await client.post(f"/item/{item.id}/dig")).json()


async def test_a_withdrawn_question_ends_it(world: World) -> None:
    """The page's watcher looks whenever anyone has written."""
    item = world.put(desk=ALWAYS)
    async with desk(world, ScriptedDigger()) as (client, _), trio.open_nursery() as nursery:
        office = Inline(world.clerk, lambda: world.now)
        nursery.start_soon(office.watch)
        client.sign_in("ada")
        await client.get(f"/item/{item.id}")
        secret = client.http.cookies[COOKIE]
        may_stay = digging._watch(office, secret, item.id)
        assert isinstance(world.clerk.may_dig(ADA, item.id, world.now), Dug)
        world.questions.close(item, "withdrawn")
        while not (why := await may_stay()):
            pass
        assert "withdrawn" in why
        nursery.cancel_scope.cancel()


def test_rows_are_texts_with_names_of_ours(world: World) -> None:
    """What an agent's file holds is text: no markup, nothing unseen, styles from a short list."""
    screen = Screen(5, 60)
    screen.cursor_shown = False
    screen.feed("\x1b[1;4;7;33m<b>\u202e‹x\x1b[0m".encode())
    assert digging._told(screen.lines()[0]) == [
        ("<b>", "c3 bold underline inverse"),
        ("‹U+202E›", "c3 bold underline inverse code"),
        ("‹U+2039›", "c3 bold underline inverse code"),
        ("x", "c3 bold underline inverse"),
    ]
