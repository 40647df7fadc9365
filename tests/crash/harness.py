"""The harness: it starts runs, kills them, starts them again, and asks the oracle.

One process without threads, which forks its victims. Several runs are in flight at a time; what is
killed where depends on the seed, the run and the life alone, so one run can be replayed by itself.
"""

import json
import os
import random
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monastery.runtime.records import Answer, Item
from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from tests.crash import oracle
from tests.crash.oracle import COUNTS, Event, Fault
from tests.crash.place import Place, still_acting
from tests.crash.points import POINTS, Points
from tests.crash.victim import forked

KILLS_IN_A_RUN = 12
MOST_BROKEN = 3
SILENT_SECONDS = 240.0
_TICK_SECONDS = 0.02
_PEOPLE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Kill:
    """When a life ends: at a named point, some time after so many events, or after some time.

    Attributes:
        point: A named point, at which the process kills itself when it is there again and again.
        events: Kill from outside when so many events were acknowledged, `seconds` later.
        plain: Whether the program runs without points and without a pipe.
    """

    point: str = ""
    occurrence: int = 1
    events: int | None = None
    seconds: float = 0.0
    plain: bool = False

    def __str__(self) -> str:
        if self.point:
            return f"{self.point!r}, time {self.occurrence}"
        if self.plain:
            return f"{self.seconds:.3f} s after its start"
        return f"{self.seconds * 1000:.1f} ms after event {self.events} of the life"


NEVER = Kill()


def chosen(seed: int, run: int, life: int) -> Kill:
    """Return how a life is to end."""
    chance = random.Random(f"{seed}/{run}/{life}")
    how = chance.random()
    if how < 0.6:
        return Kill(chance.choice(POINTS), chance.choice([1, 1, 1, 2]))
    if how < 0.85:
        return Kill(events=chance.randint(1, 14), seconds=chance.random() ** 3 * 0.2)
    return Kill(seconds=chance.uniform(0.3, 3.0), plain=True)


