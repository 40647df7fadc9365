"""How quick the desk is for many: claims and votes over HTTP, and that none is lost or doubled.

    python benchmarks/desk.py [--auditors 50] [--items 5000] [--think-seconds 0.5] [--json]

A real server in a process of its own, a real home, programs with tokens. Each auditor has a page
open that is told what waits, claims, thinks, votes, thinks, votes again, until nothing is left.
With `--think-seconds 0` nobody thinks, and the figures are those of a server that is asked as fast
as it answers.

claim  `POST /api/next`: the next question, claimed, with all that it shows
vote   `POST /api/item/…/vote`: a ballot, durable; every second one makes an answer
empty  a route without anything, served in the same way by another process, asked in between: what
       is left on this machine, as busy as it is, for a server that has nothing to do

50 people who think for half a second are 100 requests a second, which no 50 people are: with
`--think-seconds 10` they are five. What one request costs the server's processor when nothing else
happens, and of that what a server without a desk costs, is measured by `benchmarks/desk_costs.py`.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx
import trio

from monastery.auditor.desk import door
from monastery.auditor.web.session import cookie
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.owner import this_process
from monastery.runtime.people import Person
from monastery.runtime.records import Item, ItemId, RunId
from monastery.runtime.rows import Append, Entry, PutItem

RUN = RunId("load-20261121-091500-k3f9")
KINDS: tuple[Literal["token", "session"], ...] = ("token", "session")
WORDS = "def mean(values):\n    return sum(values) / len(values)\n" * 40


EMPTY = """
import os, socket, sys, trio, hypercorn.trio
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def empty(request):
    await request.body()
    return JSONResponse({"item": None})

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = Config()
config.bind, config.loglevel = [f"fd://{os.dup(listener.fileno())}"], "WARNING"
trio.run(hypercorn.trio.serve, Starlette(routes=[Route("/", empty, methods=["POST"])]), config)
"""


def fill(home: Path, items: int, auditors: int) -> list[tuple[str, str]]:
    """Make a home with so many questions, of some 4 KiB each; return each auditor's secrets.

    Returns:
        A token and a session's secret for each.
    """
    now = datetime.now(UTC)
    with DeskBook.open(home) as book:
        row = book.create_run(
            RUN, project="load", project_path=home, owner=this_process(), seed=bytes(32)
        )
        changes = [PutItem(_item(number, now)) for number in range(1, items + 1)]
        entry = Entry(0, hashlib.sha256(row.head).digest(), b"{}")
        (refused,) = book.append(
            [Append(RUN, row.owner or "", row.epoch, 0, row.head, [entry], changes=changes)]
        )
        assert refused is None
        secrets = []
        for number in range(auditors):
            person = Person(f"auditor-{number}", frozenset({"auditor"}), now)
            with book.turn():
                book.put_person(person)
            token, session = (door.issue(book, person, kind, now=now) for kind in KINDS)
            secrets.append((token, session))
        return secrets


def _item(number: int, now: datetime) -> Item:
    body = {
        "goal": "mend the package",
        "kind": "note",
        "step": number,
        "rendering": WORDS,
        "rationale": "it is right",
        "digest": f"{number:064x}",
    }
    return Item(ItemId(f"{RUN}.{number}.audit"), RUN, "audit", now, None, body)


async def load(
    url: str, empty: str, name: str, secrets: list[tuple[str, str]], think_seconds: float
) -> dict[str, Any]:
    """Judge everything; return how long each kind of request took, and what was judged."""
    took: dict[str, list[float]] = {"empty": [], "claim": [], "vote": []}
    claimed: Counter[str] = Counter()
    final: Counter[str] = Counter()
    refused: Counter[str] = Counter()

    told = Counter[str]()

    # Nothing here is encrypted; a client that reads certificates all the same takes 20 ms to make,
    # which a hundred of them would add to what the first who ask wait.
    async def page(session: str) -> None:
        headers = {"cookie": f"{name}={session}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=None, verify=False) as http,
            http.stream("GET", url + "events") as stream,
        ):
            async for line in stream.aiter_lines():
                told["news"] += line.startswith("data:")

    async def auditor(number: int, token: str) -> None:
        chance = random.Random(number)

        async def think() -> None:
            await trio.sleep(chance.uniform(0.5, 1.5) * think_seconds)

        async def ask(kind: str, path: str, body: dict[str, Any]) -> Any:
            began = time.perf_counter()
            answer = await http.post(path, json=body)
            took[kind].append(time.perf_counter() - began)
            body = answer.json()
            if answer.status_code != 200:
                refused[body.get("refused", str(answer.status_code))] += 1
            return body

        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(headers=headers, timeout=120.0, verify=False) as http:
            await trio.sleep(chance.uniform(0, 1) * think_seconds)
            while (sheet := await ask("claim", url + "api/next", {})).get("step"):
                item = sheet["step"]["item"]
                claimed[item] += 1
                for stage in ("first", "second"):
                    await think()
                    said = {"stage": stage, "slip": stage, "decision": "approve", "score": 0.5}
                    heard = await ask("vote", f"{url}api/item/{item}/vote", said)
                    final[item] += bool(heard.get("final"))
                await ask("empty", empty, {})

    began = time.perf_counter()
    async with trio.open_nursery() as pages:
        for _, session in secrets:
            pages.start_soon(page, session)
        async with trio.open_nursery() as nursery:
            for number, (token, _) in enumerate(secrets):
                nursery.start_soon(auditor, number, token)
        pages.cancel_scope.cancel()
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "claimed_twice": sum(times > 1 for times in claimed.values()),
        "answers": sum(final.values()),
        "answered_twice": sum(times > 1 for times in final.values()),
        "refused": dict(refused),
        "pages_told": told["news"],
        **{f"{kind}_ms": _figures(times) for kind, times in took.items()},
    }


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, int]]:
    """Serve a home from a process of its own; give its address and its number."""
    argv = [sys.executable, "-m", "monastery.runtime.cli.main", "serve", "--json"]
    argv += ["--port", "0", "--home", str(home), "--undo-seconds", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())["url"], server.pid
        finally:
            server.terminate()


@contextmanager
def serving_nothing() -> Iterator[tuple[str, int]]:
    """Serve an empty route in the same way; give its address and its process's number."""
    argv = [sys.executable, "-c", EMPTY]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/", server.pid
        finally:
            server.terminate()


