"""An auditor that is several people: each is asked alone, and where they disagree one more decides.

Each seat is a question of its own at the desk, and all of them are one opinion: nobody sits twice.
The votes are in the record with the answers; what the panel says is one vote.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import trio

from monastery.auditor.bradley_terry import bradley_terry, preferences
from monastery.auditor.votes import parse_vote
from monastery.runtime.cases import compared, name_of
from monastery.runtime.errors import AuditExpired, AuditFailed
from monastery.runtime.gate import DecisionRule, ScoreRule, aggregate
from monastery.runtime.ports import Desk, Forkable
from monastery.runtime.records import Answer, Case, Item, RunId, Vote

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
        compares: How the members' scores of several alternatives become one for each: ``means``, by
            the rule for scores, or ``ranks``, by which nobody's own scale counts.
        score, decision: How the seats' votes become one: the project's rules, as for auditors.
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
        *,
        compares: Literal["means", "ranks"] = "means",
        score: ScoreRule = "mean",
        decision: DecisionRule = "careful",
    ) -> None:
        self.name = name
        self._compares, self._score, self._decision = compares, score, decision
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
        return self._one(case, votes)

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
                    **compared(case),
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
        return parse_vote(body, answer.by, case)

    def _agree(self, votes: list[Vote]) -> bool:
        scores = [vote.score for vote in votes]
        does = {vote.decision in _DOES for vote in votes if vote.decision != "escalate"}
        other = {vote.modified for vote in votes if vote.decision in _DOES}
        return max(scores) - min(scores) <= self._apart and len(does) <= 1 and len(other) <= 1

    def _one(self, case: Case, votes: list[Vote]) -> Vote:
        told = aggregate(votes, case.digest, score=self._score, decision=self._decision)
        scores, score = told.scores, told.score
        if scores and self._compares == "ranks":
            scores = ranked([vote.scores for vote in votes])
        if scores:
            score = scores[case.live]
        return Vote(
            self.name,
            told.decision,
            score,
            told.note or "",
            modified=told.modified,
            scores=scores,
        )


def ranked(given: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return one score for each alternative from how people rank them, by place.

    Of each person's scores the order alone counts, equal ones as ties; the scores are those of
    Bradley and Terry's model of all orders together, which are relative to this moment.
    """
    names = [str(place) for place in range(len(given[0]))]
    orders = [
        [
            [name for name, own in zip(names, scores, strict=True) if own == score]
            for score in sorted(set(scores), reverse=True)
        ]
        for scores in given
    ]
    strengths = bradley_terry(names, (each for one in orders for each in preferences(one)))
    return tuple(strengths.scores[name] for name in names)
