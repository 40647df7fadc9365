"""Questions in a terminal as the browser's desk has handed them: planted ones in their places.

Else whoever has one before them in the browser would know it by its absence here. It is for those
who look at lists; who reads the home's database knows all.
"""

from collections.abc import Sequence

from monastery.runtime.cli import audit_view
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.errors import BadInput
from monastery.runtime.records import Answer
from monastery.runtime.rows import StoredItem
from monastery.runtime.store import Store


def listed(store: Store, found: Sequence[StoredItem], by: str) -> list[StoredItem]:
    """Return questions; a planted one that somebody has before them, for the one behind it."""
    with DeskBook.open(store.home) as book:
        there = {
            one.stands_for: StoredItem(book.shown(one.standing.question.item), "open")
            for one in book.standins(by)
            if one.standing.state == "open"
        }
    return [there.get(one.item.id, one) for one in found]


def find(store: Store, named: str, by: str) -> StoredItem:
    """Return the question that a person means; see `audit_view.find`.

    Raises:
        BadInput: There is none, or there are several.
    """
    here = listed(store, store.items(), by)
    begun = [one for one in here if named and one.item.id.startswith(named)]
    return begun[0] if len(begun) == 1 else audit_view.find(store, named)


def answer(store: Store, given: Answer) -> None:
    """Put an answer where it belongs: to its run, or among what was planted.

    Raises:
        BadInput: See `Store.answer`.
    """
    with DeskBook.open(store.home) as book, book.turn():
        standing = book.planted_standing(given.item)
        if standing is not None:
            deadline = standing.question.deadline
            if standing.by is not None:
                raise BadInput(f"item {given.item!r} was answered by {standing.by!r} already")
            if standing.state != "open":
                raise BadInput(f"item {given.item!r} is no longer open: it was withdrawn")
            if deadline is not None and given.at > deadline:
                raise BadInput(f"item {given.item!r} expired at {deadline:%Y-%m-%d %H:%M:%S %Z}")
            book.answer_planted(given)
            return
    store.answer(given)
