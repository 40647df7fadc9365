"""When an answer may be taken: the run waits until its author cannot take it back any more."""

from datetime import timedelta
from pathlib import Path

import pytest
import trio

from monastery.runtime.records import Answer
from tests.runtime.test_desk import _clock, _desk, _item

pytestmark = pytest.mark.virtual


async def test_an_answer_is_taken_when_it_is_due(tmp_path: Path) -> None:
    """Not before, although it lies there; and what is taken is what lies there then."""
    async with _desk(tmp_path) as (desk, store, _):
        item = _item(seconds=600.0)
        due = _clock() + timedelta(seconds=30)
        first = Answer(item.id, "ada", _clock(), {"score": 1.0}, due)

        async def answer() -> None:
            await trio.sleep(5)
            store.answer(first)
            await trio.sleep(20)
            store._db.execute("UPDATE answers SET body = ?", (b'{"score":0.0}',))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            heard = await desk.ask(item)
        assert heard is not None
        assert heard.body == {"score": 0.0}
        assert _clock() >= due
        assert trio.current_time() < 31


async def test_an_answer_that_is_not_due_at_the_deadline_counts(tmp_path: Path) -> None:
    """It was given in time; nobody loses their vote to their own second thoughts."""
    async with _desk(tmp_path) as (desk, store, told):
        item = _item(seconds=20.0)
        store_due = _clock() + timedelta(seconds=300)

        async def answer() -> None:
            await trio.sleep(10)
            store.answer(Answer(item.id, "ada", _clock(), {"score": 1.0}, store_due))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            heard = await desk.ask(item)
        assert heard is not None
        assert told == ["item.posted", "item.answered"]
