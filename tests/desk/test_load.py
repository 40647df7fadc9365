"""Many at once, against a real server that dies in the middle: no double claim, no lost vote."""

import json
import subprocess
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from monastery.auditor.desk import door
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.people import Person
from monastery.runtime.records import ItemId
from tests.cli.conftest import MAIN, environment
from tests.desk.browser import LONG_SECONDS
from tests.desk.world import World

AUDITORS = 20
ITEMS = 200
DIES_AFTER = 80
"""So many ballots are acknowledged before the server is killed."""


class Mortal:
    """A server that is killed, and comes back under the same address.

    Attributes:
        up: Set while it listens.
    """

    def __init__(self, home: Path) -> None:
        self._home, self._port = home, "0"
        self.up = threading.Event()

    def start(self) -> str:
        """Start it; return its address."""
        argv = [*MAIN, "serve", "--home", str(self._home), "--by", "ada", "--json"]
        argv += ["--port", self._port, "--undo-seconds", "0"]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment())
        assert self._process.stdout is not None
        url = str(json.loads(self._process.stdout.readline())["url"])
        self._port = url.rstrip("/").rpartition(":")[2]
        self.up.set()
        return url

    def kill(self) -> None:
        """Kill it as a power cut would, with all that it was asked."""
        self.up.clear()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Crowd:
    """Programs that audit as fast as they can, and ask again what was cut off."""

    def __init__(self, server: Mortal, url: str) -> None:
        self.server, self.url = server, url
        self.claimed: defaultdict[str, set[str]] = defaultdict(set)
        self.acknowledged: list[tuple[str, str, str]] = []
        self.final: Counter[str] = Counter()
        self.cut = 0
        self.many = threading.Event()
        self._lock = threading.Lock()

    def audit(self, name: str, token: str) -> None:
        """Judge until nothing is left."""
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=None, verify=False) as http:
            while step := self._ask(http, "api/next", {}).get("step"):
                item = step["item"]
                with self._lock:
                    self.claimed[item].add(name)
                for stage in ("first", "second"):
                    if self._vote(http, name, item, stage):
                        break
                else:
                    raise AssertionError(f"{item} has two votes and no answer")

    def _vote(self, http: httpx.Client, name: str, item: str, stage: str) -> bool:
        said = {"stage": stage, "slip": stage, "decision": "approve", "score": 0.5}
        told = self._ask(http, f"api/item/{item}/vote", said)
        with self._lock:
            self.acknowledged.append((item, name, stage))
            self.final[item] += told["final"]
            if len(self.acknowledged) == DIES_AFTER:
                self.many.set()
        return bool(told["final"])

    def _ask(self, http: httpx.Client, path: str, body: dict[str, Any]) -> Any:
        while True:
            assert self.server.up.wait(LONG_SECONDS * 2)
            try:
                answer = http.post(path, json=body)
            except httpx.TransportError:
                with self._lock:
                    self.cut += 1
                continue
            assert answer.status_code == 200, answer.text
            return answer.json()


def test_no_double_claim_and_no_lost_vote_though_the_server_dies(world: World) -> None:
    """What was acknowledged is kept, what was cut off is asked again, and counts once."""
    items = [world.put(number, desk={"two_votes": number % 4 == 0}) for number in range(ITEMS)]
    tokens = {}
    for number in range(AUDITORS):
        person = Person(f"auditor-{number}", frozenset({"auditor"}), world.now)
        world.add(person.name, "auditor")
        tokens[person.name] = door.issue(world.book, person, "token", now=world.now)
    crowd = live(world.home, tokens)
    assert crowd.cut > 0
    assert {item: len(names) for item, names in crowd.claimed.items()} == dict.fromkeys(
        (item.id for item in items), 1
    )
    assert crowd.final == dict.fromkeys((item.id for item in items), 1)
    with DeskBook.open(world.home) as book:
        for item_id, name, stage in crowd.acknowledged:
            cast = book.ballots(ItemId(item_id), name)
            assert [one.counts for one in cast if one.slip == stage] == [True]
        for item in items:
            answer = book.answered(item.id)
            assert answer is not None
            assert {answer.by} == crowd.claimed[item.id]
            votes = 2 if item.body["desk"]["two_votes"] else 1
            assert len(answer.body["desk"]["ballots"]) == votes
            assert len(book.ballots(item.id, answer.by)) == votes


def live(home: Path, tokens: dict[str, str]) -> Crowd:
    """Let a crowd work at a server that dies among them."""
    server = Mortal(home)
    crowd = Crowd(server, server.start())
    try:
        with ThreadPoolExecutor(len(tokens)) as threads:
            work = [threads.submit(crowd.audit, *one) for one in tokens.items()]
            assert crowd.many.wait(LONG_SECONDS * 2)
            server.kill()
            server.start()
        for one in work:
            one.result()
    finally:
        server.kill()
    return crowd
