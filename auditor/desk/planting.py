"""Planting: whether a person is handed a planted question first, which one, and how they do.

A planted question takes the place of one that a run really asks, and looks like it in all but the
proposal: goal, story, settings, times, the form of its id. It comes before the real one and never
after it, so that at the moment of judging nothing tells them apart; and it is in nobody else's
queue. The real question waits for whoever comes next, who may be the same person.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from monastery.auditor.desk.book import Book
from monastery.auditor.intervals import Share, wilson
from monastery.runtime import planted as nouns
from monastery.runtime.draw import commitment as seed_commitment
from monastery.runtime.draw import new_seed
from monastery.runtime.people import Question
from monastery.runtime.planted import Judged, Known, Planted
from monastery.runtime.records import ItemId, RunId

_ALL = 1.0


class Shelf(Protocol):
    """Where known proposals lie."""

    def known(self, run: RunId, kind: str) -> Sequence[Known]:
        """Return those of a kind that the project of a run has, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Recall:
    """How often somebody judged planted questions rightly.

    Attributes:
        bad: Of the bad ones, those that they did not let through.
        good: Of the good ones, those that they let through.
    """

    bad: Share
    good: Share


def recall_of(judged: Iterable[Judged]) -> Recall:
    """Return a person's recall, of what can no longer be taken back."""
    final = [one for one in judged if one.final and one.by is not None]
    bad = [one.right for one in final if not one.good]
    good = [one.right for one in final if one.good]
    return Recall(wilson(sum(bad), len(bad)), wilson(sum(good), len(good)))


def is_held(recall: Recall, floor: float) -> bool:
    """Whether somebody's votes are held: one of their two shares is surely below the floor.

    Of both, for who rejects everything catches all that is bad.
    """
    return any(nouns.below(share.count, share.of, floor) for share in (recall.bad, recall.good))


class Planter:
    """Draws planted questions for one book.

    Args:
        book: The rows.
        shelf: The known proposals.
    """

    def __init__(self, book: Book, shelf: Shelf) -> None:
        self._book, self._shelf = book, shelf

    def before(self, question: Question, person: str, now: datetime) -> ItemId | None:
        """Return the planted question that a person gets before this one; None when they get none.

        It is drawn once for each question and person: who comes back draws nothing. That it was
        drawn, and what is known of the planted one, is in the log before anything is shown.
        """
        book, item = self._book, question.item
        if not nouns.counts(question) or book.has_drawn(item, person):
            return None
        claim = book.claim_of(item)
        if (claim is not None and claim.person == person) or book.ballots(item, person):
            return (
                None  # they have seen it: what came now at the same step would be the planted one
            )
        # Chosen whatever the lot says: what takes long takes as long where nothing is planted.
        seed = self._seed(now)
        chosen = self._choose(question, person, seed)
        lot = nouns.drawn(seed, item, person, question.planted)
        known = chosen if lot.audited else None
        book.put_drawn(item, person, known is not None)
        book.log(
            now,
            "drawn",
            item=item,
            person=person,
            u=lot.u,
            probability=lot.probability,
            planted=known is not None,
        )
        return None if known is None else self._plant(known, question, person, now)

    def close(self, now: datetime) -> None:
        """Reveal what was judged or is over, and the seed of the draws, which is used no more."""
        with self._book.turn():
            self._book.reveal(now, judged=True)
            seed = self._book.planting_seed()
            if seed is not None:
                self._book.log(now, "seed.revealed", seed=seed.hex())
                self._book.drop_planting_seed()

    def _seed(self, now: datetime) -> bytes:
        seed = self._book.planting_seed()
        if seed is None:
            seed = new_seed()
            self._book.put_planting_seed(seed)
            self._book.log(now, "seed.committed", commitment=seed_commitment(seed))
        return seed

    def _choose(self, question: Question, person: str, seed: bytes) -> Known | None:
        """Return one that the person cannot know, by lot."""
        seen, voted = self._book.planted_before(person), self._book.segments_of(person)
        fresh = [
            one
            for one in self._shelf.known(question.run, question.kind)
            # One of this very run would be told among its earlier steps.
            if one.same not in seen
            and one.source not in voted
            and one.source.rpartition(".")[0] != question.run
        ]
        if not fresh:
            return None
        lot = nouns.drawn(seed, question.item, person, _ALL, what="which")
        return fresh[int(lot.u * len(fresh))]

    def _plant(self, known: Known, question: Question, person: str, now: datetime) -> ItemId:
        base = question.item.partition("~")[0]
        name = ItemId(f"{base}~{nouns.new_tag()}")
        while self._book.standing(name) is not None:
            name = ItemId(f"{base}~{nouns.new_tag()}")
        sealed, salt = known.sealed(), secrets.token_bytes(nouns.SALT_BYTES)
        self._book.log(
            now,
            "committed",
            item=name,
            person=person,
            stands_for=question.item,
            commitment=nouns.commitment(salt, sealed),
        )
        item = nouns.question_for(known, self._book.shown(question.item), name)
        self._book.put_planted(
            Planted(
                item=item,
                person=person,
                stands_for=question.item,
                good=known.good,
                why=known.why,
                name=known.name,
                same=known.same,
                sealed=sealed,
                salt=salt,
                printed=known.printed,
            )
        )
        return name
