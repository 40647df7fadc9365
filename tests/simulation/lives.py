"""The lives of one simulated run: each ends by death at some await, or at the run's end."""

import hashlib
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from monastery.auditor.person import PersonAuditor
from monastery.runtime.errors import BoxDied, StoreError
from monastery.runtime.journal import Record
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Desk
from monastery.runtime.project import Project, StepSettings
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import RunId
from monastery.runtime.rows import RunRow
from monastery.runtime.run import World
from monastery.runtime.runner import cause, go
from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from monastery.sandbox.scripted import ScriptedSandbox
from tests.crash import oracle
from tests.crash.oracle import Event, Fault
from tests.simulation.clockwork import POLL_SECONDS, Calendar, Death, controlled, hop
from tests.simulation.outside import ACTING, HOUR, Judge, Model, Outside, agent

MOST_LIVES = 400
STEPS_BETWEEN_DEATHS = 60
HARMLESS_TWICE = ("keyed", "ask", "plan")
"""Kinds that two runtimes may both try: what was under way when one was overtaken is not undone."""


@dataclass
class Lived:
    """What came of one run.

    Attributes:
        deaths: How many runtimes died in it.
        days: How long it took, in virtual days.
        told: A hash of which events came when: the same seed gives the same.
    """

    run: str
    deaths: int = 0
    days: float = 0.0
    told: str = ""
    faults: list[Fault] = field(default_factory=list)


def live(folder: Path, seed: str) -> Lived:
    """Live one run to its end through as many deaths as `seed` has for it, and judge it.

    One run in eight has no death in it: a second runtime takes it from the first, which goes on.
    """
    calendar = Calendar()
    began = calendar.now()
    with controlled(calendar, seed) as chance:
        if chance.random() < 1 / 8:
            lived = _Lives(folder, seed, calendar, chance, HARMLESS_TWICE).overtaken()
        else:
            lived = _Lives(folder, seed, calendar, chance).to_the_end()
    lived.days = (calendar.now() - began).total_seconds() / 86400
    return lived


