"""What one request costs the desk's server, beside what it would cost without a desk.

    python benchmarks/desk_costs.py [--items 2000] [--times 300] [--pages 50] [--json]

One program asks, one request after the other, on a connection that stays open. Beside each the
time until the answer is there stands the time that the server's threads spent on a processor, which
other work on the machine lengthens little. `--pages` is how many pages are open meanwhile and told
what changes; what they cost is in what the requests cost.

empty   a route without anything, served in the same way: what HTTP costs here
commit  a row, durable, in a database of the same settings: what the disk costs
claim   `POST /api/next`, of a queue whose first half is answered
first   `POST /api/item/…/vote`, the blind one
second  the same, the one that makes the answer
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
import httpx
import trio
from desk import busy_seconds, fill, serving, serving_nothing

from monastery.auditor.web.session import cookie
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.records import Answer


class Meter:
    """Asks, and notes how long the answer took, and how long the server was at it [s]."""

    def __init__(self, http: httpx.AsyncClient, process: int) -> None:
        self._http, self._process = http, process
        self.took: dict[str, list[tuple[float, float]]] = {}

    async def post(self, kind: str, url: str, body: dict[str, Any]) -> Any:
        """Ask once."""
        busy, began = busy_seconds(self._process), time.perf_counter()
        answer = await self._http.post(url, json=body)
        took = time.perf_counter() - began
        answer.raise_for_status()
        pair = (took, busy_seconds(self._process) - busy)
        self.took.setdefault(kind, []).append(pair)
        return answer.json()


async def empty(url: str, process: int, times: int) -> dict[str, list[tuple[float, float]]]:
    """Ask a server that does nothing."""
    async with httpx.AsyncClient(timeout=60.0) as http:
        meter = Meter(http, process)
        for _ in range(times):
            await meter.post("empty", url, {"stage": "first", "decision": "approve"})
    return meter.took


async def judged(
    url: str, process: int, tokens: list[str], times: int, pages: list[dict[str, str]]
) -> dict[str, list[tuple[float, float]]]:
    """Judge so many questions, each twice."""
    async with reading(url, pages), httpx.AsyncClient(timeout=60.0) as http:
        meter = Meter(http, process)
        for number in range(times):  # nobody asks oftener than the desk lets one
            http.headers["authorization"] = f"Bearer {tokens[number % len(tokens)]}"
            item = (await meter.post("claim", url + "api/next", {}))["step"]["item"]
            for stage in ("first", "second"):
                said = {"stage": stage, "slip": stage, "decision": "approve", "score": 0.5}
                await meter.post(stage, f"{url}api/item/{item}/vote", said)
    return meter.took


@asynccontextmanager
async def reading(url: str, pages: list[dict[str, str]]) -> AsyncIterator[None]:
    """Have pages open, each with its own cookie."""

    async def one(headers: dict[str, str], task_status: trio.TaskStatus[None]) -> None:
        async with (
            httpx.AsyncClient(headers=headers, timeout=None, verify=False) as http,
            http.stream("GET", url + "events") as stream,
        ):
            task_status.started()
            async for _ in stream.aiter_lines():
                pass

    async with trio.open_nursery() as nursery:
        for headers in pages:
            await nursery.start(one, headers)
        yield
        nursery.cancel_scope.cancel()


def answer_first(home: Path, count: int) -> None:
    """Answer the oldest questions; no run takes them."""
    with DeskBook.open(home) as book, book.turn():
        for standing in islice(book.waiting(), count):
            said = {"decision": "approve", "score": 0.5}
            book.put_answer(Answer(standing.question.item, "ada", datetime.now(UTC), said))


def commits(home: Path, times: int) -> list[tuple[float, float]]:
    """Write rows, each durable, as the store does."""
    db = apsw.Connection(str(home / "commits.sqlite3"))
    db.execute("PRAGMA journal_mode=WAL")
    db.pragma("synchronous", "FULL")
    db.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, body BLOB)")
    took = []
    for _ in range(times):
        busy, began = time.thread_time(), time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO rows (body) VALUES (?)", (os.urandom(300),))
        db.execute("COMMIT")
        took.append((time.perf_counter() - began, time.thread_time() - busy))
    db.close()
    return took


def figures(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Return medians, and the 95th percentile [ms]."""
    wall, busy = ([one[side] * 1000 for one in pairs] for side in (0, 1))
    high: Callable[[list[float]], float] = lambda some: statistics.quantiles(some, n=20)[18]  # noqa: E731
    return {
        "processor": round(statistics.median(busy), 2),
        "processor_mean": round(statistics.fmean(busy), 2),
        "wall": round(statistics.median(wall), 2),
        "wall_p95": round(high(wall), 2),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    took: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        with serving_nothing() as (url, process):
            took |= trio.run(empty, url, process, asked.times)
        took["commit"] = commits(home, asked.times)
        secrets = fill(home, asked.items, max(asked.pages, 20))
        answer_first(home, asked.items // 2)
        name = cookie(str(home.resolve()))
        pages = [{"cookie": f"{name}={session}"} for _, session in secrets[: asked.pages]]
        with serving(home) as (url, process):
            took |= trio.run(
                judged, url, process, [token for token, _ in secrets], asked.times, pages
            )
    told = {kind: figures(pairs) for kind, pairs in took.items()} | {"load": os.getloadavg()[0]}
    if asked.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name:8} {value}")


if __name__ == "__main__":
    main()
