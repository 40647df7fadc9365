"""The clerk: hands out questions one at a time, takes ballots, and tells each what happened.

Everything that changes something is one turn of the book, so that two who race come one after the
other. What is refused is told with a reason. A ballot that came too late is kept, marked as one
that does not count: nobody's work vanishes, and nothing counts twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from monastery.auditor.desk import ballots, rules, views
from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.book import Book
from monastery.auditor.desk.rules import Caller, Refused
from monastery.auditor.desk.views import Sheet
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Ballot, Claim, Person, Question, Skip, Standing
from monastery.runtime.records import ItemId

MOST_COUNTED = 100
_MARGIN_SECONDS = 1.0
"""How long before an answer is due it cannot be corrected any more."""


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
class Voted:
    """A ballot was taken.

    Attributes:
        final: Whether it made the answer; else a second vote is wanted.
        undo_until: How long it can be corrected; None when it cannot.
        again: Whether this very ballot had been taken before.
    """

    ballot: Ballot
    final: bool
    undo_until: datetime | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class _Facts:
    """Where it is looked up who has an account, who sits, and who has what before them."""

    account: Callable[[str], Person | None]
    sits: Callable[[str], bool]
    claim: Callable[[ItemId], Claim | None]


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of the book at one version of it."""

    version: tuple[int, int]
    waiting: list[Standing]
    claims: dict[ItemId, Claim]
    people: dict[str, Person]


_TOO_LATE = Refused(
    "late",
    "The run has your answer already. What you correct now is kept beside the record, and changes"
    " nothing that was done.",
)


