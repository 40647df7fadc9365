"""Votes below the floor go to an adjudicator; few mistakes hold nobody, and who is held is told."""

import pytest

from monastery.auditor.desk.clerk import Voted
from monastery.auditor.desk.planting import is_held, recall_of
from monastery.auditor.desk.rules import HELD, Refused
from monastery.runtime.cli.audit_seat import seat
from monastery.runtime.planted import below
from tests.desk.planting import handed, judge, known, planting, put, through
from tests.desk.world import ADA, World


@pytest.mark.parametrize(
    ("right", "of", "held"),
    [(0, 0, False), (0, 3, False), (0, 4, True), (1, 6, False), (1, 7, True), (7, 10, False)],
)
def test_few_mistakes_hold_nobody(right: int, of: int, held: bool) -> None:
    """Votes are held when the share is surely below the floor; worked out by hand for these."""
    assert below(right, of, 0.7) is held


def test_who_is_good_enough_is_rarely_held_however_often_one_looks() -> None:
    """At a true recall that is the floor, over 60 looks each: not more than 5 % and its error."""
    import random

    lots, people = random.Random(7), 2000
    held = 0
    for _ in range(people):
        right = 0
        for of in range(1, 61):
            right += lots.random() < 0.7
            if below(right, of, 0.7):
                held += 1
                break
    assert held / people < 0.05 + 3 * (0.05 * 0.95 / people) ** 0.5


def _make_held(world: World) -> None:
    """Let ada let four bad ones through."""
    planting(world, *(known(f"bad-{n}", b"rm %d\n" % n) for n in range(9)))
    for step in range(1, 5):
        through(world, ADA, step, decision="approve")
        item = handed(world, ADA)
        world.clerk.skip(ADA, item, "later", world.now)
    assert is_held(recall_of(world.book.judged("ada")), 0.7)


def test_votes_below_the_floor_are_held_for_an_adjudicator(world: World) -> None:
    """The run gets the adjudicator's answer, with the held one beside; its author is told."""
    _make_held(world)
    real = put(world, 20, rate=0.0, floor=0.7)
    world.take(ADA, real)
    world.vote(ADA, real, decision="approve", score=0.9)
    world.pass_seconds(5)
    last = world.vote(ADA, real, "second", decision="approve", score=0.9)
    assert last.final
    assert last.undo_until is None
    assert world.answer(real) == {}
    told = world.clerk.show(ADA, real.id, world.now)
    assert isinstance(told, Refused)
    assert told.why == "voted"
    assert "adjudicator" in told.text
    cleo = world.add("cleo", "auditor")
    refused = world.clerk.show(cleo, real.id, world.now)
    assert isinstance(refused, Refused)
    assert refused.why == "forbidden"
    assert world.clerk.count(cleo, world.now) == 4
    dora = world.add("dora", "adjudicator")
    sheet = world.take(dora, real)
    assert (sheet.stage, sheet.reasons, sheet.mine) == ("first", None, None)
    world.vote(dora, real, decision="reject", score=0.2)
    world.pass_seconds(5)
    assert world.vote(dora, real, "second", decision="reject", score=0.2).final
    found = world.book.answered(real.id)
    assert found is not None
    assert (found.by, found.body["decision"], found.body["score"]) == ("dora", "reject", 0.2)
    held = found.body["desk"]["held"]
    assert held["by"] == "ada"
    assert [one["decision"] for one in held["ballots"]] == ["approve", "approve"]


def test_an_adjudicator_gets_the_held_one_and_nothing_planted_before_it(world: World) -> None:
    """It waits long enough already; and who is no auditor could not judge a planted one."""
    _make_held(world)
    real = put(world, 20, floor=0.7)
    judge(world, ADA, handed(world, ADA))
    assert handed(world, ADA) == real.id
    judge(world, ADA, real.id)
    dora = world.add("dora", "adjudicator")
    assert world.clerk.count(dora, world.now) == 1
    assert handed(world, dora) == real.id
    assert judge(world, dora, real.id, decision="reject").final
    assert world.answer(real)["decision"] == "reject"


def test_a_vote_from_a_terminal_is_held_too(world: World) -> None:
    """It goes to an adjudicator, and its author is told; in other projects it counts."""
    _make_held(world)
    real, other = put(world, 20, rate=0.0, floor=0.7), put(world, 21, rate=0.0)
    ada = seat(world.book, "ada")
    said = {"decision": "approve", "score": 0.9, "note": ""}
    for item in (real, other):
        ada.say(item.id, said)
        voted = ada.say(item.id, said, stage="second")
        assert isinstance(voted, Voted), voted
    assert world.book.answered(real.id) is None
    assert ada.gone(real.id) == HELD
    assert world.book.answered(other.id) is not None


def test_a_floor_of_nothing_holds_nobody(world: World) -> None:
    """The same record counts where the project sets no floor."""
    _make_held(world)
    real = put(world, 20, rate=0.0)
    world.take(ADA, real)
    judge(world, ADA, real.id)
    assert world.answer(real)["decision"] == "approve"


def test_who_is_held_is_told_the_same_of_a_planted_one(world: World) -> None:
    """Else they would know it by what they are told, while they could still take it back."""
    _make_held(world)
    put(world, 20, floor=0.7)
    planted = handed(world, ADA)
    assert world.book.is_planted(planted)
    first = judge(world, ADA, planted)
    told = world.clerk.show(ADA, planted, world.now), world.clerk.hold(ADA, planted, world.now)
    real = handed(world, ADA)
    assert not world.book.is_planted(real)
    second = judge(world, ADA, real)
    assert (first.final, first.undo_until) == (second.final, second.undo_until) == (True, None)
    also = world.clerk.show(ADA, real, world.now), world.clerk.hold(ADA, real, world.now)
    assert told == also
    assert "adjudicator" in str(told[0])
