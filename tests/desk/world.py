"""A desk with people and questions, whose clock the test moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.clerk import Clerk, Hours
from monastery.auditor.desk.rules import Caller
from monastery.auditor.desk.views import Sheet
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.people import ROLES, Person, Role
from monastery.runtime.records import Item
from tests.cli.questions import Questions, question

ADA = Caller("ada", frozenset(ROLES))
BOB = Caller("bob", frozenset(ROLES))
SECRETS = ("because it is late", "THOUGHTS", "secret-model-9")
"""What blinding hides, as it stands in the questions here."""


class World:
    """One home with a desk.

    Attributes:
        now: The time; a test moves it with `pass_seconds`.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.questions = Questions(home)
        self.book = DeskBook.open(home)
        self.clerk = Clerk(self.book)
        self.now = datetime.now(UTC)
        self._slips = 0
        for name in ("ada", "bob"):
            self.add(name, *ROLES)

    def add(self, name: str, *roles: Role) -> Caller:
        """Give someone an account; return them as the desk knows them."""
        with self.book.turn():
            self.book.put_person(Person(name, frozenset(roles), self.now))
        return Caller(name, frozenset(roles))

    def put(self, step: int = 1, purpose: Any = "audit", **body: Any) -> Item:
        """Open a question."""
        return self.questions.put(question(purpose, step=step, **{"desk": {}} | body))

    def pass_seconds(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    def slip(self) -> str:
        """Return the name of a page that was loaded just now."""
        self._slips += 1
        return f"slip-{self._slips}"

    def take(self, who: Caller, item: Item) -> Sheet:
        """Put a question before someone, long enough to be judged."""
        sheet = self.clerk.show(who, item.id, self.now)
        assert isinstance(sheet, Sheet), sheet
        self.pass_seconds(5)
        return sheet

    def vote(self, who: Caller, item: Item, stage: Any = "first", **said: Any) -> Any:
        """Cast a ballot; what is said replaces a plain approval."""
        slip = said.pop("slip", None) or self.slip()
        by_hand = said.pop("by_hand", True)
        given = Given(stage, slip, {"decision": "approve", "score": 0.8} | said, by_hand)
        return self.clerk.vote(who, item.id, given, self.now)

    def answer(self, item: Item) -> dict[str, Any]:
        """Return the body of the answer that lies ready; an empty one when there is none."""
        found = self.book.answered(item.id)
        return {} if found is None else dict(found.body)


@contextmanager
def another(world: World) -> Iterator[Clerk]:
    """Open the same desk as another process would: a server after a restart, say."""
    with DeskBook.open(world.home) as book:
        yield Clerk(book, Hours())
