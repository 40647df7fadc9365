"""A seat at the desk, taken from a terminal: the rules of the browser's desk, without its sign-in.

Whoever can write to the home can answer as anyone: `--by` is a name and no proof. So the name alone
decides what one may do: an account's roles, and every role where no account has that name.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.clerk import Clerk, Hours, Voted
from monastery.auditor.desk.queue import MOST_COUNTED
from monastery.auditor.desk.rules import Caller, Refused
from monastery.auditor.desk.views import Sheet, StepView, step_view
from monastery.runtime.cli import audit_answers
from monastery.runtime.cli.home import find
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.errors import BadInput
from monastery.runtime.people import ROLES, Question, question_of
from monastery.runtime.project import PersonAuditorSettings
from monastery.runtime.records import ItemId
from monastery.runtime.rows import StoredItem

if TYPE_CHECKING:
    from monastery.runtime.project_file import Loaded

_HOURS = Hours(fresh=0.0, undo=0.0)
"""At a terminal an answer is its run's at once, and the desk itself sees to it that it was read."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Someone at the desk of a home."""

    book: DeskBook
    clerk: Clerk
    caller: Caller

    def offered(self, run: str | None) -> list[Question]:
        """Return what this person may answer, the oldest first; at most `MOST_COUNTED` and one."""
        found = self.clerk.offered(self.caller, datetime.now(UTC))
        return list(islice((one for one in found if run in (None, one.run)), MOST_COUNTED + 1))

    def take(self, run: str | None) -> Sheet | Refused:
        """Put the oldest question before this person; what they have already comes first."""
        if run is None:
            return self.clerk.take(self.caller, datetime.now(UTC))
        for question in self.offered(run):
            sheet = self.show(question.item)
            if isinstance(sheet, Sheet):
                return sheet
        return Refused("nothing", "Nothing waits for you.")

    def show(self, item: str) -> Sheet | Refused:
        """Put a question before this person, who has it from now on, if they may."""
        return self.clerk.show(self.caller, item, datetime.now(UTC))

    def gone(self, item: str) -> Refused | None:
        """Return why this person cannot answer a question any more; a sign of life if they can."""
        return self.clerk.state(self.caller, item, datetime.now(UTC))

    def look(self, item: str) -> Sheet | Refused:
        """Return what `show` would, without taking the question."""
        return self.clerk.look(self.caller, item, datetime.now(UTC))

    def blind(self, stored: StoredItem) -> StepView:
        """Return what may be seen of a question that this person cannot answer now."""
        return step_view(stored.item, question_of(stored.item))

    def say(
        self,
        item: str,
        said: Mapping[str, Any],
        *,
        stage: Literal["first", "second"] = "first",
        slip: str | None = None,
    ) -> Voted | Refused:
        """Cast a ballot; the last one of a person's makes the answer.

        Args:
            item: The question.
            said: The fields of a vote or a report.
            stage: Which of the two votes it is.
            slip: A name for this ballot: the same twice is one ballot.
        """
        given = Given(stage, slip or secrets.token_urlsafe(12), said, by_hand=False)
        return self.clerk.vote(self.caller, item, given, datetime.now(UTC))

    def pass_over(self, item: str, reason: str) -> Refused | None:
        """Leave a question to others, for good."""
        return self.clerk.skip(self.caller, item, reason, datetime.now(UTC))

    def leave(self, item: str) -> None:
        """Put a question back for others; what was said to it stays."""
        with self.book.turn():
            claim = self.book.claim_of(ItemId(item))
            if claim is not None and claim.person == self.caller.name:
                self.book.drop_claim(claim.item)


@contextmanager
def sitting(home: Path | None, by: str | None) -> Iterator[Seat]:
    """Sit down at the desk of a home that must be there already.

    Raises:
        BadInput: There are no runs in it, the name is blank, or its account has left.
    """
    with DeskBook.open(find(home), create=False) as book:
        yield seat(book, audit_answers.login_name() if by is None else by)


def seat(book: DeskBook, by: str) -> Seat:
    """Return the seat of whoever has this name.

    Raises:
        BadInput: The name is blank, or its account has left.
    """
    name = audit_answers.name(by)
    account = book.person(name)
    if account is not None and account.left is not None:
        raise BadInput(f"{name!r} has left; an admin can take them in again on the page People")
    roles = frozenset(ROLES) if account is None else account.roles
    return Seat(book, Clerk(book, _HOURS), Caller(name, roles))


def strangers(home: Path, loaded: "Loaded") -> list[str]:
    """Return whom a project asks by name who has no account, where anyone has one."""
    with DeskBook.open(home) as book:
        living = {person.name for person in book.people() if person.left is None}
    asked = (one for one in loaded.project.audit.auditors if isinstance(one, PersonAuditorSettings))
    return [one.person for one in asked if one.person not in living] if living else []
