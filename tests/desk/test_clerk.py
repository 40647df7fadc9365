"""The clerk: nothing is lost, nothing counts twice, and each is told what happened."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.clerk import Clerk, Voted
from monastery.auditor.desk.rules import Caller, Refused
from monastery.auditor.desk.views import Sheet
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.people import ROLES
from monastery.runtime.records import Item
from tests.desk.world import ADA, BOB, World, another


def _why(result: Any) -> str:
    return result.why if isinstance(result, Refused) else type(result).__name__


def test_two_votes_make_one_answer(world: World) -> None:
    """The reward's score is the blind one, the gate's decision the last one; both are kept."""
    item = world.put()
    assert world.clerk.next(ADA, world.now) == item.id
    assert world.take(ADA, item).stage == "first"
    first = world.vote(ADA, item, score=0.2, decision="reject", note="no tests")
    assert isinstance(first, Voted)
    assert not first.final
    assert world.answer(item) == {}
    sheet = world.take(ADA, item)
    assert sheet.stage == "second"
    assert sheet.mine is not None
    assert sheet.mine.body["score"] == 0.2
    second = world.vote(ADA, item, "second", score=0.9, decision="approve", note="persuaded")
    assert isinstance(second, Voted)
    assert second.final
    body = world.answer(item)
    assert (body["score"], body["decision"], body["note"]) == (0.2, "approve", "persuaded")
    assert body["digest"] == item.body["digest"]
    told = [(one["stage"], one["score"]) for one in body["desk"]["ballots"]]
    assert told == [("first", 0.2), ("second", 0.9)]


def test_one_vote_where_the_project_wants_one(world: World) -> None:
    """It is the answer at once, and the reasons are never shown."""
    item = world.put(desk={"two_votes": False})
    sheet = world.take(ADA, item)
    assert sheet.last
    assert sheet.reasons is None
    assert world.vote(ADA, item).final
    assert world.answer(item)["score"] == 0.8


Case = Callable[[World, Item], None]


def _expire(world: World, item: Item) -> None:
    world.pass_seconds(2 * 3600)


def _withdraw(world: World, item: Item) -> None:
    world.questions.close(item, "withdrawn")


def _change(world: World, item: Item) -> None:
    world.questions.close(item, "withdrawn")
    from dataclasses import replace

    world.questions.put(replace(item, id=type(item.id)(f"{item.id}~2")))


def _someone_answers(world: World, item: Item) -> None:
    world.pass_seconds(1300)
    world.take(BOB, item)
    assert isinstance(world.vote(BOB, item), Voted)
    world.take(BOB, item)
    assert world.vote(BOB, item, "second").final


def _someone_takes(world: World, item: Item) -> None:
    world.pass_seconds(1300)
    world.take(BOB, item)


def _run_is_over(world: World, item: Item) -> None:
    world.book._db.execute("UPDATE runs SET status = 'done'")


def _closed_as_answered(world: World, item: Item) -> None:
    world.questions.close(item, "answered")


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (_expire, "expired"),
        (_withdraw, "withdrawn"),
        (_change, "changed"),
        (_someone_answers, "answered"),
        (_someone_takes, "taken"),
        (_closed_as_answered, "answered"),
    ],
)
def test_a_vote_that_comes_too_late_is_kept_and_does_not_count(
    world: World, happens: Case, why: str
) -> None:
    """Whatever happened between view and vote, the answer is untouched and the ballot is there."""
    item = world.put()
    world.take(ADA, item)
    happens(world, item)
    before = world.answer(item)
    assert _why(world.vote(ADA, item, note="my work")) == why
    assert world.answer(item) == before
    (ballot,) = world.book.ballots(item.id, "ada")
    assert not ballot.counts
    assert ballot.body["note"] == "my work"
    shown = world.clerk.show(ADA, item.id, world.now)
    assert _why(shown) == why


def test_a_run_that_is_over_wants_no_answer(world: World) -> None:
    """Its questions are handed out to nobody, and a vote on one does not count."""
    item = world.put(desk={"two_votes": False})
    world.take(ADA, item)
    _run_is_over(world, item)
    assert _why(world.clerk.next(BOB, world.now)) == "nothing"
    assert _why(world.vote(ADA, item)) == "withdrawn"
    assert world.answer(item) == {}
    (ballot,) = world.book.ballots(item.id, "ada")
    assert not ballot.counts


@pytest.mark.parametrize(
    ("purpose", "said", "names"),
    [
        ("audit", {"score": 1.5}, "score"),
        ("audit", {"score": float("nan")}, "score"),
        ("audit", {"score": "0.5"}, "score"),
        ("audit", {"decision": "maybe"}, "decision"),
        ("audit", {"decision": "modify"}, "modified_base64"),
        ("audit", {"modified_base64": "AA=="}, "modified_base64"),
        ("audit", {"planted": True}, "planted"),
        ("audit", {"note": "\ud800"}, ""),
        ("audit", {"note": "x" * 100_001}, "note"),
        ("gate", {"score": 0.5}, "score"),
        ("ask", {"decision": "approve"}, ""),
        ("human", {}, ""),
    ],
)
def test_nonsense_is_refused_and_leaves_nothing(
    world: World, purpose: Any, said: dict[str, Any], names: str
) -> None:
    """The line names the field; the question stays open and can be answered."""
    item = world.put(purpose=purpose)
    world.take(ADA, item)
    refused = world.vote(ADA, item, **said)
    assert isinstance(refused, Refused)
    assert refused.why == "invalid"
    assert names in refused.text
    assert "\n" not in refused.text
    assert world.book.ballots(item.id, "ada") == []
    assert isinstance(world.clerk.show(ADA, item.id, world.now), Sheet)


def test_a_page_that_sends_twice_votes_once(world: World) -> None:
    """The connection broke, the browser sends again: the same is told, and there is one ballot."""
    item = world.put(desk={"two_votes": False})
    world.take(ADA, item)
    once = world.vote(ADA, item, slip="page")
    again = world.vote(ADA, item, slip="page")
    assert once.final
    assert again.final
    assert again.again
    assert len(world.book.ballots(item.id, "ada")) == 1


def test_two_tabs_vote_once(world: World) -> None:
    """The second tab's first vote does not count, nor does a second vote before the first."""
    item = world.put()
    world.take(ADA, item)
    assert _why(world.vote(ADA, item, "second")) == "invalid"
    assert not world.vote(ADA, item, score=0.1).final
    world.pass_seconds(5)
    assert _why(world.vote(ADA, item, score=0.9)) == "voted"
    assert world.take(ADA, item).stage == "second"
    assert world.vote(ADA, item, "second", score=0.9).final
    assert world.answer(item)["score"] == 0.1