def busy_seconds(process: int) -> float:
    """Return how long a process's threads that live have been on a processor."""
    total = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:  # it has ended meanwhile
            continue
    return total / 1e9


def _figures(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles([one * 1000 for one in times], n=100)
    return {
        "count": len(times),
        "median": round(cuts[49], 1),
        "p95": round(cuts[94], 1),
        "max": round(max(times) * 1000, 1),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--auditors", type=int, default=50)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--think-seconds", type=float, default=0.5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        secrets = fill(home, asked.items, asked.auditors)
        before = os.getloadavg()[0]
        with serving(home) as (url, process), serving_nothing() as (empty, _):
            name = cookie(str(home.resolve()))
            idle = busy_seconds(process)
            told = trio.run(load, url, empty, name, secrets, asked.think_seconds)
            busy = busy_seconds(process) - idle
        told["server_busy"] = round(busy / told["seconds"], 2)
        asks = told["claim_ms"]["count"] + told["vote_ms"]["count"]
        told["server_ms_each"] = round(busy / asks * 1000, 2)
        told["load_before"] = round(before, 2)
        with DeskBook.open(home) as book:
            answered = sum(book.answered(one.item.id) is not None for one in book.items())
        told["lost"] = asked.items - answered
    if asked.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name:16} {value}")


if __name__ == "__main__":
    main()