@dataclass
class Running:
    """One run in flight, through its lives."""

    seed: int
    number: int
    place: Place
    run: str = ""
    life: int = 0
    kills: int = 0
    broken: int = 0
    kill: Kill = NEVER
    child: int = 0
    pipe: int = -1
    unread: bytes = b""
    mute: bool = False
    told: list[Event] = field(default_factory=list)
    told_before: int = 0
    heard_at: float = 0.0
    kill_at: float | None = None
    faults: list[Fault] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    always: str = ""

    @property
    def log(self) -> Path:
        """Where the lives' output is."""
        return self.place.folder / "output"

    def begin(self, *, spare: bool) -> None:
        """Start the next life."""
        self.life += 1
        spare = spare or self.kills >= KILLS_IN_A_RUN
        self.kill = NEVER
        if not spare:
            always = Kill(self.always) if self.always else None
            self.kill = always or chosen(self.seed, self.number, self.life)
        self.run = self.run or self._found()
        arguments = ["run", "--json", "--resume", self.run]
        if not self.run:
            arguments = ["run", "--json", str(self.place.project)]
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        points = None if self.kill.plain else Points(self.kill.point, self.kill.occurrence)
        self.child = forked(
            arguments, home=self.place.home, log=self.log, points=points, told=writing
        )
        os.close(writing)
        self.mute = self.kill.plain
        self.pipe, self.unread, self.told_before = reading, b"", len(self.told)
        self.heard_at = time.monotonic()
        self.kill_at = self.heard_at + self.kill.seconds if self.kill.plain else None

    def listen(self) -> None:
        """Read what the life acknowledged; an unfinished line was not."""
        while True:
            try:
                chunk = os.read(self.pipe, 1 << 16)
            except BlockingIOError:
                break
            if not chunk:
                self.mute = True
                break
            self.heard_at = time.monotonic()
            *lines, self.unread = (self.unread + chunk).split(b"\n")
            for line in lines:
                told = json.loads(line)
                self.told.append(Event(told["seq"], told["at"], told["body"]))
        heard = len(self.told) - self.told_before
        if self.kill.events is not None and self.kill_at is None and heard >= self.kill.events:
            self.kill_at = time.monotonic() + self.kill.seconds

    def end_if_due(self) -> None:
        """Kill the life when its time has come, or when it says nothing any more."""
        now = time.monotonic()
        if self.kill_at is not None and now >= self.kill_at:
            os.kill(self.child, signal.SIGKILL)
            self.kill_at = None
        if now - self.heard_at > SILENT_SECONDS:
            self.fault("stuck", f"nothing for {SILENT_SECONDS} s: {self._last_words()}")
            os.kill(self.child, signal.SIGKILL)

    def ended(self) -> bool:
        """Whether the life is over; then all is judged."""
        found, status = os.waitpid(self.child, os.WNOHANG)
        if not found:
            return False
        self.listen()
        os.close(self.pipe)
        self.child = 0
        if os.WIFSIGNALED(status):
            self.kills += 1
            if self.kill.point:
                self.points.append(self.kill.point)
        elif os.waitstatus_to_exitcode(status) not in (0, 1):
            self.broken += 1
            self.fault("broke", self._last_words())
        self.run = self.run or self._found()
        self.judge()
        return True

    @property
    def over(self) -> bool:
        """Whether there is nothing more to live."""
        if self.broken >= MOST_BROKEN:
            return True
        return bool(self.run) and oracle.read(self.place.home, self.run).over

    def judge(self) -> None:
        """Ask the oracle, and `verify`."""
        if not self.run:
            return
        effects = self.place.effects(self.run)
        journal = oracle.read(self.place.home, self.run)
        expected = self.place.expected
        for fault in (
            *oracle.lost(self.told, journal),
            *oracle.acted(effects, journal, expected),
            *oracle.ordered(journal, expected),
        ):
            self.fault(fault.kind, fault.seen)
        if journal.events:
            with Store.open(self.place.home) as store:
                for one in verify(store, self.run):
                    if one.verdict is False:
                        self.fault("wrong_verdicts", f"{one.name}: {one.reason}")
        if journal.over:
            for path in self.place.leftovers():
                self.fault("leftover", path)

    def judge_the_end(self) -> None:
        """Ask the command line for its last verdicts, each of which must hold."""
        if not self.run:
            return
        log = self.place.folder / "verdicts"
        argv = ["verify", self.run, "--json"]
        child = forked(argv, home=self.place.home, log=log, points=Points("", 1))
        os.waitpid(child, 0)
        try:
            findings = json.loads(log.read_text())["findings"]
        except (ValueError, KeyError):
            self.fault("wrong_verdicts", f"verify says {log.read_text()[-400:]!r}")
            return
        for one in findings:
            if one["verdict"] is not True:
                self.fault("wrong_verdicts", f"at the end {one['name']}: {one['reason']}")

    def resumed(self) -> int:
        """Return how often the run went on."""
        return sum(event.type == "run.resumed" for event in self._events())

    def joined(self) -> int:
        """Return how often it went on in a box that had lived on."""
        boxes = (event for event in self._events() if event.type == "box.started")
        return sum(event.body["work"] == "live" for event in boxes)

    def _events(self) -> Sequence[Event]:
        return oracle.read(self.place.home, self.run).events if self.run else ()

    def people_act(self) -> None:
        """Answer what waits at the desk."""
        if not self.run and not (self.place.home / "monastery.sqlite3").exists():
            return
        with Store.open(self.place.home) as store:
            for stored in store.items():
                item = stored.item
                if store.answered(item.id) is None:
                    body = self._answer(item)
                    if body is not None:
                        store.answer(Answer(item.id, "ada", datetime.now(UTC), body))

    def fault(self, kind: str, seen: str) -> None:
        """Keep a fault once, and say how to see it again."""
        fault = Fault(kind, seen)
        if fault not in self.faults:
            self.faults.append(fault)
            print(
                f"{kind}: {seen}\n  run {self.number}, life {self.life}, killed {self.kill};"
                f" again: python -m tests.crash --seed {self.seed} --run {self.number}",
                file=sys.stderr,
            )

    def _answer(self, item: Item) -> dict[str, Any] | None:
        segment = item.id.rpartition(".")[0]
        if item.purpose == "audit":
            vote = {"decision": "approve", "score": 0.5, "note": ""}
            return vote | {"digest": item.body["digest"]}
        if item.purpose == "resolve":
            if still_acting(segment):
                return None
            done = any(one.segment == segment for one in self.place.effects(str(item.run)))
            return {"status": "done" if done else "failed", "content": "as it is there"}
        return {"content": "so be it"}

    def _found(self) -> str:
        if not (self.place.home / "monastery.sqlite3").exists():
            return ""
        with Store.open(self.place.home) as store:
            rows = store.runs()
        return str(rows[-1].run) if rows else ""

    def _last_words(self) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return repr(text[-600:])