def test_a_server_that_restarts_between_view_and_vote_loses_nothing(world: World) -> None:
    """Claim and first vote lie in the store; another process takes the second."""
    item = world.put()
    world.take(ADA, item)
    assert isinstance(world.vote(ADA, item, score=0.3), Voted)
    world.pass_seconds(5)
    with another(world) as clerk:
        sheet = clerk.show(ADA, item.id, world.now)
        assert isinstance(sheet, Sheet)
        assert sheet.stage == "second"
        world.pass_seconds(5)
        given = Given("second", "after", {"decision": "approve", "score": 0.4})
        voted = clerk.vote(ADA, item.id, given, world.now)
    assert isinstance(voted, Voted)
    assert world.answer(item)["score"] == 0.3


def test_a_fresh_page_is_not_answered_by_hand(world: World) -> None:
    """A key meant for the page before decides nothing; a program has no fingers."""
    item = world.put()
    world.clerk.show(ADA, item.id, world.now)
    world.pass_seconds(0.4)
    assert _why(world.vote(ADA, item)) == "hasty"
    assert world.book.ballots(item.id, "ada") == []
    assert isinstance(world.vote(ADA, item, by_hand=False), Voted)
    world.pass_seconds(0.4)
    assert _why(world.vote(ADA, item, "second")) == "hasty"


def test_the_oldest_is_handed_out_and_only_once(world: World) -> None:
    """Who asks again gets what they have; the next person gets the next one."""
    items = [world.put(step) for step in (1, 2, 3)]
    assert world.clerk.next(ADA, world.now) == items[0].id
    assert world.clerk.next(ADA, world.now) == items[0].id
    assert world.clerk.next(BOB, world.now) == items[1].id
    assert _why(world.clerk.show(BOB, items[0].id, world.now)) == "taken"
    assert world.clerk.count(ADA, world.now) == 2


def test_a_lease_runs_out_unless_the_page_lives(world: World) -> None:
    """A sign of life renews it; without one the question goes to the next."""
    item = world.put(expires_seconds=None)
    world.take(ADA, item)
    for _ in range(4):
        world.pass_seconds(700)
        assert world.clerk.state(ADA, item.id, world.now) is None
    assert _why(world.clerk.next(BOB, world.now)) == "nothing"
    world.pass_seconds(1201)
    assert world.clerk.next(BOB, world.now) == item.id
    refused = world.clerk.state(ADA, item.id, world.now)
    assert refused is not None
    assert refused.why == "taken"


