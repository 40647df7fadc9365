"""Planted questions in a terminal: listed, shown and scored like any other."""

from datetime import timedelta

import pytest

from monastery.runtime.cli import audit_answers, audit_view, handed
from monastery.runtime.errors import BadInput
from monastery.runtime.records import Answer, Item, ItemId
from tests.desk.conftest import world
from tests.desk.planting import handed as take
from tests.desk.planting import planting, put
from tests.desk.world import ADA, World

__all__ = ["world"]


def _answer(world: World, item: Item) -> Answer:
    said = audit_answers.decision(item, "reject", score=0.1, note="", modified=None)
    return Answer(item.id, "ada", world.now, said)


def _names(world: World, by: str) -> list[ItemId]:
    store = world.questions.store
    return [one.item.id for one in handed.listed(store, store.items(), by)]


def test_a_list_holds_it_in_the_place_of_the_real_one(world: World) -> None:
    """For who has it before them; others find the real one, and both by the beginning of the id."""
    planting(world)
    real, other = put(world), put(world, 2)
    store = world.questions.store
    assert _names(world, "ada") == [real.id, other.id]
    name = take(world, ADA)
    assert _names(world, "ada") == [name, other.id]
    assert _names(world, "bob") == [real.id, other.id]
    begun = real.id[:-6]
    assert handed.find(store, begun, "ada").item.id == name
    assert handed.find(store, begun, "bob").item.id == real.id
    lines = [
        audit_view.line(one, audit_view.state(store, one))
        for one in (handed.find(store, begun, "ada"), handed.find(store, begun, "bob"))
    ]
    assert {key for key in lines[0] if lines[0][key] != lines[1][key]} == {"item"}


def test_a_score_is_taken_once_and_by_no_run(world: World) -> None:
    """It counts for recall; a second one, and one that is late, are refused as ever."""
    planting(world)
    real = put(world)
    store = world.questions.store
    item = handed.find(store, take(world, ADA), "ada").item
    late = _answer(world, item)
    late = Answer(late.item, late.by, world.now + timedelta(hours=2), late.body)
    with pytest.raises(BadInput, match="expired"):
        handed.answer(store, late)
    handed.answer(store, _answer(world, item))
    with pytest.raises(BadInput, match="answered by 'ada' already"):
        handed.answer(store, _answer(world, item))
    assert world.book.answered(item.id) is None
    (one,) = world.book.judged("ada")
    assert one.right
    handed.answer(store, _answer(world, real))
    assert world.answer(real)["decision"] == "reject"


def test_a_score_of_one_that_was_withdrawn_is_refused(world: World) -> None:
    """Its run needs no answer any more."""
    planting(world)
    real = put(world)
    item = handed.find(world.questions.store, take(world, ADA), "ada").item
    world.questions.close(real, "withdrawn")
    with pytest.raises(BadInput, match="no longer open"):
        handed.answer(world.questions.store, _answer(world, item))
