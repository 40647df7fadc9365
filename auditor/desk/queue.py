"""The queue: hands out questions one at a time, and says who may have which.

Everything that changes something is one turn of the book, so that two who race come one after the
other. What is refused is told with a reason.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

from monastery.auditor.desk import ballots, rules, views
from monastery.auditor.desk.book import Book
from monastery.auditor.desk.planting import Planter, Shelf
from monastery.auditor.desk.rules import Caller, Refused
from monastery.auditor.desk.views import Sheet
from monastery.runtime.people import Ballot, Claim, Person, Question, Skip, Standing
from monastery.runtime.records import ItemId

MOST_COUNTED = 100
_MOST_READ = 500
"""So many of what waits are read for all who ask how many there are."""


@dataclass(frozen=True, slots=True)
class Hours:
    """How long things last at the desk [seconds].

    Attributes:
        lease: How long a question is someone's without a sign of life.
        fresh: How long a page must have been before someone until they can answer it.
        undo: How long an answer can be taken back before its run takes it.
        hold: How long the run waits for another answer when one is taken back.
    """

    lease: float = 1200.0
    fresh: float = 0.5
    undo: float = 10.0
    hold: float = 120.0


@dataclass(frozen=True, slots=True)
class Dug:
    """A question on which someone may have a shell in a copy of its box, at a stage of theirs."""

    question: Question
    stage: Literal["first", "second"]


@dataclass(frozen=True, slots=True)
class _Facts:
    """Where it is looked up who has an account, who sits, and who has what before them."""

    account: Callable[[str], Person | None]
    sits: Callable[[str], bool]
    claim: Callable[[ItemId], Claim | None]
    held: Callable[[ItemId], str | None]


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of the book at one version of it."""

    version: tuple[int, int]
    at: datetime
    waiting: list[Standing]
    claims: dict[ItemId, Claim]
    people: dict[str, Person]
    held: dict[str, str]