class Clerk:
    """One book's clerk."""

    def __init__(self, book: Book, hours: Hours | None = None) -> None:
        self.book = book
        self.hours = hours or Hours()
        self._read: _Read | None = None

    # Handing out

    def next(self, caller: Caller, now: datetime) -> ItemId | Refused:
        """Claim the oldest question that the caller may answer; one that they have comes first."""
        with self.book.turn():
            for claim in self.book.claims(caller.name):
                if self._refusal(claim.item, caller, now) is None:
                    return claim.item
                self.book.drop_claim(claim.item)
            skipped = self.book.skipped(caller.name)
            for standing in self.book.waiting():
                item = standing.question.item
                if item not in skipped and self._why_not(standing, caller, now) is None:
                    self._claim(item, caller, now)
                    return item
        return Refused("nothing", "Nothing waits for you.")

    def take(self, caller: Caller, now: datetime) -> Sheet | Refused:
        """Put the next question before the caller, in one turn."""
        with self.book.turn():
            found = self.next(caller, now)
            return found if isinstance(found, Refused) else self.show(caller, found, now)

    def count(self, caller: Caller, now: datetime) -> int:
        """Return how many questions wait that the caller may answer, at most `MOST_COUNTED`."""
        found = 0
        waiting, facts = self._overview(caller)
        skipped = self.book.skipped(caller.name)
        for standing in waiting:
            if standing.question.item in skipped:
                continue
            found += self._why_not(standing, caller, now, facts) is None
            if found == MOST_COUNTED:
                break
        return found

    def _overview(self, caller: Caller) -> tuple[list[Standing], "_Facts"]:
        """Return what waits, and what is to be known of it, read once for all who ask.

        Every open page asks whenever anyone has written.
        """
        version = self.book.version()
        if self._read is None or self._read.version != version:
            self._read = _Read(
                version,
                list(self.book.waiting()),
                {claim.item: claim for claim in self.book.all_claims()},
                {person.name: person for person in self.book.people()},
            )
        read, sits = self._read, self.book.opinions(caller.name)
        return read.waiting, _Facts(read.people.get, sits.__contains__, read.claims.get)

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

    def said(
        self, caller: Caller, item: str, now: datetime
    ) -> tuple[list[Ballot], datetime | None, str]:
        """Return the caller's ballots on a question, until when they can correct, its purpose."""
        standing = self.book.standing(item)
        if standing is None:
            return [], None, ""
        cast = self.book.ballots(standing.question.item, caller.name)
        theirs = standing.by == caller.name
        until = self._undo_until(standing, now) if theirs else None
        return cast, until, standing.question.purpose

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
            self.book.drop_claim(ItemId(item))
        return None

    # Taking

    def vote(self, caller: Caller, item: str, given: Given, now: datetime) -> Voted | Refused:
        """Take a ballot; the last of a person's on a question makes the answer."""
        with self.book.turn():
            standing = self.book.standing(item)
            if standing is None:
                return _unknown(item)
            question = standing.question
            cast = self.book.ballots(question.item, caller.name)
            for earlier in cast:
                if earlier.slip == given.slip:
                    return self._told_again(earlier, standing, now)
            bad = ballots.fault_of(question, given.said)
            if bad is not None:
                return bad
            refused = self._too_late(standing, caller, cast, given, now)
            claim = self.book.claim_of(question.item)
            shown = claim.shown if claim is not None and claim.person == caller.name else now
            ballot = Ballot(
                item=question.item,
                person=caller.name,
                stage=given.stage,
                slip=given.slip,
                at=now,
                seconds=max(0.0, (now - shown).total_seconds()),
                body=dict(given.said),
                counts=refused is None,
            )
            if refused is not None:
                if refused.why not in ("forbidden", "hasty"):
                    self.book.put_ballot(ballot)
                return refused
            self.book.put_ballot(ballot)
            if given.stage == "first" and _staged(question):
                self._claim(question.item, caller, now)
                return Voted(ballot, final=False)
            return self._finish(standing, caller, [*_counting(cast), ballot], now)

    def hold(self, caller: Caller, item: str, now: datetime) -> Refused | None:
        """Keep the run from taking the caller's answer while they think of another one."""
        with self.book.turn():
            standing = self.book.standing(item)
            if standing is None:
                return _unknown(item)
            if standing.by != caller.name or self._undo_until(standing, now) is None:
                return _TOO_LATE
            question = standing.question
            given = self.book.answer_of(question.item)
            assert given is not None, "who gave it is known"
            due = self._due(question, now, self.hours.hold)
            if due is not None and given.due is not None and due > given.due:
                self.book.correct_answer(replace(given, due=due))
        return None

    def correct(self, caller: Caller, item: str, given: Given, now: datetime) -> Voted | Refused:
        """Take an answer back by another one, appended to it.

        When its run has it already, the correction is kept beside the record, and changes nothing.
        """
        with self.book.turn():
            standing = self.book.standing(item)
            if standing is None:
                return _unknown(item)
            question = standing.question
            cast = self.book.ballots(question.item, caller.name)
            for earlier in cast:
                if earlier.slip == given.slip:
                    return self._told_again(earlier, standing, now)
            if not _counting(cast) or (standing.by is not None and standing.by != caller.name):
                return Refused("forbidden", "You have no answer here that could be corrected.")
            bad = ballots.fault_of(question, given.said)
            if bad is not None:
                return bad
            until = self._undo_until(standing, now)
            ballot = Ballot(
                question.item,
                caller.name,
                "correction",
                given.slip,
                now,
                0.0,
                dict(given.said),
                counts=until is not None,
            )
            self.book.put_ballot(ballot)
            if until is None:
                return _TOO_LATE
            counting = [*_counting(cast), ballot]
            due = self._due(question, now, self.hours.undo)
            shown = self.book.shown(question.item)
            self.book.correct_answer(ballots.answer(shown, counting, at=cast[-1].at, due=due))
            return Voted(ballot, final=True, undo_until=_before(due))

    def _finish(
        self, standing: Standing, caller: Caller, cast: list[Ballot], now: datetime
    ) -> Voted | Refused:
        """Make the answer of a person's ballots."""
        question = standing.question
        due = self._due(question, now, self.hours.undo)
        given = ballots.answer(self.book.shown(question.item), cast, at=now, due=due)
        try:
            self.book.put_answer(given)
        except BadInput as exc:
            return Refused("withdrawn", f"It does not count: {exc}.")
        if question.opinion:
            self.book.put_opinion(question.opinion, caller.name, question.item)
        self.book.drop_claim(question.item)
        return Voted(cast[-1], final=True, undo_until=_before(due))

    def _due(self, question: Question, now: datetime, seconds: float) -> datetime | None:
        """Return from when on an answer may be taken; None is at once.

        Not so late that the question could expire meanwhile.
        """
        due = now + timedelta(seconds=seconds)
        if question.deadline is not None:
            due = min(due, question.deadline - timedelta(seconds=2 * _MARGIN_SECONDS))
        return due if due > now + timedelta(seconds=_MARGIN_SECONDS) else None

    def _undo_until(self, standing: Standing, now: datetime) -> datetime | None:
        if standing.state != "open" or standing.due is None:
            return None
        until = _before(standing.due)
        return until if until is not None and now < until else None

    def _told_again(self, earlier: Ballot, standing: Standing, now: datetime) -> Voted | Refused:
        """Say to a page that sends twice what came of it the first time."""
        if not earlier.counts:
            return Refused("voted", "This ballot came before, too late to count; it is kept.")
        final = earlier.stage != "first" or not _staged(standing.question)
        return Voted(earlier, final, self._undo_until(standing, now), again=True)

    # Who may

    def _refusal(self, item: str, caller: Caller, now: datetime) -> Refused | None:
        standing = self.book.standing(item)
        return _unknown(item) if standing is None else self._why_not(standing, caller, now)

    def _why_not(
        self, standing: Standing, caller: Caller, now: datetime, facts: "_Facts | None" = None
    ) -> Refused | None:
        """Return why the caller cannot answer a question now; None when they can."""
        question = standing.question
        facts = facts or _Facts(
            self.book.person,
            lambda opinion: self.book.sits(opinion, caller.name) is not None,
            self.book.claim_of,
        )
        account = facts.account(question.asked) if question.asked else None
        sits = bool(question.opinion) and facts.sits(question.opinion)
        closed = rules.closed(standing, now)
        mine = closed is not None and closed.why == "answered" and standing.by == caller.name
        if mine:
            return Refused("voted", "You answered it; that counts.")
        barred = rules.barred(question, caller, account=account, sits=sits)
        if barred is not None and barred.why == "forbidden" and closed is None:
            return barred
        if closed is not None and closed.why == "withdrawn":
            later = self.book.later(question.item)
            if later is not None:
                return Refused(
                    "changed", "What it asks about has changed since; it is asked anew as another."
                )
        return closed or barred or rules.held(facts.claim(question.item), caller, now)

    def _too_late(
        self,
        standing: Standing,
        caller: Caller,
        cast: list[Ballot],
        given: Given,
        now: datetime,
    ) -> Refused | None:
        """Return why a well-formed ballot does not count; None when it does."""
        refused = self._why_not(standing, caller, now)
        if refused is not None:
            return refused
        stages = {one.stage for one in _counting(cast)}
        if given.stage in stages:
            return Refused("voted", "You voted on this already, in another tab perhaps.")
        if given.stage == "second" and "first" not in stages:
            return Refused("invalid", "The first vote comes first.")
        claim = self.book.claim_of(standing.question.item)
        if given.by_hand and claim is not None:
            before = (now - claim.shown).total_seconds()
            if before < self.hours.fresh:
                return Refused(
                    "hasty",
                    f"It had been before you for less than {self.hours.fresh:g} s; look once more.",
                )
        return None

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
        cast = _counting(self.book.ballots(name, caller.name))
        stage = _stage(question, cast)
        knows = stage == "second" or question.purpose == "gate"
        return Sheet(
            step=views.step_view(item, question),
            stage=stage,
            last=stage == "second" or not _staged(question),
            reasons=views.reasons(item, self.book.printed(item.id)) if knows else None,
            mine=cast[-1] if cast else None,
            until=until,
        )


def _staged(question: Question) -> bool:
    """Whether two votes are wanted: only an audit is blind first."""
    return question.purpose == "audit" and question.two_votes


def _stage(question: Question, cast: list[Ballot]) -> Literal["first", "second"]:
    return "second" if cast and _staged(question) else "first"


def _counting(cast: list[Ballot]) -> list[Ballot]:
    return [one for one in cast if one.counts]


def _before(due: datetime | None) -> datetime | None:
    """Return until when an answer that is due then can be corrected."""
    return None if due is None else due - timedelta(seconds=_MARGIN_SECONDS)


def _unknown(item: str) -> Refused:
    return Refused("unknown", f"There is no question {item[:200]!r} here.")
