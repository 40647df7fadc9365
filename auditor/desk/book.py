"""The port to the desk's rows. Keeps and finds; decides nothing."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from monastery.runtime.people import Ballot, Claim, Pass, Person, Skip, Standing
from monastery.runtime.records import Answer, Item, ItemId


class Book(Protocol):
    """The rows of one home. What is written must be written in a turn."""

    def turn(self) -> AbstractContextManager[None]:
        """Let nobody else write until the block ends; what raises in it undoes it."""
        ...

    def part(self) -> AbstractContextManager[None]:
        """Undo, if the block raises, what it wrote, and nothing else of the turn that it is in."""
        ...

    def version(self) -> tuple[int, int]:
        """Return what changes when anyone has written; cheap to ask."""
        ...

    def waiting(self) -> Iterator[Standing]:
        """Yield what is open and not answered, the oldest first; reads only as far as asked."""
        ...

    def standing(self, item: str) -> Standing | None:
        """Return where one question stands; None when there is none of that id."""
        ...

    def shown(self, item: ItemId) -> Item:
        """Return a question with all that it holds."""
        ...

    def later(self, item: ItemId) -> ItemId | None:
        """Return the open question that took this one's place when its proposal changed."""
        ...

    def printed(self, item: ItemId) -> tuple[bytes, int]:
        """Return what the agent printed in its segment: the kept bytes, and how many in all."""
        ...

    def put_answer(self, answer: Answer) -> None:
        """Put an answer where its run will find it.

        Raises:
            BadInput: The run does not want it any more.
        """
        ...

    def answer_of(self, item: ItemId) -> Answer | None:
        """Return the answer that lies ready for a question."""
        ...

    def correct_answer(self, answer: Answer) -> None:
        """Put an answer in the place of its author's earlier one, which its run has not taken."""
        ...

    def claim_of(self, item: ItemId) -> Claim | None:
        """Return who has a question before them, or had until their lease ran out."""
        ...

    def claims(self, person: str) -> list[Claim]:
        """Return what a person has before them, and had when their leases ran out."""
        ...

    def all_claims(self) -> list[Claim]:
        """Return what anyone has before them, or had when their leases ran out."""
        ...

    def put_claim(self, claim: Claim) -> None:
        """Write a claim in the place of the one before."""
        ...

    def drop_claim(self, item: ItemId) -> None:
        """Forget who has a question before them."""
        ...

    def ballots(self, item: ItemId, person: str) -> list[Ballot]:
        """Return a person's ballots on a question, in the order in which they were cast."""
        ...

    def cast(self, person: str, *, most: int) -> list[Ballot]:
        """Return a person's last ballots, the newest first."""
        ...

    def put_ballot(self, ballot: Ballot) -> None:
        """Append a ballot."""
        ...

    def sits(self, opinion: str, person: str) -> ItemId | None:
        """Return the question of an opinion that a person has answered."""
        ...

    def opinions(self, person: str) -> frozenset[str]:
        """Return the opinions that a person has given."""
        ...

    def put_opinion(self, opinion: str, person: str, item: ItemId) -> None:
        """Note that a person has given one of the opinions that are wanted."""
        ...

    def put_skip(self, skip: Skip) -> None:
        """Append a skip."""
        ...

    def skipped(self, person: str) -> frozenset[ItemId]:
        """Return what a person passed over."""
        ...

    def person(self, name: str) -> Person | None:
        """Return the person of a name, also one who left."""
        ...

    def people(self) -> Sequence[Person]:
        """Return everyone, by name."""
        ...

    def put_person(self, person: Person) -> None:
        """Write a person in the place of the one of the same name."""
        ...

    def find_pass(self, digest: str) -> Pass | None:
        """Return what a secret's hash opens."""
        ...

    def passes(self, person: str) -> Sequence[Pass]:
        """Return a person's passes."""
        ...

    def put_pass(self, one: Pass) -> None:
        """Write a pass."""
        ...

    def drop_pass(self, digest: str) -> None:
        """Forget a pass."""
        ...

    def drop_passes(self, now: datetime) -> None:
        """Forget passes that have expired."""
        ...
