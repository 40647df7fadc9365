"""An auditor that is several people: each is asked alone, and where they disagree one more decides.

Each seat is a question of its own at the desk, and all of them are one opinion: nobody sits twice.
The votes are in the record with the answers; what the panel says is one vote.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

import trio

from monastery.auditor.votes import parse_vote
from monastery.runtime.cases import name_of, shown
from monastery.runtime.errors import AuditExpired, AuditFailed
from monastery.runtime.ports import Desk, Forkable
from monastery.runtime.records import Answer, Case, Item, RunId, Vote

_CAREFUL = ("approve", "modify", "reject", "escalate", "terminate")
"""Decisions from the least to the most careful."""
_DOES = ("approve", "modify")
"""Those that have something carried out."""


class PanelAuditor:
    """Asks people at the desk, whoever comes first.

    Args:
        name: The panel's, and the vote's.
        votes: How many people are asked.
        apart: Scores further apart than this, or decisions that differ on whether anything is
            done, go to an adjudicator, whose vote is the panel's.
        timeout_seconds: How long each question stays open.
        desk: Where they are put.
        now: The clock.
        wants: What else is wanted of the desk; see `monastery.runtime.people.question_of`.
    """

    def __init__(
        self,
        name: str,
        votes: int,
        apart: float,
        timeout_seconds: float,
        desk: Desk,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wants: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._votes, self._apart, self._timeout_seconds = votes, apart, timeout_seconds
        self._desk, self._now, self._wants = desk, now, dict(wants or {})

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Return the panel's vote. Asked again about the same case, wait for the same answers.

        Raises:
            AuditExpired: A seat was not filled in time.
            AuditFailed: An answer is no vote, or one person sat twice.
        """
        answers: dict[int, Answer] = {}
        failures: list[AuditFailed] = []

        async def seat(number: int) -> None:
            try:
                answers[number] = await self._ask(case, f"{number}", None)
            except AuditFailed as exc:
                failures.append(exc)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for number in range(1, self._votes + 1):
                nursery.start_soon(seat, number)
        if failures:
            raise failures[0]
        said = [answers[number] for number in sorted(answers)]
        votes = [self._vote(case, answer) for answer in said]
        if not self._agree(votes):
            said.append(await self._ask(case, "adjudicator", "adjudicator"))
            votes = [self._vote(case, said[-1])]
        if len({answer.by for answer in said}) < len(said):
            raise AuditFailed(f"panel {self.name!r}: one person answered twice on the same step")
        return self._one(votes)

    async def _ask(self, case: Case, seat: str, role: str | None) -> Answer:
        now = self._now()
        answer = await self._desk.ask(
            Item(
                id=name_of(case, f"{case.item}.{self.name}.{seat}", self._wants),
                run=RunId(case.proposal.segment.rpartition(".")[0]),
                purpose="audit",
                created=now,
                deadline=now + timedelta(seconds=self._timeout_seconds),
                body={
                    **shown(case),
                    "for": self.name,
                    "desk": self._wants
                    | {"panel": True, "opinion": f"{case.item}.{self.name}", "role": role},
                },
            )
        )
        if answer is None:
            raise AuditExpired(f"seat {seat} was not filled within {self._timeout_seconds:g} s")
        return answer

    def _vote(self, case: Case, answer: Answer) -> Vote:
        body = dict(answer.body)
        body.pop("desk", None)
        if body.pop("digest", None) != case.digest:
            raise AuditFailed(f"panel {self.name!r} answered about another case than was shown")
        return parse_vote(body, answer.by)

    def _agree(self, votes: list[Vote]) -> bool:
        scores = [vote.score for vote in votes]
        does = {vote.decision in _DOES for vote in votes if vote.decision != "escalate"}
        other = {vote.modified for vote in votes if vote.decision in _DOES}
        return max(scores) - min(scores) <= self._apart and len(does) <= 1 and len(other) <= 1

    def _one(self, votes: list[Vote]) -> Vote:
        decision = max((vote.decision for vote in votes), key=_CAREFUL.index)
        return Vote(
            self.name,
            decision,
            fmean(vote.score for vote in votes),
            note="\n".join(f"{vote.auditor}: {vote.note}" for vote in votes if vote.note),
            modified=next((vote.modified for vote in votes if vote.decision == decision), None),
        )
