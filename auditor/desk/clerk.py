"""The clerk: takes ballots, and tells each what happened.

A ballot that came too late is kept, marked as one that does not count: nobody's work vanishes, and
nothing counts twice. The last ballot of a person on a question makes the answer.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monastery.auditor.desk import ballots
from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.planting import is_held, recall_of
from monastery.auditor.desk.queue import Hours, Queue, counting, staged, unknown
from monastery.auditor.desk.rules import Caller, Refused
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Ballot, Question, Standing
from monastery.runtime.planted import Held

__all__ = ["Clerk", "Hours", "Voted"]

_MARGIN_SECONDS = 1.0
"""How long before an answer is due it cannot be corrected any more."""


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


_TOO_LATE = Refused(
    "late",
    "The run has your answer already. What you correct now is kept beside the record, and changes"
    " nothing that was done.",
)


class Clerk(Queue):
    """One book's clerk: the queue, and what comes back from it."""

    def vote(self, caller: Caller, item: str, given: Given, now: datetime) -> Voted | Refused:
        """Take a ballot; the last of a person's on a question makes the answer."""
        with self.book.turn():
            standing = self.book.standing(item)
            if standing is None:
                return unknown(item)
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
            if given.stage == "first" and staged(question):
                self.book.put_ballot(ballot)
                self._claim(question.item, caller, now)
                return Voted(ballot, final=False)
            result = self._finish(question, caller, [*counting(cast), ballot], now)
            self.book.put_ballot(replace(ballot, counts=isinstance(result, Voted)))
            return result

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

    def hold(self, caller: Caller, item: str, now: datetime) -> Refused | None:
        """Keep the run from taking the caller's answer while they think of another one."""
        with self.book.turn():
            standing = self.book.standing(item)
            if standing is None:
                return unknown(item)
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
                return unknown(item)
            question = standing.question
            cast = self.book.ballots(question.item, caller.name)
            for earlier in cast:
                if earlier.slip == given.slip:
                    return self._told_again(earlier, standing, now)
            if standing.by != caller.name:
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
            said = [*counting(cast), ballot]
            due = self._due(question, now, self.hours.undo)
            shown = self.book.shown(question.item)
            held = self.book.held_vote(question.item)
            digs = self.book.digs(question.item, caller.name)
            corrected = ballots.answer(shown, said, at=cast[-1].at, due=due, held=held, digs=digs)
            self.book.correct_answer(corrected)
            return Voted(ballot, final=True, undo_until=_before(due))

    def _finish(
        self, question: Question, caller: Caller, cast: list[Ballot], now: datetime
    ) -> Voted | Refused:
        """Make the answer of a person's ballots."""
        held = self.book.held_vote(question.item)
        holds = held is None and self._is_held(question, caller)
        if holds and not self.book.is_planted(question.item):
            return self._hold(question, caller, cast, now)
        # Whose votes are held cannot take one back, a planted one neither: it would be known by it.
        due = None if holds else self._due(question, now, self.hours.undo)
        shown = self.book.shown(question.item)
        digs = self.book.digs(question.item, caller.name)
        given = ballots.answer(shown, cast, at=now, due=due, held=held, digs=digs)
        try:
            self.book.put_answer(given)
        except BadInput as exc:
            return Refused("withdrawn", f"It does not count: {exc}.")
        if holds:
            self.book.note_held(question.item)
        if question.opinion:
            self.book.put_opinion(question.opinion, caller.name, question.item)
        self.book.drop_claim(question.item)
        return Voted(cast[-1], final=True, undo_until=_before(due))

    def _is_held(self, question: Question, caller: Caller) -> bool:
        """Whether this person's votes on a run's steps go to an adjudicator first."""
        floor, role = question.floor, question.role
        if question.purpose != "audit" or floor == 0.0 or role is not None:
            return False
        return is_held(recall_of(self.book.judged(caller.name)), floor)

    def _hold(self, question: Question, caller: Caller, cast: list[Ballot], now: datetime) -> Voted:
        """Keep a vote from its run; an adjudicator who has not seen it decides."""
        body = ballots.answer(self.book.shown(question.item), cast, at=now, due=None).body
        self.book.hold_vote(Held(question.item, caller.name, now, body))
        if question.opinion:
            self.book.put_opinion(question.opinion, caller.name, question.item)
        self.book.drop_claim(question.item)
        return Voted(cast[-1], final=True)

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
        final = earlier.stage != "first" or not staged(standing.question)
        return Voted(earlier, final, self._undo_until(standing, now), again=True)

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
        stages = {one.stage for one in counting(cast)}
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


def _before(due: datetime | None) -> datetime | None:
    """Return until when an answer that is due then can be corrected."""
    return None if due is None else due - timedelta(seconds=_MARGIN_SECONDS)