def crash(
    kills: int, seed: int, *, at_once: int, only: int | None = None, point: str = ""
) -> dict[str, Any]:
    """Kill until there were so many kills, let every run end, and return the figures.

    Args:
        kills: How many, over all runs; runs that are in flight then end in peace.
        seed: Of the projects, and of what is killed where.
        at_once: How many runs are in flight.
        only: Play this run of the seed alone.
        point: Kill every life at this named point, the first time that it is reached.
    """
    began = time.monotonic()
    token = secrets.token_hex(3)
    finished: list[Running] = []
    prefix = f"crash-{token}-"
    with (
        tempfile.TemporaryDirectory(prefix="monastery-crash-") as folder,
        _living(prefix) as flying,
    ):
        number, asked_at = (0 if only is None else only), 0.0
        while True:
            killed = sum(one.kills for one in (*finished, *flying))
            while len(flying) < at_once and (killed < kills if only is None else not finished):
                chance = random.Random(f"{seed}/{number}")
                place = Place(Path(folder) / str(number), f"{prefix}{number}", chance)
                flying.append(Running(seed, number, place, always=point))
                flying[-1].begin(spare=False)
                number += 1
                if only is not None:
                    break
            if not flying:
                break
            speaking = [one.pipe for one in flying if not one.mute]
            select.select(speaking, [], [], _TICK_SECONDS)
            if time.monotonic() - asked_at > _PEOPLE_SECONDS:
                asked_at = time.monotonic()
                for one in flying:
                    one.people_act()
            for one in list(flying):
                one.listen()
                one.end_if_due()
                if not one.ended():
                    continue
                if one.over:
                    one.judge_the_end()
                    flying.remove(one)
                    finished.append(one)
                else:
                    one.begin(spare=killed >= kills)
        leaked = _left(prefix)
        return _report(finished, leaked, seed, time.monotonic() - began)


@contextmanager
def _living(prefix: str) -> Iterator[list[Running]]:
    """Yield a list of runs; whatever happens, nothing of them outlives the block."""
    flying: list[Running] = []
    try:
        yield flying
    finally:
        for one in flying:
            if one.child:
                os.kill(one.child, signal.SIGKILL)
                os.waitpid(one.child, 0)
        for what, _, name in _left(prefix):
            remove = ["volume", "rm"] if what == "volume" else ["rm", "--force"]
            subprocess.run(["docker", *remove, name], capture_output=True, check=False)


def _report(
    finished: list[Running], leaked: list[tuple[str, str, str]], seed: int, seconds: float
) -> dict[str, Any]:
    counts = Counter(fault.kind for one in finished for fault in one.faults)
    counts["boxes_leaked"] = len(leaked)
    for what, run, name in leaked:
        print(f"boxes_leaked: {what} {name} of {run}", file=sys.stderr)
    points = {point for one in finished for point in one.points}
    return {
        "kills": sum(one.kills for one in finished),
        "resumed": sum(one.resumed() for one in finished),
        "joined": sum(one.joined() for one in finished),
        **{name: counts[name] for name in COUNTS},
        "other_faults": sum(counts.values()) - sum(counts[name] for name in COUNTS),
        "kinds": sorted(kind for kind in counts if counts[kind]),
        "acknowledged": sum(len(one.told) for one in finished),
        "runs": len(finished),
        "points": f"{len(points)} of {len(POINTS)}",
        "seed": seed,
        "seconds": round(seconds, 1),
    }


def _left(prefix: str) -> list[tuple[str, str, str]]:
    """Return the containers and volumes of runs whose names begin so: what, of which run, name."""
    found = []
    for what, argv in (("container", ["ps", "--all"]), ("volume", ["volume", "ls"])):
        name = "{{.ID}}" if what == "container" else "{{.Name}}"
        shown = ["--format", '{{.Label "monastery.run"}} ' + name]
        argv = ["docker", *argv, "--filter", "label=monastery.run", *shown]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            run, _, named = line.partition(" ")
            if run.startswith(prefix):
                found.append((what, run, named))
    return found
