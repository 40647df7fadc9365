"""Rows of planted questions, and of votes that are held, in the database of the home."""

import base64
from datetime import datetime
from typing import Any

import msgspec

from monastery.runtime.canonical import canonical, sha256
from monastery.runtime.people import Question, Standing, question_of
from monastery.runtime.planted import Held, Judged, Planted, Standin
from monastery.runtime.planted_log import PlantedLog
from monastery.runtime.records import Answer, Item, ItemId, RunId
from monastery.runtime.store import raw

_COLUMNS = (
    "SELECT p.item, p.head, p.due, p.who, p.at, i.state, r.status, p.revealed,"
    " p.skipped, p.stands_for FROM planted p"
    " LEFT JOIN items i ON i.item = p.stands_for LEFT JOIN runs r ON r.run = p.run"
)
_JUDGED = "item, run, person, name, head, good, why, who, at, answer, skipped, revealed"


class PlantedRows(PlantedLog):
    """The part of a desk's book that keeps planted questions, and votes that are held."""

    # Questions

    def segments_of(self, person: str) -> set[str]:
        """Return the segments whose proposals a person has voted on."""
        rows = self._query("SELECT DISTINCT item FROM ballots WHERE person = ?", (person,))
        return {item.rpartition(".audit")[0] for (item,) in rows}

    def planted_before(self, person: str) -> set[str]:
        """Return what tells the proposals apart that a person was handed planted."""
        rows = self._query("SELECT same FROM planted WHERE person = ?1 OR who = ?1", (person,))
        return {same for (same,) in rows}

    def is_planted(self, item: str) -> bool:
        """Whether a question is planted."""
        return self.planted_standing(item) is not None

    def was_held(self, item: str) -> bool:
        """Whether a planted question was judged by somebody whose votes were held."""
        rows = self._query("SELECT TRUE FROM planted WHERE item = ? AND held", (item,))
        return any(True for _ in rows)

    def note_held(self, item: str) -> None:
        """Note that who judged a planted question had their votes held."""
        self._db.execute("UPDATE planted SET held = 1 WHERE item = ?", (item,))

    def put_planted(self, one: Planted) -> None:
        """Write a planted question."""
        self._db.execute(
            "INSERT INTO planted (item, person, stands_for, run, head, body, printed, name, same,"
            " good, why, sealed, salt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                one.item.id,
                one.person,
                one.stands_for,
                one.item.run,
                msgspec.json.encode(question_of(one.item)),
                msgspec.json.encode(one.item),
                one.printed,
                one.name,
                one.same,
                one.good,
                one.why,
                one.sealed,
                one.salt,
            ),
        )

    def standins(self, person: str) -> list[Standin]:
        """Return the planted questions that wait for a person, the oldest first."""
        rows = self._query(
            f"{_COLUMNS} WHERE p.person = ? AND p.who IS NULL AND p.revealed = 0", (person,)
        )
        return [Standin(_standing(row), ItemId(row[9])) for row in rows]

    def shadowed(self, person: str, now: datetime) -> set[ItemId]:
        """Return the questions whose planted stand-ins a person has judged and can still undo."""
        query = "SELECT stands_for, due FROM planted WHERE who = ? AND revealed = 0"
        return {
            ItemId(item)
            for item, due in self._query(query, (person,))
            if due is not None and now < datetime.fromisoformat(due)
        }

    def skip_planted(self, item: str) -> None:
        """Let nobody judge a planted question any more that was left to others."""
        self._db.execute("UPDATE planted SET skipped = 1 WHERE item = ?", (item,))

    def planted_standing(self, item: str) -> Standing | None:
        """Return where a planted question stands; None when there is none of that id."""
        for row in self._query(f"{_COLUMNS} WHERE p.item = ?", (item,)):
            return _standing(row)
        return None

    def planted_item(self, item: str) -> Item | None:
        """Return a planted question with all that it shows, None when it shows nothing more."""
        for (body,) in self._query("SELECT body FROM planted WHERE item = ?", (item,)):
            return None if body is None else msgspec.json.decode(body, type=Item)
        return None

    def planted_print(self, item: str) -> bytes | None:
        """Return what was printed with a planted question; None when it is none."""
        for (printed,) in self._query("SELECT printed FROM planted WHERE item = ?", (item,)):
            return raw(printed)
        return None

    def answer_planted(self, given: Answer) -> None:
        """Keep what somebody judged, or judged in place of it while it could be taken back."""
        self._db.execute(
            "UPDATE planted SET who = ?, at = ?, due = ?, answer = ? WHERE item = ?",
            (
                given.by,
                given.at.isoformat(),
                None if given.due is None else given.due.isoformat(),
                canonical(given.body),
                given.item,
            ),
        )
        told = {name: given.body.get(name) for name in ("decision", "score")}
        cast = given.body.get("desk", {}).get("ballots", ())
        seconds = sum(float(one.get("seconds", 0.0)) for one in cast)
        self.log(given.at, "answered", item=given.item, by=given.by, seconds=seconds, **told)

    def planted_answer(self, item: str) -> Answer | None:
        """Return how a planted question was judged."""
        query = "SELECT who, at, answer, due FROM planted WHERE item = ? AND who IS NOT NULL"
        for who, at, body, due in self._query(query, (item,)):
            from_then = None if due is None else datetime.fromisoformat(due)
            given = msgspec.json.decode(body)
            return Answer(ItemId(item), who, datetime.fromisoformat(at), given, from_then)
        return None

    # What became of them

    def reveal(self, now: datetime, *, judged: bool = False) -> None:
        """Reveal what is known of every planted question that nobody can judge any more.

        Args:
            now: The time.
            judged: Also of those whose judgement could still be taken back; then it cannot.
        """
        query = f"{_COLUMNS} WHERE p.revealed = 0"
        over = []
        for row in self._query(query, ()):
            standing = _standing(row)
            deadline = standing.question.deadline
            done = standing.due is not None and (judged or now >= standing.due)
            late = standing.due is None and deadline is not None and now > deadline
            if done or late or (standing.due is None and standing.state != "open"):
                over.append(row[0])
        for item in over:
            query = "SELECT sealed, salt, good FROM planted WHERE item = ?"
            for sealed, salt, good in list(self._query(query, (item,))):
                self.log(
                    now,
                    "revealed",
                    item=item,
                    salt=raw(salt).hex(),
                    sealed_sha256=sha256(raw(sealed)),
                    good=bool(good),
                )
            # What was shown holds words of its run, which may have to be erased one day.
            self._db.execute(
                "UPDATE planted SET revealed = 1, body = NULL, printed = x'' WHERE item = ?",
                (item,),
            )

    def judged(self, person: str | None = None) -> list[Judged]:
        """Return the planted questions that a person judged or left, or all, in order of time."""
        query = f"SELECT {_JUDGED} FROM planted"  # noqa: S608 - names of ours
        where = "" if person is None else " WHERE who = ?1 OR (skipped AND person = ?1)"
        rows = self._query(f"{query}{where} ORDER BY at, item", () if person is None else (person,))
        return [_judged(row) for row in rows]

    def sealed_of(self, item: str) -> tuple[bytes, bytes] | None:
        """Return what is known of a planted question, and the salt of its commitment."""
        for sealed, salt in self._query("SELECT sealed, salt FROM planted WHERE item = ?", (item,)):
            return raw(sealed), raw(salt)
        return None

    def planted_payload(self, item: str) -> bytes:
        """Return the bytes that a planted question proposed."""
        kept = self.sealed_of(item)
        if kept is None:
            return b""
        return base64.b64decode(msgspec.json.decode(kept[0])["payload_base64"])

    def planted_seen(self, run: str, item: str) -> int | None:
        """Return the first event of a run, or answer to it, that names a planted question."""
        query = "SELECT seq FROM events WHERE run = ? AND instr(body, ?) ORDER BY seq LIMIT 1"
        for (seq,) in self._query(query, (run, item.encode())):
            return int(seq)
        for _ in self._query("SELECT item FROM answers WHERE item = ?", (item,)):
            return -1
        return None

    # Votes that are held

    def hold_vote(self, one: Held) -> None:
        """Keep a vote from its run, for an adjudicator to decide."""
        self._db.execute(
            "INSERT INTO holds VALUES (?, ?, ?, ?)",
            (one.item, one.person, one.at.isoformat(), canonical(dict(one.body))),
        )
        self.log(one.at, "held", item=one.item, by=one.person)

    def held_vote(self, item: str) -> Held | None:
        """Return the vote on a question that is held."""
        query = "SELECT person, at, body FROM holds WHERE item = ?"
        for person, at, body in self._query(query, (item,)):
            when = datetime.fromisoformat(at)
            return Held(ItemId(item), person, when, msgspec.json.decode(body))
        return None

    def held_votes(self) -> dict[str, str]:
        """Return whose vote is held on which question that is open."""
        query = "SELECT h.item, h.person FROM holds h JOIN items i ON i.item = h.item"
        return dict(self._query(f"{query} WHERE i.state = 'open'", ()))


def _standing(row: tuple[Any, ...]) -> Standing:
    """Return where a planted question stands: as the real one would in whose place it is."""
    _, head, due, who, at, state, status, revealed, skipped, _ = row
    question = msgspec.json.decode(head, type=Question)
    until = at if revealed else due or at
    answered = None if at is None else datetime.fromisoformat(until)
    if who is not None:
        return Standing(question, "open", answered, who)
    gone = state == "withdrawn" or status in ("done", "failed")
    return Standing(question, "withdrawn" if gone else "answered" if skipped else "open")


def _judged(row: tuple[Any, ...]) -> Judged:
    item, run, person, name, head, good, why, who, at, answer, skipped, revealed = row
    said = None if answer is None else msgspec.json.decode(answer)
    question = msgspec.json.decode(head, type=Question)
    return Judged(
        item=ItemId(item),
        run=RunId(run),
        person=person,
        name=name,
        kind=question.kind,
        floor=question.floor,
        good=bool(good),
        why=why,
        by=who,
        at=None if at is None else datetime.fromisoformat(at),
        passed=None if said is None else said.get("decision") == "approve",
        skipped=bool(skipped),
        final=bool(revealed),
    )
