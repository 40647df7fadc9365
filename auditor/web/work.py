"""How somebody judged planted questions: for themselves, and for researchers and admins of all."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from monastery.auditor.desk.book import Book
from monastery.auditor.desk.planting import Recall, is_held, recall_of
from monastery.auditor.desk.rules import Caller
from monastery.auditor.web import session
from monastery.auditor.web.office import Office
from monastery.auditor.web.pages import page
from monastery.runtime.planted import Judged

MOST_TOLD = 100


@dataclass(frozen=True, slots=True)
class Work:
    """What one person did.

    Attributes:
        floor: The strictest floor of the projects whose planted steps they judged.
        held: Whether their votes are held there.
        skipped: How many they left to others.
        judged: What can be told, the newest first, with the bytes that would have been used.
    """

    name: str
    recall: Recall
    floor: float
    held: bool
    skipped: int
    judged: list[tuple[Judged, bytes]] = field(default_factory=list)


async def work(request: Request) -> Response:
    """Show who looks how they do; a researcher or an admin how everyone does."""
    by = await session.visit(request)
    if by is None:
        return RedirectResponse("/enter", 303)
    office: Office = request.app.state.office
    now = office.now()
    mine, others = await office.ask(_look, office.clerk.book, by.caller, now)
    waiting = await office.ask(office.clerk.count, by.caller, now)
    return page(request, "work.html", by, mine=mine, others=others, now=now, waiting=waiting)


def _look(book: Book, caller: Caller, now: datetime) -> tuple[Work, list[Work]]:
    with book.turn():
        book.reveal(now)
    mine = _work_of(caller.name, book.judged(caller.name))
    last = [one for one in book.judged(caller.name) if one.final and one.by][::-1][:MOST_TOLD]
    mine = replace(mine, judged=[(one, book.planted_payload(one.item)) for one in last])
    if not caller.roles & {"researcher", "admin"}:
        return mine, []
    names = {one.by for one in book.judged() if one.by is not None} - {caller.name}
    return mine, [_work_of(name, book.judged(name)) for name in sorted(names)]


def _work_of(name: str, judged: list[Judged]) -> Work:
    recall = recall_of(judged)
    floor = max((one.floor for one in judged), default=0.0)
    return Work(name, recall, floor, is_held(recall, floor), sum(one.skipped for one in judged))
