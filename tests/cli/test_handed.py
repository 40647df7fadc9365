"""Planted questions in a terminal: listed, shown and scored like any other."""

from monastery.auditor.desk.clerk import Voted
from monastery.auditor.desk.rules import COUNTED, Refused
from monastery.runtime.cli import audit_view, handed
from monastery.runtime.cli.audit_seat import seat
from monastery.runtime.records import ItemId
from tests.desk.conftest import world
from tests.desk.planting import handed as take
from tests.desk.planting import planting, put
from tests.desk.world import ADA, World

__all__ = ["world"]


def _names(world: World, by: str) -> list[ItemId]:
    return [one.item.id for one in handed.listed(world.book, world.book.items(), by)]


def test_a_list_holds_it_in_the_place_of_the_real_one(world: World) -> None:
    """For who has it before them; others find the real one, and both by the beginning of the id."""
    planting(world)
    real, other = put(world), put(world, 2)
    assert _names(world, "ada") == [real.id, other.id]
    name = take(world, ADA)
    assert _names(world, "ada") == [name, other.id]
    assert _names(world, "bob") == [real.id, other.id]
    begun = real.id[:-6]
    assert handed.find(world.book, begun, "ada").item.id == name
    assert handed.find(world.book, begun, "bob").item.id == real.id
    lines = [
        audit_view.line(one, audit_view.state(world.book, one))
        for one in (handed.find(world.book, begun, "ada"), handed.find(world.book, begun, "bob"))
    ]
    assert {key for key in lines[0] if lines[0][key] != lines[1][key]} == {"item"}


def test_it_is_judged_at_a_terminal_like_any_other(world: World) -> None:
    """Offered in the real one's place, taken once, and by no run; then the real one comes."""
    planting(world)
    real = put(world)
    name, ada = take(world, ADA), seat(world.book, "ada")
    assert [one.item for one in ada.offered(None)] == [name]
    said = {"decision": "reject", "score": 0.1, "note": ""}
    for stage in ("first", "second"):
        voted = ada.say(name, said, stage=stage)
        assert isinstance(voted, Voted), voted
    assert ada.say(name, said, stage="second") == COUNTED
    assert world.book.answered(name) is None
    (one,) = world.book.judged("ada")
    assert one.right
    assert [one.item for one in ada.offered(None)] == [real.id]


def test_one_that_was_withdrawn_is_refused(world: World) -> None:
    """Its run needs no answer any more."""
    planting(world)
    real = put(world)
    name, ada = take(world, ADA), seat(world.book, "ada")
    world.questions.close(real, "withdrawn")
    refused = ada.say(name, {"decision": "reject", "score": 0.1, "note": ""})
    assert isinstance(refused, Refused)
    assert refused.why == "withdrawn"
