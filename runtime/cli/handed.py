"""Questions in a terminal as the browser's desk has handed them: planted ones in their places.

Else whoever has one before them in the browser would know it by its absence here. It is for those
who look at lists; who reads the home's database knows all.
"""

from collections.abc import Sequence

from monastery.runtime.cli import audit_view
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.rows import StoredItem


def listed(book: DeskBook, found: Sequence[StoredItem], by: str) -> list[StoredItem]:
    """Return questions; a planted one that somebody has before them, for the one behind it."""
    there = {
        one.stands_for: StoredItem(book.shown(one.standing.question.item), "open")
        for one in book.standins(by)
        if one.standing.state == "open"
    }
    return [there.get(one.item.id, one) for one in found]


def find(book: DeskBook, named: str, by: str) -> StoredItem:
    """Return the question that a person means; see `audit_view.find`.

    Raises:
        BadInput: There is none, or there are several.
    """
    here = listed(book, book.items(), by)
    begun = [one for one in here if named and one.item.id.startswith(named)]
    return begun[0] if len(begun) == 1 else audit_view.find(book, named)