class _Lives:
    def __init__(
        self,
        folder: Path,
        seed: str,
        calendar: Calendar,
        chance: random.Random,
        kinds: Sequence[str] = (*ACTING, *ACTING, "ask", "human", "plan"),
    ) -> None:
        self.run = RunId(f"simulated-{seed.replace('/', '-')}")
        self.outside = Outside(seed, self.run, folder / "0", calendar, kinds)
        self.calendar, self.chance, self.folder = calendar, chance, folder
        self.sandbox = ScriptedSandbox(agent(self.outside, chance))
        self.told: list[Event] = []
        self.lived = Lived(self.run)
        audit = {"rate": 0.6, "mode": "blocking" if self.outside.blocking else "deferred"}
        if self.outside.blocking and self.outside.by("alternatives").random() < 0.3:
            audit["alternatives"] = 2
        project = Project.model_validate(
            {
                "name": "simulated",
                "goal": "to be simulated",
                "agent": {"command": ["agent"]},
                "steps": {kind: StepSettings() for kind in sorted(set(kinds))},
                "audit": audit,
                "box": {"think_seconds": 1e7},
            }
        )
        self.loaded = Loaded(project, folder, folder / "project.yaml", b"name: simulated\n")
        with Store.open(self.outside.home) as store:
            store.create_run(
                self.run,
                project="simulated",
                project_path=self.loaded.path,
                owner=this_process(),
                seed=random.Random(f"{seed}/draws").randbytes(32),
            )

    def to_the_end(self) -> Lived:
        """Live until the run is over, something is wrong, or too many lives were needed."""
        faults = self.lived.faults = self.outside.faults
        for number in range(1, MOST_LIVES):
            self._one_life(number)
            if self._judge() or faults:
                return self.lived
            self.calendar.wait(self.chance.expovariate(1 / 6) * HOUR)
            with Store.open(self.outside.home) as store:
                self.outside.people_act(store)
        faults.append(Fault("stuck", f"it is not over after {MOST_LIVES} lives"))
        return self.lived

    def overtaken(self) -> Lived:
        """Live with one runtime, then with a second that claims the run; the first goes on.

        From the claim on nothing that the first would write may be kept.
        """
        outside, claim = self.outside, trio.Event()
        home, faults = outside.home, outside.faults
        outside.boxes_die = False
        claimed_at = 0

        def watch(record: Record) -> None:
            # What was kept before the claim may be told of after it.
            if outside.overtaken and record.seq >= claimed_at:
                outside.fault("overtaken", f"event {record.seq}, {record.event.type}, was kept")
            self._watch(record)

        async def first(row: RunRow) -> None:
            try:
                await go(home, row, self.loaded, self._build, watch, hop=hop, keep=None)
            except* StoreError:
                pass  # it was told that it is overtaken
            claim.set()

        async def second() -> None:
            nonlocal claimed_at
            await claim.wait()
            with Store.open(home) as store:
                if store.run(self.run).status != "running":
                    return
                row = store.claim(self.run, this_process())
            claimed_at, outside.overtaken = row.seq, True
            await go(home, row, self.loaded, self._build, self._watch, hop=hop, keep=None)

        async def life() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._people)
                async with trio.open_nursery() as both:
                    with Store.open(home) as store:
                        both.start_soon(first, store.claim(self.run, this_process()))
                    both.start_soon(second)
                nursery.cancel_scope.cancel()

        steps = 1 + int(self.chance.expovariate(1 / STEPS_BETWEEN_DEATHS))
        instrument = Death(steps, claim.set)
        try:
            trio.run(life, clock=self.calendar.new_clock(), instruments=[instrument])
        except Exception as exc:  # noqa: BLE001 - whatever broke is what we are looking for
            outside.fault("broke", f"{type(exc).__name__}: {cause(exc)!r}")
        self.lived.faults = faults
        if not self._judge() and not faults:
            faults.append(Fault("stuck", "neither runtime brought it to its end"))
        return self.lived

    def _one_life(self, number: int) -> None:
        """Live until death, the run's end, or the box's."""
        home = self.outside.home
        scope = trio.CancelScope()

        def die() -> None:
            """Leave the disk as it is at this moment to the next; what is done now is lost."""
            self.outside.home = _copied(home, self.folder / f"{number}")
            self.sandbox = _left_behind(self.sandbox, self.outside, self.chance)
            self.outside.alive = False
            self.lived.deaths += 1
            scope.cancel()

        async def life() -> None:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._people)
                    await go(home, row, self.loaded, self._build, self._watch, hop=hop, keep=None)
                    nursery.cancel_scope.cancel()

        self.outside.alive = True
        with Store.open(home) as store:
            row = store.claim(self.run, this_process())
        steps = 1 + int(self.chance.expovariate(1 / STEPS_BETWEEN_DEATHS))
        if number > MOST_LIVES // 2:
            steps *= 10  # it should come to its end now
        try:
            trio.run(life, clock=self.calendar.new_clock(), instruments=[Death(steps, die)])
        except Exception as exc:  # noqa: BLE001 - whatever broke is what we are looking for
            if self.outside.alive and not isinstance(cause(exc), BoxDied):
                self.outside.fault("broke", f"{type(exc).__name__}: {cause(exc)!r}")
        if not self.outside.alive:
            shutil.rmtree(home)

    def _build(self, desk: Desk, calls: int) -> World:
        auditors = [Judge("quick", self.outside)]
        if self.outside.person_audits:
            auditors.append(PersonAuditor("ada", 24 * HOUR, desk))  # type: ignore[arg-type]
        return World(self.sandbox, auditors, self.outside.executors(desk), Model())

    def _watch(self, record: Record) -> None:
        if self.outside.alive:
            event = record.event.model_dump(mode="json")
            self.told.append(Event(record.seq, record.at.isoformat(), event))

    async def _people(self) -> None:
        with Store.open(self.outside.home) as store:
            while True:
                await trio.sleep(2 * POLL_SECONDS)
                if self.outside.alive:
                    self.outside.people_act(store)

    def _judge(self) -> bool:
        """Let the oracle and `verify` look at what a life left; return whether the run is over."""
        outside = self.outside
        outside.alive = True
        journal, expected = outside.journal(), outside.expected
        faults = [
            *oracle.lost(self.told, journal),
            *oracle.acted(outside.effects, journal, expected),
            *oracle.ordered(journal, expected),
        ]
        outside.check_answers(journal)
        when = [(event.seq, event.at, event.type) for event in journal.events]
        self.lived.told = hashlib.sha256(repr(when).encode()).hexdigest()
        with Store.open(outside.home) as store:
            for one in verify(store, self.run) if journal.events else []:
                if one.verdict is False:
                    faults.append(Fault("wrong_verdicts", f"{one.name}: {one.reason}"))
        outside.faults += [fault for fault in faults if fault not in outside.faults]
        return journal.over


def _copied(home: Path, to: Path) -> Path:
    """Copy a home as it lies on disk, without the shared memory that dies with its processes."""
    shutil.copytree(home, to, ignore=shutil.ignore_patterns("*-shm"))
    return to


def _left_behind(
    sandbox: ScriptedSandbox, outside: Outside, chance: random.Random
) -> ScriptedSandbox:
    """Return a sandbox with the boxes' files as they are at this moment."""
    left = ScriptedSandbox(agent(outside, chance))
    left.works = {run: dict(files) for run, files in sandbox.works.items()}
    return left
