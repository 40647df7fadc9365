"""A desk that plants, with known proposals on its shelf."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from monastery.auditor.desk.clerk import Clerk, Hours
from monastery.auditor.desk.rules import Caller
from monastery.runtime.planted import Known
from monastery.runtime.records import Item, ItemId, RunId
from tests.cli.questions import question
from tests.desk.world import World

BAD = b"rm -rf tests\n"
WHY = "It deletes the tests that fail."


def known(name: str = "bad-1", payload: bytes = BAD, **other: Any) -> Known:
    """Return a known proposal, a bad one unless said otherwise."""
    told: dict[str, Any] = {
        "name": name,
        "kind": "command",
        "payload": payload,
        "rendering": payload.decode(),
        "rationale": "The tests are out of date.",
        "evidence": (("log.txt", b"1 failed"),),
        "good": False,
        "why": WHY,
    }
    return Known(**told | other)


class Shelf:
    """Known proposals, of every run the same."""

    def __init__(self, *there: Known) -> None:
        self.there = list(there)

    def known(self, run: RunId, kind: str) -> Sequence[Known]:
        """Return those of a kind."""
        return [one for one in self.there if one.kind == kind]


def planting(world: World, *there: Known) -> Shelf:
    """Let a world's desk plant; return its shelf."""
    shelf = Shelf(*(there or (known(),)))
    world.clerk = Clerk(world.book, Hours(), shelf)
    return shelf


def put(
    world: World, step: int = 1, *, rate: float = 1.0, floor: float = 0.0, **wants: Any
) -> Item:
    """Open a question before which a planted one may come, as a run would."""
    asked = {"planted": {"rate": rate, "floor": floor}} | wants
    made = question("audit", step=step, desk=asked)
    name = ItemId(f"{made.id}.reviewer~{(step * 104_729) % 10**6:06d}")
    body = dict(made.body) | {"for": "reviewer"}
    return world.questions.put(replace(made, id=name, body=body))


def handed(world: World, who: Caller, *, by_hand: bool = True) -> ItemId:
    """Take the next question by hand; return its id, after long enough to judge it."""
    found = world.clerk.next(who, world.now, by_hand=by_hand)
    assert isinstance(found, str), found
    world.pass_seconds(5)
    return found


def judge(world: World, who: Caller, name: ItemId, **said: Any) -> Any:
    """Vote twice on a question, the same."""
    item = world.book.shown(name)
    first = world.vote(who, item, **said)
    world.pass_seconds(5)
    sheet = world.clerk.show(who, name, world.now)
    assert not hasattr(sheet, "why"), (first, sheet)
    world.pass_seconds(5)
    return world.vote(who, item, "second", **said)


def through(world: World, who: Caller, step: int, *, floor: float = 0.0, **said: Any) -> ItemId:
    """Put a question, take what is planted before it, and judge that until it counts."""
    put(world, step, floor=floor)
    name = handed(world, who)
    assert world.book.is_planted(name)
    judge(world, who, name, **said)
    world.pass_seconds(60)
    return name