class Queue:
    """One book's questions.

    Args:
        book: The rows.
        hours: How long things last.
        shelf: Proposals of which it is known whether they are good; None plants nothing.
    """

    def __init__(self, book: Book, hours: Hours | None = None, shelf: Shelf | None = None) -> None:
        self.book = book
        self.hours = hours or Hours()
        self._planter = None if shelf is None else Planter(book, shelf)
        self._read: _Read | None = None

    def next(self, caller: Caller, now: datetime, *, by_hand: bool = False) -> ItemId | Refused:
        """Claim the oldest question that the caller may answer; one that they have comes first.

        Args:
            caller: Who asks.
            now: The time.
            by_hand: Whether eyes and fingers have a part in it: a program is handed nothing that is
                planted.
        """
        with self.book.turn():
            self.book.reveal(now)
            for claim in self.book.claims(caller.name):
                if self._refusal(claim.item, caller, now) is None:
                    return claim.item
                self.book.drop_claim(claim.item)
            for question in self._free(caller, now):
                item = question.item
                held = self._held_by(item) is not None  # it waits for an adjudicator already
                if by_hand and self._planter is not None and not held:
                    item = self._planter.before(question, caller.name, now) or item
                self._claim(item, caller, now)
                return item
        return Refused("nothing", "Nothing waits for you.")

    def offered(self, caller: Caller, now: datetime) -> Iterator[Question]:
        """Yield what the caller may answer and did not skip, the oldest first; claims nothing.

        What is planted and was handed to them stands in the place of the real question.
        """
        planted = {one.stands_for: one.standing for one in self.book.standins(caller.name)}
        for question in self._free(caller, now):
            standin = planted.get(question.item)
            if standin is not None and self._why_not(standin, caller, now) is None:
                yield standin.question
            else:
                yield question

    def _free(self, caller: Caller, now: datetime) -> Iterator[Question]:
        """Yield what runs ask and the caller may answer now, the oldest first."""
        hidden = self.book.skipped(caller.name) | self.book.shadowed(caller.name, now)
        for standing in self.book.waiting():
            question = standing.question
            if question.item not in hidden and self._why_not(standing, caller, now) is None:
                yield question

    def strangers(self) -> list[str]:
        """Return whom what waits is for, by name, who have no account: anyone may answer for them.

        Reads as much of the queue as its counts do.
        """
        asked = {
            standing.question.asked
            for standing in islice(self.book.waiting(), _MOST_READ)
            if standing.question.asked and not standing.question.panel
        }
        living = {person.name for person in self.book.people() if person.left is None}
        return sorted(asked - living)

    def take(self, caller: Caller, now: datetime) -> Sheet | Refused:
        """Put the next question before the caller, in one turn."""
        with self.book.turn():
            found = self.next(caller, now)
            return found if isinstance(found, Refused) else self.show(caller, found, now)

    def close(self, now: datetime) -> None:
        """Reveal what was committed to; for when the desk is closed."""
        if self._planter is not None:
            self._planter.close(now)

    def count(self, caller: Caller, now: datetime, *, stale_seconds: float = 0.0) -> int:
        """Return how many questions wait that the caller may answer, at most `MOST_COUNTED`.

        Args:
            caller: Who asks.
            now: The time.
            stale_seconds: How old what was read of the queue may be.
        """
        waiting, facts = self._overview(caller, now, stale_seconds)
        found = self._count(waiting, caller, now, facts)
        if found < MOST_COUNTED and len(waiting) == _MOST_READ:
            # Who may take little of what is oldest is counted by all of it.
            found = self._count(self.book.waiting(), caller, now, facts)
        return found

    def _count(
        self, waiting: Iterable[Standing], caller: Caller, now: datetime, facts: "_Facts"
    ) -> int:
        skipped = self.book.skipped(caller.name)
        planted = [
            one
            for one in self.book.standins(caller.name)
            if one.standing.question.item not in skipped
            and self._why_not(one.standing, caller, now, facts) is None
        ]
        # A planted question is counted in the place of the real one: taking it moves no number. And
        # what stands behind it does not come back while its judgement can be taken back.
        hidden = {one.stands_for for one in planted} | self.book.shadowed(caller.name, now)
        theirs = (
            standing
            for standing in waiting
            if standing.question.item not in skipped
            and standing.question.item not in hidden
            and self._why_not(standing, caller, now, facts) is None
        )
        return min(MOST_COUNTED, len(planted) + sum(1 for _ in islice(theirs, MOST_COUNTED)))

    def _overview(
        self, caller: Caller, now: datetime, stale_seconds: float
    ) -> tuple[list[Standing], "_Facts"]:
        """Return what waits, and what is to be known of it, read once for all who ask.

        Every open page asks whenever anyone has written.
        """
        version = self.book.version()
        young = self._read is not None and (now - self._read.at).total_seconds() < stale_seconds
        if self._read is None or not (young or self._read.version == version):
            self._read = _Read(
                version,
                now,
                list(islice(self.book.waiting(), _MOST_READ)),
                {claim.item: claim for claim in self.book.all_claims()},
                {person.name: person for person in self.book.people()},
                self.book.held_votes(),
            )
        read, sits = self._read, self.book.opinions(caller.name)
        facts = _Facts(read.people.get, sits.__contains__, read.claims.get, read.held.get)
        return read.waiting, facts

    def show(self, caller: Caller, item: str, now: datetime) -> Sheet | Refused:
        """Put a question before the caller, who has it from now on, if they may."""
        with self.book.turn():
            refused = self._refusal(item, caller, now)
            if refused is not None:
                return refused
            claim = self._claim(ItemId(item), caller, now)
        return self._sheet(claim.item, caller, claim.until)

    def look(self, caller: Caller, item: str, now: datetime) -> Sheet | Refused:
        """Return what `show` would, without a claim: for what belongs to an open page."""
        refused = self._refusal(item, caller, now)
        return refused or self._sheet(ItemId(item), caller, now)

    def state(self, caller: Caller, item: str, now: datetime) -> Refused | None:
        """Return why the caller cannot answer a question any more; None while they can.

        A sign of life: the lease of what they have before them is renewed.
        """
        refused = self._refusal(item, caller, now)
        if refused is not None:
            return refused
        claim = self.book.claim_of(ItemId(item))
        if claim is not None and claim.person == caller.name:
            left = (claim.until - now).total_seconds()
            if left < self.hours.lease / 2:
                with self.book.turn():
                    self._claim(claim.item, caller, now, shown=claim.shown)
        return None

    def may_dig(self, caller: Caller, item: str, now: datetime) -> Dug | Refused:
        """Return on what the caller may have a shell in a copy of the box, if they may.

        Only who has the question before them, as long as they have it, and not before the project
        lets them: what lies in a box can say what a first vote shall not know.
        """
        sheet = self.look(caller, item, now)
        if isinstance(sheet, Refused):
            return sheet
        claim = self.book.claim_of(ItemId(item))
        if claim is None or claim.person != caller.name or now >= claim.until:
            return Refused("taken", "You do not have this question before you any more.")
        standing = self.book.standing(item)
        assert standing is not None, "what is shown is there"
        if not sheet.dig:
            later = standing.question.dig == "second" and staged(standing.question)
            text = "Vote first; then you may." if later else "This project does not allow it."
            return Refused("forbidden", f"A copy of the box cannot be opened here. {text}")
        return Dug(standing.question, sheet.stage)

    def skip(self, caller: Caller, item: str, reason: str, now: datetime) -> Refused | None:
        """Pass a question over, with a reason; it is for others from now on."""
        if not reason.strip():
            return Refused("invalid", "Say in a few words why you leave it to others.")
        if len(reason) > ballots.MOST_NOTE:
            return Refused("invalid", f"The reason is longer than {ballots.MOST_NOTE} characters.")
        with self.book.turn():
            refused = self._refusal(item, caller, now)
            if refused is not None:
                return refused
            self.book.put_skip(Skip(ItemId(item), caller.name, now, reason))
            self.book.skip_planted(ItemId(item))
            self.book.drop_claim(ItemId(item))
        return None

    def _refusal(self, item: str, caller: Caller, now: datetime) -> Refused | None:
        standing = self.book.standing(item)
        return unknown(item) if standing is None else self._why_not(standing, caller, now)

    def _why_not(
        self, standing: Standing, caller: Caller, now: datetime, facts: "_Facts | None" = None
    ) -> Refused | None:
        """Return why the caller cannot answer a question now; None when they can."""
        question = standing.question
        facts = facts or _Facts(
            self.book.person,
            lambda opinion: self.book.sits(opinion, caller.name) is not None,
            self.book.claim_of,
            self._held_by,
        )
        account = facts.account(question.asked) if question.asked else None
        sits = bool(question.opinion) and facts.sits(question.opinion)
        closed = rules.closed(standing, now)
        held = facts.held(question.item)
        mine = closed is not None and closed.why == "answered" and standing.by == caller.name
        if mine or (held == caller.name and closed is None):
            is_held = held == caller.name or self.book.was_held(question.item)
            return rules.HELD if is_held else rules.COUNTED
        barred = rules.barred(question, caller, account=account, sits=sits, held=held is not None)
        if barred is not None and barred.why == "forbidden" and closed is None:
            return barred
        if closed is not None and closed.why == "withdrawn":
            later = self.book.later(question.item)
            if later is not None:
                return Refused(
                    "changed", "What it asks about has changed since; it is asked anew as another."
                )
        return closed or barred or rules.held(facts.claim(question.item), caller, now)

    def _held_by(self, item: ItemId) -> str | None:
        held = self.book.held_vote(item)
        return None if held is None else held.person

    def _claim(
        self, item: ItemId, caller: Caller, now: datetime, *, shown: datetime | None = None
    ) -> Claim:
        earlier = self.book.claim_of(item)
        mine = earlier is not None and earlier.person == caller.name
        claim = Claim(
            item=item,
            person=caller.name,
            since=earlier.since if earlier is not None and mine else now,
            until=now + timedelta(seconds=self.hours.lease),
            shown=shown or now,
        )
        self.book.put_claim(claim)
        return claim

    def _sheet(self, name: ItemId, caller: Caller, until: datetime) -> Sheet:
        standing = self.book.standing(name)
        assert standing is not None, "what is open is there"
        question, item = standing.question, self.book.shown(name)
        cast = counting(self.book.ballots(name, caller.name))
        stage = stage_of(question, cast)
        knows = stage == "second" or question.purpose == "gate"
        return Sheet(
            step=views.step_view(item, question),
            stage=stage,
            last=stage == "second" or not staged(question),
            reasons=views.reasons(item, self.book.printed(item.id)) if knows else None,
            mine=cast[-1] if cast else None,
            until=until,
            dig=question.dig == "always" or (question.dig == "second" and knows),
        )


def staged(question: Question) -> bool:
    """Whether two votes are wanted: only an audit is blind first."""
    return question.purpose == "audit" and question.two_votes


def stage_of(question: Question, cast: list[Ballot]) -> Literal["first", "second"]:
    """Return which ballot is wanted of someone who cast these."""
    return "second" if cast and staged(question) else "first"


def counting(cast: list[Ballot]) -> list[Ballot]:
    """Return the ballots that came in time."""
    return [one for one in cast if one.counts]


def unknown(item: str) -> Refused:
    """Return that there is no such question."""
    return Refused("unknown", f"There is no question {item[:200]!r} here.")
