"""The application: what is found under which path."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import jinja2
import trio
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from monastery.auditor.dig.digs import Digs
from monastery.auditor.web import api, digging, live, pages, people, record, session, text, work
from monastery.auditor.web.guard import Guard, Rate
from monastery.auditor.web.office import Office

_HERE = Path(__file__).parent


def make(
    office: Office,
    *,
    names: Iterable[str],
    desk: str,
    secure: bool = False,
    beside: Sequence[Callable[[], Awaitable[None]]] = (),
    waking: Callable[[str], str | None] = lambda run: None,
    digs: Digs | None = None,
    clock: Callable[[], float] = trio.current_time,
) -> ASGIApp:
    """Return the desk as an ASGI application.

    Args:
        office: Where it asks.
        names: The hosts it answers to, with their ports.
        desk: What tells it from other desks on the same host, its home say.
        secure: Whether browsers reach it by https alone.
        beside: What else runs while it is served.
        waking: Returns the command that goes on with a run, when nothing runs it.
        digs: Opens copies of boxes; None opens none.
        clock: For the rate limits [seconds].
    """
    board = live.Board(office)

    @asynccontextmanager
    async def watched(app: Starlette) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(office.watch)
            nursery.start_soon(board.keep)
            if digs is not None:
                nursery.start_soon(digs.keep)
            for one in beside:
                nursery.start_soon(one)
            yield
            nursery.cancel_scope.cancel()

    app = Starlette(
        routes=[
            Route("/", pages.queue),
            Route("/next", pages.take_next, methods=["POST"]),
            Route("/item/{item}", pages.item),
            Route("/item/{item}/vote", pages.vote, methods=["POST"]),
            Route("/item/{item}/undo", pages.undo, methods=["POST"]),
            Route("/item/{item}/correct", pages.correct, methods=["POST"]),
            Route("/item/{item}/skip", pages.skip, methods=["POST"]),
            Route("/item/{item}/payload", pages.payload),
            Route("/item/{item}/evidence/{number:int}", pages.evidence),
            Route("/item/{item}/proposal/{place:int}/payload", pages.offered_payload),
            Route(
                "/item/{item}/proposal/{place:int}/evidence/{number:int}", pages.offered_evidence
            ),
            Route("/item/{item}/dig", digging.begin, methods=["POST"]),
            Route("/dig/{dig}", digging.act, methods=["POST"]),
            Route("/dig/{dig}/screen", digging.screen),
            Route("/enter", people.enter, methods=["GET", "POST"]),
            Route("/leave", people.leave, methods=["POST"]),
            Route("/people", people.people, methods=["GET", "POST"]),
            Route("/record", record.record),
            Route("/work", work.work),
            Route("/events", live.events),
            Route("/api/waiting", api.waiting),
            Route("/api/record", record.as_data),
            Route("/api/record/{item}", record.as_data),
            Route("/api/next", api.take_next, methods=["POST"]),
            Route("/api/item/{item}", api.show),
            Route("/api/item/{item}/vote", api.vote, methods=["POST"]),
            Route("/api/item/{item}/skip", api.skip, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ],
        exception_handlers={
            404: pages.broken,
            403: pages.broken,
            400: pages.broken,
            405: pages.broken,
            413: pages.broken,
            415: pages.broken,
        },
        lifespan=watched,
    )
    app.state.office = office
    app.state.waking = waking
    app.state.secure = secure
    app.state.cookie = session.cookie(desk)
    app.state.board = board
    app.state.digs = digs
    app.state.templates = _templates()
    return Guard(
        app,
        names,
        requests=Rate(burst=2000, per_second=1000, now=clock),
        people=Rate(burst=300, per_second=50, now=clock),
        sign_ins=Rate(burst=10, per_second=0.2, now=clock),
    )


def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "safe_text": text.safe,
        "line": text.line,
        "code": text.code,
        "size": text.size,
        "measure": text.measure,
        "digest": text.digest,
        "when": text.when,
        "span": text.span,
        "as_json": text.as_json,
    }
    return found