def test_a_skip_has_a_reason_and_leaves_it_to_others(world: World) -> None:
    """It comes up for others, and not again for who skipped it."""
    item = world.put()
    assert world.clerk.next(ADA, world.now) == item.id
    refused = world.clerk.skip(ADA, item.id, "  ", world.now)
    assert refused is not None
    assert refused.why == "invalid"
    assert world.clerk.skip(ADA, item.id, "I know its author", world.now) is None
    assert _why(world.clerk.next(ADA, world.now)) == "nothing"
    assert world.clerk.count(ADA, world.now) == 0
    assert world.clerk.next(BOB, world.now) == item.id


@pytest.mark.parametrize(
    ("purpose", "body", "roles", "why"),
    [
        ("audit", {}, ["runner", "approver", "admin", "researcher"], "forbidden"),
        ("audit", {}, ["auditor"], "Sheet"),
        ("gate", {}, ["auditor"], "forbidden"),
        ("gate", {}, ["approver"], "Sheet"),
        ("ask", {}, ["auditor"], "forbidden"),
        ("human", {}, ["runner"], "Sheet"),
        ("audit", {"for": "ada"}, ["auditor"], "forbidden"),
        ("audit", {"for": "nobody-here"}, ["auditor"], "Sheet"),
        ("audit", {"for": "eve"}, ["auditor"], "Sheet"),
        ("audit", {"desk": {"runner": "eve"}}, ["auditor"], "Sheet"),
        ("audit", {"desk": {"runner": "eve", "runner_may": False}}, ["auditor"], "forbidden"),
        ("audit", {"desk": {"runner": "ada", "runner_may": False}}, ["auditor"], "Sheet"),
        ("audit", {"desk": {"role": "adjudicator"}}, ["auditor"], "forbidden"),
        ("audit", {"desk": {"role": "adjudicator"}}, ["adjudicator"], "Sheet"),
    ],
)
def test_who_may(world: World, purpose: Any, body: Any, roles: Any, why: str) -> None:
    """By role, by whom it is for, and by who runs the run; handing out obeys the same rule."""
    item = world.put(purpose=purpose, **body)
    eve = world.add("eve", *roles)
    assert _why(world.clerk.show(eve, item.id, world.now)) == why
    world.clerk.book.drop_claim(item.id)
    assert (world.clerk.next(eve, world.now) == item.id) == (why == "Sheet")


def test_one_opinion_each_and_two_people_for_what_is_irreversible(world: World) -> None:
    """Of several seats on one step nobody takes two, neither by asking nor by voting."""
    desk = {"opinion": "run-1.2", "panel": True, "two_votes": False}
    one, two = (world.put(step, desk=desk) for step in (1, 2))
    world.take(ADA, one)
    assert world.vote(ADA, one).final
    assert _why(world.clerk.next(ADA, world.now)) == "nothing"
    assert _why(world.vote(ADA, two)) == "forbidden"
    assert world.clerk.next(BOB, world.now) == two.id
    world.take(BOB, two)
    assert world.vote(BOB, two).final


def test_what_is_undone_in_time_is_appended(world: World) -> None:
    """The answer that the run takes is the corrected one, and holds the ballot before it."""
    item = world.put(desk={"two_votes": False})
    world.take(ADA, item)
    voted = world.vote(ADA, item, decision="approve")
    assert voted.undo_until == world.now + timedelta(seconds=9)
    given = Given("first", "undo", {"decision": "reject", "score": 0.1, "note": "wrong key"})
    world.pass_seconds(8.9)
    corrected = world.clerk.correct(ADA, item.id, given, world.now)
    assert isinstance(corrected, Voted)
    assert corrected.undo_until == world.now + timedelta(seconds=9)
    body = world.answer(item)
    assert (body["decision"], body["score"]) == ("reject", 0.1)
    assert [one["decision"] for one in body["desk"]["ballots"]] == ["approve", "reject"]
    given = Given("first", "later", {"decision": "approve", "score": 0.5})
    world.pass_seconds(9)
    assert _why(world.clerk.correct(ADA, item.id, given, world.now)) == "late"
    assert world.answer(item) == body
    kept = world.book.ballots(item.id, "ada")
    assert [(one.stage, one.counts) for one in kept] == [
        ("first", True),
        ("correction", True),
        ("correction", False),
    ]


