"""An auditor who is a person: the case is put on the desk, and the answer is held to the rules."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from monastery.auditor.votes import parse_vote
from monastery.runtime.cases import compared, name_of
from monastery.runtime.errors import AuditExpired, AuditFailed
from monastery.runtime.ports import Desk, Forkable
from monastery.runtime.records import Case, Item, RunId, Vote


class PersonAuditor:
    """Asks a person.

    Args:
        name: Whom; also the vote's name in the record. Who really answered is recorded with the
            answer.
        timeout_seconds: How long the question stays open.
        desk: Where it is put.
        now: The clock.
        wants: What is wanted of the desk; see `monastery.runtime.people.question_of`.
    """

    def __init__(
        self,
        name: str,
        timeout_seconds: float,
        desk: Desk,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wants: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._timeout_seconds = timeout_seconds
        self._desk = desk
        self._wants = {} if wants is None else {"desk": dict(wants)}
        self._now = now

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Return the person's vote. Asked again about the same case, wait for the same answer.

        Raises:
            AuditExpired: Nobody answered in time.
            AuditFailed: The answer is no vote, or is about something else than this case.
        """
        now = self._now()
        answer = await self._desk.ask(
            Item(
                id=name_of(case, f"{case.item}.{self.name}", self._wants.get("desk", {})),
                run=RunId(case.proposal.segment.rpartition(".")[0]),
                purpose="audit",
                created=now,
                deadline=now + timedelta(seconds=self._timeout_seconds),
                body={**compared(case), "for": self.name, **self._wants},
            )
        )
        if answer is None:
            raise AuditExpired(f"nobody answered within {self._timeout_seconds:g} s")
        body = dict(answer.body)
        digest = body.pop("digest", None)
        body.pop("desk", None)  # the ballots behind it, which are the record's and no vote
        if digest != case.digest:
            # Without the digests: this line goes into the journal, and what was shown could be
            # guessed from its hash after it was erased.
            raise AuditFailed(f"auditor {self.name!r} answered about another case than was shown")
        return parse_vote(body, self.name, case)
