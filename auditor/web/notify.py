"""Telling people that something waits: by a program of theirs, or a chat's incoming webhook.

What is told is how many questions wait, and where. Nothing that an agent wrote is in it. What
cannot be told is logged, and told with the next news; the desk goes on.
"""

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpcore
import structlog
import trio

from monastery.auditor.web.office import Office

log = structlog.get_logger()

GATHER_SECONDS = 5.0
"""How long more is gathered after something new, so that ten at once are one notice."""
PAUSE_SECONDS = 60.0
"""How long it is silent after a notice."""
LIMIT_SECONDS = 30.0
"""How long a program or a chat may take to be told."""


@dataclass(frozen=True, slots=True)
class News:
    """What is told: how many questions wait in all, how many of them are new, and where."""

    waiting: int
    new: int
    url: str

    @property
    def text(self) -> str:
        """One line for a person."""
        one = self.waiting == 1
        return f"{self.waiting} {'step waits' if one else 'steps wait'} for people at {self.url}"


Teller = Callable[[News], Awaitable[None]]


async def notify(
    office: Office,
    url: str,
    tellers: Sequence[Teller],
    *,
    gather_seconds: float = GATHER_SECONDS,
    pause_seconds: float = PAUSE_SECONDS,
) -> None:
    """Tell of new questions, for ever; those that wait already are new at first.

    Args:
        office: Where it looks.
        url: Where the desk is.
        tellers: Who tells; one that fails leaves the others alone.
        gather_seconds, pause_seconds: See the constants.
    """
    told: frozenset[str] = frozenset()
    while True:
        if not (await office.ask(_open, office)) - told:
            await office.news()
            continue
        await trio.sleep(gather_seconds)
        now = await office.ask(_open, office)
        fresh = now - told
        told = now
        if fresh:
            news = News(len(now), len(fresh), url)
            async with trio.open_nursery() as nursery:
                for teller in tellers:
                    nursery.start_soon(_tell, teller, news)
            await trio.sleep(pause_seconds)


def by_program(argv: Sequence[str]) -> Teller:
    """Return what runs a program, with the news as a line of JSON on its standard input."""

    async def tell(news: News) -> None:
        line = {"waiting": news.waiting, "new": news.new, "url": news.url, "text": news.text}
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        await trio.run_process(
            list(argv), stdin=json.dumps(line).encode() + b"\n", env=environment, stdout=None
        )

    return tell


def by_webhook(address: str) -> Teller:
    """Return what sends ``{"text": …}``, which chats take at an incoming webhook."""

    async def tell(news: News) -> None:
        headers = [("Content-Type", "application/json")]
        content = json.dumps({"text": news.text}).encode()
        async with httpcore.AsyncConnectionPool() as pool:
            answer = await pool.request("POST", address, headers=headers, content=content)
        if not 200 <= answer.status < 300:
            raise OSError(f"it answered {answer.status}")

    return tell


def _open(office: Office) -> frozenset[str]:
    return frozenset(standing.question.item for standing in office.clerk.book.waiting())


async def _tell(teller: Teller, news: News) -> None:
    try:
        with trio.fail_after(LIMIT_SECONDS):
            await teller(news)
    except Exception as exc:  # noqa: BLE001 - whoever cannot be told, the desk goes on
        # By its type alone: an address is a secret, and stands in some messages.
        by = getattr(teller, "__qualname__", "teller").partition(".")[0]
        log.warning("notice.failed", by=by, error=type(exc).__name__)