def test_who_thinks_again_keeps_the_run_waiting_but_not_for_ever(world: World) -> None:
    """The answer is held for two minutes; then the run takes what was said first."""
    item = world.put(desk={"two_votes": False})
    world.take(ADA, item)
    assert world.vote(ADA, item).final
    refused = world.clerk.hold(BOB, item.id, world.now)
    assert refused is not None
    assert refused.why == "late"
    assert world.clerk.hold(ADA, item.id, world.now) is None
    answer = world.book.answered(item.id)
    assert answer is not None
    assert answer.due == world.now + timedelta(seconds=120)
    assert answer.body["decision"] == "approve"
    world.pass_seconds(119)
    given = Given("first", "undo", {"decision": "reject", "score": 0.1})
    assert _why(world.clerk.correct(ADA, item.id, given, world.now)) == "late"
    refused = world.clerk.hold(ADA, item.id, world.now)
    assert refused is not None


def test_a_correction_cannot_raise_a_blind_score(world: World) -> None:
    """After the rationale the reward's score is fixed, whatever is corrected."""
    item = world.put()
    world.take(ADA, item)
    assert isinstance(world.vote(ADA, item, score=0.2), Voted)
    world.take(ADA, item)
    assert world.vote(ADA, item, "second", score=0.9).final
    given = Given("second", "undo", {"decision": "reject", "score": 1.0})
    assert isinstance(world.clerk.correct(ADA, item.id, given, world.now), Voted)
    assert world.answer(item)["score"] == 0.2
    assert world.answer(item)["decision"] == "reject"


def test_nobody_corrects_for_another(world: World) -> None:
    """Whoever never answered, or whose ballot came too late, has nothing to take back."""
    item = world.put(desk={"two_votes": False})
    world.take(ADA, item)
    assert world.vote(ADA, item).final
    given = Given("first", "mine", {"decision": "reject", "score": 0.0})
    assert _why(world.clerk.correct(BOB, item.id, given, world.now)) == "forbidden"
    assert _why(world.vote(BOB, item)) == "answered"
    assert _why(world.clerk.correct(BOB, item.id, given, world.now)) == "forbidden"
    assert world.answer(item)["decision"] == "approve"


def test_a_first_vote_alone_is_no_answer_to_take_back(world: World) -> None:
    """Its author is told so; the second vote is still wanted."""
    item = world.put()
    world.take(ADA, item)
    assert not world.vote(ADA, item).final
    given = Given("first", "undo", {"decision": "reject", "score": 0.0})
    assert _why(world.clerk.correct(ADA, item.id, given, world.now)) == "forbidden"
    world.take(ADA, item)
    assert world.vote(ADA, item, "second").final


def test_undo_never_outlasts_the_deadline(world: World) -> None:
    """An answer given in the last seconds is there to be taken before its question expires."""
    item = world.put(desk={"two_votes": False}, expires_seconds=9.0)
    world.take(ADA, item)
    voted = world.vote(ADA, item)
    answer = world.book.answered(item.id)
    assert voted.final
    assert answer is not None
    assert item.deadline is not None
    assert answer.due is None or answer.due < item.deadline


def test_many_who_race_get_each_question_once(world: World) -> None:
    """Eight people on eight connections: no question is claimed or answered twice, none is lost."""
    items = [world.put(step, desk={"two_votes": False}) for step in range(1, 41)]
    names = [f"p{number}" for number in range(8)]
    callers = [world.add(name, *ROLES) for name in names]
    done: Counter[str] = Counter()
    refused: list[Refused] = []
    start = threading.Barrier(len(callers))

    def judge(caller: Caller) -> None:
        with DeskBook.open(world.home) as book:
            clerk = Clerk(book)
            start.wait()
            while isinstance(item := clerk.next(caller, world.now), str):
                said = {"decision": "approve", "score": 0.5}
                given = Given("first", "only", said, by_hand=False)
                voted = clerk.vote(caller, item, given, world.now)
                if isinstance(voted, Refused):
                    refused.append(voted)
                else:
                    done[item] += 1

    threads = [threading.Thread(target=judge, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    assert done == Counter({item.id: 1 for item in items})
    assert all(world.answer(item)["decision"] == "approve" for item in items)


def test_all_who_race_for_one_question_are_told(world: World) -> None:
    """One vote counts; the others are told so, and theirs are kept."""
    item = world.put(desk={"two_votes": False})
    callers = [world.add(f"p{number}", *ROLES) for number in range(6)]
    results: list[str] = []
    start = threading.Barrier(len(callers))

    def judge(caller: Caller) -> None:
        with DeskBook.open(world.home) as book:
            start.wait()
            given = Given("first", caller.name, {"decision": "reject", "score": 0.0}, by_hand=False)
            results.append(_why(Clerk(book).vote(caller, item.id, given, world.now)))

    threads = [threading.Thread(target=judge, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(results) == Counter({"Voted": 1, "answered": 5})
    kept = [one for caller in callers for one in world.book.ballots(item.id, caller.name)]
    assert sorted(one.counts for one in kept) == [False] * 5 + [True]
