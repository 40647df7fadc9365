"""The desk: questions wait for people through stops, and are told when they go inert."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.desk import StoreDesk
from monastery.runtime.errors import BadInput
from monastery.runtime.journal import Journal, Record, Writer
from monastery.runtime.owner import this_process
from monastery.runtime.records import Answer, Item, ItemId, RunId
from monastery.runtime.store import Store
from tests.runtime.world import inline

pytestmark = pytest.mark.virtual

RUN = RunId("run-1")
NOW = datetime(2026, 11, 21, tzinfo=UTC)


JUMPED = [0.0]
"""By how much somebody has set the wall clock [seconds]."""


def _clock() -> datetime:
    return NOW + timedelta(seconds=trio.current_time() + JUMPED[0])


def _item(name: str = "1.audit", seconds: float | None = 60.0) -> Item:
    deadline = None if seconds is None else NOW + timedelta(seconds=seconds)
    return Item(ItemId(f"{RUN}.{name}"), RUN, "audit", NOW, deadline, {"what": "a question"})


def _answer(item: Item) -> Answer:
    return Answer(item.id, "ada", _clock(), {"score": 1.0})


@asynccontextmanager
async def _desk(home: Path) -> AsyncIterator[tuple[StoreDesk, Store, list[Any]]]:
    told: list[Any] = []

    def take(record: Record) -> None:
        told.append(record.event.type)

    with Store.open(home) as store:
        known = [row.run for row in store.runs()]
        row = (
            store.claim(RUN, this_process())
            if RUN in known
            else store.create_run(
                RUN, project="p", project_path=Path("/p"), owner=this_process(), seed=bytes(32)
            )
        )
        journal = Journal(row, Writer(store, inline), take)
        yield StoreDesk(RUN, store, journal, _clock), store, told


async def test_what_is_asked_about_another_proposal_withdraws_the_earlier(tmp_path: Path) -> None:
    """Where ids end in digits of the proposal: a question of the same name is not left open."""
    async with _desk(tmp_path) as (desk, store, _):
        first, second = _item("1.audit.ada~000001"), _item("1.audit.ada~000002")
        other = _item("1.audit.bob~000001")
        with trio.move_on_after(1):  # its run stops, and goes on with another proposal
            await desk.ask(first)
        async with trio.open_nursery() as nursery:
            for item in (other, second):
                nursery.start_soon(desk.ask, item)
            await trio.sleep(1)
            found = {one.item.id: one.state for one in store.items(state=None)}
            assert found == {first.id: "withdrawn", other.id: "open", second.id: "open"}
            assert desk.waiting == {ItemId(f"{RUN}.1.audit.ada"), ItemId(f"{RUN}.1.audit.bob")}
            nursery.cancel_scope.cancel()


async def test_an_answer_reaches_the_one_who_asked(tmp_path: Path) -> None:
    """The question is posted, then the answer is taken into the journal, once."""
    async with _desk(tmp_path) as (desk, store, told):
        item = _item()

        async def answer() -> None:
            await trio.sleep(5)
            store.answer(_answer(item))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            heard = await desk.ask(item)
        assert heard is not None
        assert heard.by == "ada"
        assert told == ["item.posted", "item.answered"]
        assert store.item(item.id).state == "answered"


async def test_a_question_that_nobody_answers_expires_and_goes_inert(tmp_path: Path) -> None:
    """The asker learns it, the item says so, and a late answer is refused with the reason."""
    async with _desk(tmp_path) as (desk, store, told):
        assert await desk.ask(_item()) is None
        assert told == ["item.posted", "item.closed"]
        with pytest.raises(BadInput, match="was expired"):
            store.answer(_answer(_item()))


async def test_an_answer_given_while_nobody_was_there_counts(tmp_path: Path) -> None:
    """A runtime that stopped, and asks again after the deadline, finds the answer given in time."""
    with trio.move_on_after(10):
        async with _desk(tmp_path) as (desk, _, _):
            await desk.ask(_item())
    with Store.open(tmp_path) as store:
        store.answer(_answer(_item()))
    await trio.sleep(1000)
    async with _desk(tmp_path) as (desk, _, told):
        heard = await desk.ask(_item())
        assert heard is not None
        assert told == ["item.answered"]


async def test_asking_again_is_not_a_second_question(tmp_path: Path) -> None:
    """An item that was answered gives the same answer to whoever asks again."""
    async with _desk(tmp_path) as (desk, store, told):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.ask, _item())
            await trio.sleep(1)
            store.answer(_answer(_item()))
        assert await desk.ask(_item()) == store.answered(_item().id)
        assert told == ["item.posted", "item.answered"]


async def test_withdrawing_makes_only_the_named_questions_inert(tmp_path: Path) -> None:
    """The others of the run go on waiting."""
    async with _desk(tmp_path) as (desk, store, _), trio.open_nursery() as nursery:
        nursery.start_soon(desk.ask, _item("1.audit", None))
        nursery.start_soon(desk.ask, _item("2.audit", None))
        await trio.sleep(1)
        await desk.withdraw(f"{RUN}.1.audit")
        states = {one.item.id[-7:]: one.state for one in store.items(state=None)}
        assert states == {"1.audit": "withdrawn", "2.audit": "open"}
        await trio.sleep(1)
        assert len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("jump", [86400.0, -86400.0])
async def test_setting_the_clock_neither_ends_a_question_nor_keeps_it_open(
    tmp_path: Path, jump: float
) -> None:
    """Set by a day either way while it waits, it is open for its minute and then expires."""
    expired = trio.Event()

    async def ask(desk: StoreDesk) -> None:
        assert await desk.ask(_item()) is None
        expired.set()

    async with _desk(tmp_path) as (desk, store, _), trio.open_nursery() as nursery:
        nursery.start_soon(ask, desk)
        await trio.sleep(1)
        JUMPED[0] = jump
        try:
            await trio.sleep(58)
            assert store.item(_item().id).state == "open"
            await trio.sleep(3)
            assert expired.is_set()
            assert store.item(_item().id).state == "expired"
        finally:
            JUMPED[0] = 0.0


async def test_an_answer_to_a_run_that_is_over_is_refused(tmp_path: Path) -> None:
    """Nothing would come of it; the person is told so."""
    async with _desk(tmp_path) as (desk, store, _), trio.open_nursery() as nursery:
        nursery.start_soon(desk.ask, _item())
        await trio.sleep(1)
        store._db.execute("UPDATE runs SET status = 'failed'")
        with pytest.raises(BadInput, match="which is failed"):
            store.answer(_answer(_item()))
        nursery.cancel_scope.cancel()
