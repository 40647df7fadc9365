"""The desk's book: rows of people, passes, claims and ballots, in the database of the home.

It keeps and finds; what may be kept is decided in `monastery.auditor.desk`, whose port this
implements. A turn is one transaction: nobody else writes, neither another page nor a run, until
it ends.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec

from monastery.runtime.desk_record import BALLOT, DeskRecord, ballot
from monastery.runtime.dig_rows import DigRows
from monastery.runtime.errors import BadInput
from monastery.runtime.events import SegmentPrinted
from monastery.runtime.people import (
    Ballot,
    Claim,
    Pass,
    Person,
    Question,
    Role,
    Skip,
    Standing,
)
from monastery.runtime.planted_book import PlantedRows
from monastery.runtime.records import Answer, Item, ItemId
from monastery.runtime.rows import Entry
from monastery.runtime.store import raw

_COLUMNS = "SELECT i.item, i.head, i.state, a.due, a.who, a.at FROM items i"
_STANDING = f"{_COLUMNS} LEFT JOIN answers a ON a.item = i.item WHERE i.item = ?"
# By this index they come in order, as they are asked for; by the other all would be sorted first.
_WAITING = (
    "SELECT i.rowid, i.item, i.head, i.state, a.due, a.who, a.at"
    " FROM items i INDEXED BY items_in_order CROSS JOIN runs r ON r.run = i.run"
    " LEFT JOIN answers a ON a.item = i.item WHERE i.state = 'open' AND i.rowid >= ?"
    " AND a.item IS NULL AND r.status NOT IN ('done', 'failed') ORDER BY i.rowid"
)
_MOST_HEADS = 50_000
"""So many questions are kept as they were read; what a question is never changes."""


class DeskBook(DeskRecord, PlantedRows, DigRows):
    """The book over one connection. Synchronous; an instance serves one thread at a time."""

    def __init__(self, home: Path, connection: apsw.Connection) -> None:
        super().__init__(home, connection)
        self._heads: dict[str, Question] = {}
        self._oldest = 0
        """No question before this row waits, nor ever will: what is closed, answered or of a run
        that is over stays so, and no row is ever deleted. Else each claim would read all that was
        answered and waits for its run to take it."""

    def _standing(self, row: Sequence[Any]) -> Standing:
        item, head, state, due, who, at = row
        answered = None if at is None else datetime.fromisoformat(due or at)
        question = self._heads.get(item)
        if question is None:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            question = self._heads[item] = msgspec.json.decode(head, type=Question)
        return Standing(question, state, answered, who)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let nobody else write until the block ends; what raises in it undoes it."""
        before = self._oldest
        try:
            with super().turn():
                yield
        except BaseException:
            self._oldest = before  # it may have counted on an answer that is none now
            raise

    @contextmanager
    def part(self) -> Iterator[None]:
        """Undo, if the block raises, what it wrote, and nothing else of the turn that it is in."""
        before = self._oldest
        try:
            with super().part():
                yield
        except BaseException:
            self._oldest = before
            raise

    # Questions

    def waiting(self) -> Iterator[Standing]:
        """Yield what is open and not answered, the oldest first; reads only as far as asked."""
        ((newest,),) = self._query("SELECT coalesce(max(rowid), 0) FROM items", ())
        first = True
        for rowid, *row in self._query(_WAITING, (self._oldest,)):
            if first:
                self._oldest, first = rowid, False
            yield self._standing(row)
        if first:
            self._oldest = newest + 1

    def standing(self, item: str) -> Standing | None:
        """Return where one question stands; None when there is none of that id."""
        for row in self._query(_STANDING, (item,)):
            return self._standing(row)
        return self.planted_standing(item)

    def shown(self, item: ItemId) -> Item:
        """Return a question with all that it holds."""
        return self.planted_item(item) or self.item(item).item

    def later(self, item: ItemId) -> ItemId | None:
        """Return the question that took this one's place when its proposal changed."""
        base = item.partition("~")[0]
        query = (
            "SELECT item FROM items WHERE state = 'open' AND item != ?1"
            " AND item > ?2 || '~' AND item < ?2 || '~:' ORDER BY rowid DESC LIMIT 1"
        )
        for (found,) in self._query(query, (item, base)):
            return ItemId(found)
        return None

    def printed(self, item: ItemId) -> tuple[bytes, int]:
        """Return what the agent printed in the segment of a question's proposal.

        Returns:
            The bytes that were kept, and how many were printed.
        """
        planted = self.planted_print(item)
        if planted is not None:
            return planted, len(planted)
        from monastery.runtime.journal import decode  # what these need takes a while to load
        from monastery.runtime.recall import kept

        run = self.item(item).item.run
        segment = f"{run}.{item.removeprefix(f'{run}.').partition('.')[0]}"
        query = (
            "SELECT seq, hash, body FROM events WHERE run = ? AND instr(body, ?)"
            " AND instr(body, ?) ORDER BY seq DESC"
        )
        for seq, digest, body in self._query(
            query, (run, b'"segment.printed"', msgspec.json.encode(segment))
        ):
            event = decode(Entry(seq, raw(digest), raw(body))).event
            if isinstance(event, SegmentPrinted) and event.segment == segment:
                return kept(self, event.text.ref), event.seen_bytes
        return b"", 0

    def put_answer(self, answer: Answer) -> None:
        """Put an answer where its run will find it; see `Store.answer`. A planted one has none."""
        if self.planted_standing(answer.item) is None:
            self.answer(answer)
        else:
            self.answer_planted(answer)

    def answer_of(self, item: ItemId) -> Answer | None:
        """Return the answer that lies ready for a question."""
        return self.planted_answer(item) or self.answered(item)

    def correct_answer(self, answer: Answer) -> None:
        """Put an answer in the place of its author's earlier one, which its run has not taken.

        Raises:
            BadInput: There is none of theirs.
        """
        given = self.planted_answer(answer.item)
        if given is not None and given.by == answer.by:
            self.answer_planted(answer)
            return
        self._db.execute(
            "UPDATE answers SET body = ?, due = ? WHERE item = ? AND who = ?",
            (
                msgspec.json.encode(answer.body, order="deterministic"),
                None if answer.due is None else answer.due.isoformat(),
                answer.item,
                answer.by,
            ),
        )
        if self._db.changes() != 1:
            raise BadInput(f"item {answer.item!r} has no answer of {answer.by!r} to correct")

    # Claims, ballots, skips

    def claim_of(self, item: ItemId) -> Claim | None:
        """Return who has a question before them, or had until their lease ran out."""
        return next(self._claims("item = ?", item), None)

    def claims(self, person: str) -> list[Claim]:
        """Return what a person has before them, and had when their leases ran out."""
        return list(self._claims("person = ?", person))

    def all_claims(self) -> list[Claim]:
        """Return what anyone has before them, or had when their leases ran out."""
        return list(self._claims("TRUE"))

    def _claims(self, where: str, *values: str) -> Iterator[Claim]:
        query = f"SELECT item, person, since, until, shown FROM claims WHERE {where}"  # noqa: S608
        for item, person, *times in self._query(query, values):
            yield Claim(ItemId(item), person, *map(datetime.fromisoformat, times))

    def put_claim(self, claim: Claim) -> None:
        """Write a claim in the place of the one before."""
        self._db.execute(
            "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)",
            (
                claim.item,
                claim.person,
                claim.since.isoformat(),
                claim.until.isoformat(),
                claim.shown.isoformat(),
            ),
        )

    def drop_claim(self, item: ItemId) -> None:
        """Forget who has a question before them."""
        self._db.execute("DELETE FROM claims WHERE item = ?", (item,))

    def ballots(self, item: ItemId, person: str) -> list[Ballot]:
        """Return a person's ballots on a question, in the order in which they were cast."""
        query = f"SELECT {BALLOT} FROM ballots WHERE item = ? AND person = ? ORDER BY number"  # noqa: S608
        return [ballot(row) for row in self._query(query, (item, person))]

    def cast(self, person: str, *, most: int) -> list[Ballot]:
        """Return a person's last ballots, the newest first."""
        query = f"SELECT {BALLOT} FROM ballots WHERE person = ? ORDER BY number DESC LIMIT ?"  # noqa: S608
        return [ballot(row) for row in self._query(query, (person, most))]

    def put_ballot(self, cast: Ballot) -> None:
        """Append a cast."""
        self._db.execute(
            f"INSERT INTO ballots ({BALLOT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                cast.item,
                cast.person,
                cast.stage,
                cast.slip,
                cast.at.isoformat(),
                cast.seconds,
                int(cast.counts),
                msgspec.json.encode(cast.body, order="deterministic"),
            ),
        )

    def sits(self, opinion: str, person: str) -> ItemId | None:
        """Return the question of an opinion that a person has answered."""
        query = "SELECT item FROM opinions WHERE opinion = ? AND person = ?"
        for (item,) in self._query(query, (opinion, person)):
            return ItemId(item)
        return None

    def opinions(self, person: str) -> frozenset[str]:
        """Return the opinions that a person has given."""
        rows = self._query("SELECT opinion FROM opinions WHERE person = ?", (person,))
        return frozenset(opinion for (opinion,) in rows)

    def put_opinion(self, opinion: str, person: str, item: ItemId) -> None:
        """Note that a person has given one of the opinions that are wanted."""
        self._db.execute("INSERT INTO opinions VALUES (?, ?, ?)", (opinion, person, item))

    def put_skip(self, skip: Skip) -> None:
        """Append a skip."""
        self._db.execute(
            "INSERT INTO skips VALUES (?, ?, ?, ?)",
            (skip.item, skip.person, skip.at.isoformat(), skip.reason),
        )

    def skipped(self, person: str) -> frozenset[ItemId]:
        """Return what a person passed over."""
        rows = self._query("SELECT DISTINCT item FROM skips WHERE person = ?", (person,))
        return frozenset(ItemId(item) for (item,) in rows)

    # People and passes

    def person(self, name: str) -> Person | None:
        """Return the person of a name, also one who left."""
        return next(self._people("WHERE name = ?", (name,)), None)

    def people(self) -> Sequence[Person]:
        """Return everyone, by name."""
        return list(self._people("ORDER BY name", ()))

    def _people(self, where: str, values: tuple[Any, ...]) -> Iterator[Person]:
        query = f'SELECT name, roles, since, "left" FROM people {where}'  # noqa: S608
        for name, roles, since, left in self._query(query, values):
            gone = None if left is None else datetime.fromisoformat(left)
            yield Person(name, _roles(roles), datetime.fromisoformat(since), gone)

    def put_person(self, person: Person) -> None:
        """Write a person in the place of the one of the same name."""
        self._db.execute(
            "INSERT OR REPLACE INTO people VALUES (?, ?, ?, ?)",
            (
                person.name,
                " ".join(sorted(person.roles)),
                person.since.isoformat(),
                None if person.left is None else person.left.isoformat(),
            ),
        )

    def find_pass(self, digest: str) -> Pass | None:
        """Return what a secret's hash opens."""
        return next(self._passes("digest = ?", digest), None)

    def passes(self, person: str) -> Sequence[Pass]:
        """Return a person's passes."""
        return list(self._passes("person = ?", person))

    def _passes(self, where: str, value: str) -> Iterator[Pass]:
        query = (
            f"SELECT digest, person, kind, scope, made, expires, label FROM passes WHERE {where}"  # noqa: S608
        )
        for digest, person, kind, scope, made, expires, label in self._query(query, (value,)):
            times = datetime.fromisoformat(made), datetime.fromisoformat(expires)
            yield Pass(digest, person, kind, _roles(scope), *times, label)

    def put_pass(self, one: Pass) -> None:
        """Write a pass."""
        self._db.execute(
            "INSERT OR REPLACE INTO passes VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                one.digest,
                one.person,
                one.kind,
                " ".join(sorted(one.scope)),
                one.made.isoformat(),
                one.expires.isoformat(),
                one.label,
            ),
        )

    def drop_pass(self, digest: str) -> None:
        """Forget a pass."""
        self._db.execute("DELETE FROM passes WHERE digest = ?", (digest,))

    def drop_passes(self, now: datetime) -> None:
        """Forget passes that have expired."""
        self._db.execute("DELETE FROM passes WHERE expires < ?", (now.isoformat(),))


def _roles(text: str) -> frozenset[Role]:
    return frozenset(text.split())  # type: ignore[arg-type]  # written by us, from Role
