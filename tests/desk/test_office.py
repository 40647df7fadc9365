"""The office: a crowd is heard in one transaction, and each of it by itself."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from monastery.auditor.web.office import Office
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.errors import StoreError
from monastery.runtime.people import Person
from tests.desk.world import ADA, BOB, World


@asynccontextmanager
async def crowd(office: Office) -> AsyncIterator[trio.Nursery]:
    """Keep the clerk busy until all who are started in the block wait for their turn."""
    free, busy = threading.Event(), trio.Event()

    def wait() -> None:
        trio.from_thread.run_sync(busy.set)
        free.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(office.ask, wait)
        await busy.wait()
        try:
            yield nursery
            await wait_all_tasks_blocked()
        finally:
            free.set()


async def told(office: Office, question: Callable[[], Any], answers: list[Any]) -> None:
    """Ask, and note what was said or raised."""
    try:
        answers.append(await office.ask(question))
    except (ValueError, StoreError) as exc:
        answers.append(exc)


def adds(world: World, name: str, fails: str = "") -> Callable[[], str]:
    """Return a question that writes a person, and then fails or not."""

    def ask() -> str:
        with world.book.turn():
            world.book.put_person(Person(name, frozenset({"auditor"}), world.now))
            if fails:
                raise ValueError(fails)
        return name

    return ask


async def test_what_one_asks_in_vain_takes_nothing_from_the_others(world: World) -> None:
    """Its writes are undone, theirs stand, in one transaction; each hears of its own."""
    office, answers = Office(world.clerk), list[Any]()
    commits = list[int]()

    def count() -> bool:
        commits.append(1)
        return False

    world.book._db.set_commit_hook(count)
    async with crowd(office) as nursery:
        nursery.start_soon(told, office, adds(world, "mira"), answers)
        nursery.start_soon(told, office, adds(world, "eve", fails="no"), answers)
        nursery.start_soon(told, office, adds(world, "zoe"), answers)
    assert sorted(map(str, answers)) == ["mira", "no", "zoe"]
    with DeskBook.open(world.home) as other:
        assert other.person("mira")
        assert other.person("zoe")
        assert other.person("eve") is None
    assert len(commits) == 1


async def test_nobody_is_told_what_was_not_kept(world: World) -> None:
    """When the disk refuses the crowd's transaction, each of them hears so."""
    office, answers = Office(world.clerk), list[Any]()
    world.book._db.set_commit_hook(lambda: True)
    async with crowd(office) as nursery:
        for name in ("mira", "zoe"):
            nursery.start_soon(told, office, adds(world, name), answers)
    assert [type(one) for one in answers] == [StoreError, StoreError]
    world.book._db.set_commit_hook(None)
    with DeskBook.open(world.home) as other:
        assert other.person("mira") is None


async def test_who_leaves_before_their_turn_asks_nothing(world: World) -> None:
    """And those behind them are heard all the same."""
    office, answers = Office(world.clerk), list[Any]()
    leaves = trio.CancelScope()

    async def hurried() -> None:
        with leaves:
            await office.ask(adds(world, "eve"))

    async with crowd(office) as nursery:
        nursery.start_soon(hurried)
        nursery.start_soon(told, office, adds(world, "mira"), answers)
        await wait_all_tasks_blocked()
        leaves.cancel()
    assert answers == ["mira"]
    assert world.book.person("eve") is None


async def test_what_changed_while_nobody_waited_for_it_is_news(world: World) -> None:
    """Who looked before it need not wait for the next change."""
    office = Office(world.clerk)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(office.watch)
        await office.news()
        known = office.changes
        await office.ask(adds(world, "mira"))
        await office.news()
        with trio.CancelScope() as waits:
            waits.cancel()
            await office.news(known)
        assert not waits.cancelled_caught
        with trio.CancelScope() as waits:
            waits.cancel()
            await office.news(office.changes)
        assert waits.cancelled_caught
        nursery.cancel_scope.cancel()


def test_what_waits_is_the_same_to_a_clerk_who_has_seen_much(world: World) -> None:
    """What was answered or closed is not read again; what an undone turn answered waits again."""
    items = [world.put(step, desk={"two_votes": False}) for step in range(1, 7)]

    def waiting(book: DeskBook) -> list[str]:
        return [standing.question.item for standing in book.waiting()]

    def agree() -> list[str]:
        with DeskBook.open(world.home) as fresh:
            assert waiting(world.book) == waiting(fresh)
        return waiting(world.book)

    assert agree() == [item.id for item in items]
    world.take(ADA, items[1])
    world.vote(ADA, items[1])
    assert agree() == [items[n].id for n in (0, 2, 3, 4, 5)]
    world.take(BOB, items[0])

    def fail(block: AbstractContextManager[None]) -> None:
        with block:
            assert world.vote(BOB, items[0]).final
            assert waiting(world.book)[0] == items[2].id
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail(world.book.turn())
    assert agree()[0] == items[0].id
    world.take(BOB, items[0])
    with world.book.turn():
        with pytest.raises(ValueError, match="no"):
            fail(world.book.part())
        assert waiting(world.book)[0] == items[0].id
    for item in items:
        world.questions.close(item, "withdrawn")
    assert agree() == []
    late = world.questions.put(replace(items[0], id=type(items[0].id)(f"{items[0].id}~2")))
    assert agree() == [late.id]
