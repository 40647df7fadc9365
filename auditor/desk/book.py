"""The port to the desk's rows. Keeps and finds; decides nothing."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from monastery.runtime.people import Ballot, Claim, Dig, Pass, Person, Skip, Standing, Told
from monastery.runtime.planted import Held, Judged, Planted, Standin
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

    def put_dig(self, dig: Dig) -> None:
        """Write a dig in the place of the one of the same name."""
        ...

    def digs(self, item: ItemId, person: str) -> list[Dig]:
        """Return a person's digs on a question, the oldest first."""
        ...

    def all_digs(self) -> list[Dig]:
        """Return everyone's, the oldest first."""
        ...

    def recording(self, dig: Dig) -> Path:
        """Return where the recording of a dig is."""
        ...

    def put_skip(self, skip: Skip) -> None:
        """Append a skip."""
        ...

    def skipped(self, person: str) -> frozenset[ItemId]:
        """Return what a person passed over."""
        ...

    def told(self, run: str | None = None, *, most: int) -> list[Told]:
        """Return the newest runs, or the one of this name, with what was said of their steps.

        Raises:
            BadInput: There is none of that name.
        """

    def log(self, at: datetime, what: str, **told: Any) -> None:
        """Append to the log of planted questions."""
        ...

    def planting_seed(self) -> bytes | None:
        """Return the seed of the draws of planted questions."""
        ...

    def put_planting_seed(self, seed: bytes) -> None:
        """Keep a seed, the only one."""
        ...

    def drop_planting_seed(self) -> None:
        """Forget the seed."""
        ...

    def has_drawn(self, item: ItemId, person: str) -> bool:
        """Whether it was drawn already if a planted question comes before this one."""
        ...

    def put_drawn(self, item: ItemId, person: str, planted: bool) -> None:
        """Note a draw."""
        ...

    def segments_of(self, person: str) -> set[str]:
        """Return the segments whose proposals a person has voted on."""
        ...

    def planted_before(self, person: str) -> set[str]:
        """Return what tells the proposals apart that a person was handed planted."""
        ...

    def is_planted(self, item: ItemId) -> bool:
        """Whether a question is planted."""
        ...

    def was_held(self, item: ItemId) -> bool:
        """Whether a planted question was judged by somebody whose votes were held."""
        ...

    def note_held(self, item: ItemId) -> None:
        """Note that who judged a planted question had their votes held."""
        ...

    def put_planted(self, one: Planted) -> None:
        """Write a planted question."""
        ...

    def standins(self, person: str) -> list[Standin]:
        """Return the planted questions that wait for a person, the oldest first."""
        ...

    def shadowed(self, person: str, now: datetime) -> set[ItemId]:
        """Return the questions whose planted stand-ins a person has judged and can still undo."""
        ...

    def skip_planted(self, item: ItemId) -> None:
        """Let nobody judge a planted question any more that was left to others."""
        ...

    def reveal(self, now: datetime, *, judged: bool = False) -> None:
        """Reveal what is known of every planted question that nobody can judge any more."""
        ...

    def judged(self, person: str | None = None) -> list[Judged]:
        """Return the planted questions that a person judged or left, or all."""
        ...

    def planted_payload(self, item: ItemId) -> bytes:
        """Return the bytes that a planted question proposed."""
        ...

    def hold_vote(self, one: Held) -> None:
        """Keep a vote from its run, for an adjudicator to decide."""
        ...

    def held_vote(self, item: str) -> Held | None:
        """Return the vote on a question that is held."""
        ...

    def held_votes(self) -> dict[str, str]:
        """Return whose vote is held on which question that is open."""
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
