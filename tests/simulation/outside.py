"""The world outside a simulated runtime: it remembers when the runtime dies, and nobody else acts.

Whoever is in it decides by the seed and by what is asked, never by when: so the same question gets
the same answer in every life.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import trio

from monastery.runtime.errors import AuditFailed, BadInput, BadPayload, MonasteryError
from monastery.runtime.executors.ask import AskExecutor, AskSettings
from monastery.runtime.executors.context import Context
from monastery.runtime.executors.human import HumanExecutor, HumanSettings
from monastery.runtime.executors.plan import PlanExecutor, PlanSettings
from monastery.runtime.ports import Desk, Executor, Forkable
from monastery.runtime.records import Answer, Case, Outcome, Step, Vote
from monastery.runtime.store import Store
from tests.crash import oracle
from tests.crash.oracle import Effect, Fault
from tests.simulation.clockwork import Calendar

ACTING = ("looks", "asks", "keyed")
"""The kinds that do something that is counted; they differ in how a lost outcome is found out."""

HOUR = 3600.0


class Outside:
    """What one run's runtimes, in all their lives, meet.

    Attributes:
        home: Where the journal lies now.
        alive: Whether a runtime lives: what a dead one still tries reaches nothing.
        overtaken: Whether a second runtime took the run from one that goes on.
    """

    def __init__(
        self,
        seed: str,
        run: str,
        home: Path,
        calendar: Calendar,
        kinds: Sequence[str] = (*ACTING, *ACTING, "ask", "human", "plan"),
    ) -> None:
        self.seed, self.run, self.home, self.calendar = seed, run, home, calendar
        chance = random.Random(seed)
        self.plan = [
            (kind, f"{kind} number {number}".encode())
            for number, kind in enumerate(chance.choices(kinds, k=chance.randint(3, 7)), 1)
        ]
        self.blocking = chance.random() < 0.6
        self.person_audits = chance.random() < 0.4
        self.alive = True
        self.overtaken = False
        self.boxes_die = True
        self.effects: list[Effect] = []
        self.faults: list[Fault] = []
        self.votes: dict[tuple[str, str], Vote] = {}
        self.replies = 0
        self._modified: dict[str, bytes] = {}
        self._keys: set[str] = set()

    @property
    def expected(self) -> oracle.Expected:
        """What the run is to do."""
        return oracle.Expected(self.plan, frozenset(ACTING), self.blocking, self._modified)

    def by(self, *what: object) -> random.Random:
        """Return chances that depend on the seed and on these words alone."""
        return random.Random(f"{self.seed}/{'/'.join(map(str, what))}")

    def fault(self, kind: str, seen: str) -> None:
        """Keep what must not be, unless only a dead runtime saw it."""
        if self.alive:
            self.faults.append(Fault(kind, seen))

    def journal(self) -> oracle.Journal:
        """Return the journal as it lies on disk at this moment."""
        return oracle.read(self.home, self.run)

    # Steps

    def executors(self, desk: Desk) -> dict[str, Executor]:
        """Return what carries steps out: three kinds that act, and the real ones that ask."""
        context = Context(self.home, "to be simulated", desk)
        found: dict[str, Executor] = {kind: Acting(kind, self) for kind in ACTING}
        found["ask"] = AskExecutor(AskSettings(), context)
        found["human"] = HumanExecutor(HumanSettings(), context)
        found["plan"] = PlanExecutor(PlanSettings(), context)
        return found

    def act(self, step: Step) -> None:
        """Let a step have its effect; one with a key that was used has none."""
        if not self.alive or (step.kind == "keyed" and step.key in self._keys):
            return
        self._keys.add(step.key)
        self.effects.append(Effect(step.segment, step.payload))
        self.faults += oracle.acted(self.effects, self.journal(), self.expected)

    def was_done(self, segment: str) -> bool:
        """Whether a look at the world finds the step's effect."""
        return any(effect.segment == segment for effect in self.effects)

    # What the agent learns

    def told_history(self, history: list[Any]) -> None:
        """Compare what an agent is told when it starts with the journal."""
        over = self._outcomes()
        told = [(one["step"], one["status"]) for one in history]
        if not self.overtaken and told != list(enumerate(over, 1)):
            self.fault("wrong history", f"{told} and not {over}")

    def told_outcome(self, number: int, outcome: Mapping[str, Any]) -> None:
        """Compare the outcome that an agent hears with the journal."""
        if self.alive and self._outcomes()[number - 1 :] != [outcome["status"]]:
            self.fault("wrong outcome", f"step {number}: {dict(outcome)}")

    def told_reply(self) -> None:
        """See that a model's reply was recorded before the agent had it."""
        if self.alive:
            self.replies += 1
            recorded = sum(event.type == "model.called" for event in self.journal().events)
            if recorded < self.replies:
                self.fault("unrecorded reply", f"{self.replies} heard, {recorded} recorded")

    def _outcomes(self) -> list[str]:
        events = self.journal().events
        return [str(e.body["status"]) for e in events if e.type == "step.completed"]

    # People

    def people_act(self, store: Store) -> None:
        """Give the answers that are due by now."""
        for stored in store.items(run=self.run):
            item, now = stored.item, self.calendar.now()
            due = item.created + timedelta(seconds=self.by(item.id).expovariate(1 / 8) * HOUR)
            if due > now or store.answered(item.id) is not None:
                continue
            if item.deadline is not None and now > item.deadline:
                continue  # they come too late
            try:
                store.answer(Answer(item.id, "ada", now, self._answer(item)))
            except BadInput as exc:
                self.fault("answer refused", str(exc))

    def _answer(self, item: Any) -> dict[str, Any]:
        segment = item.id.rpartition(".")[0]
        match item.purpose:
            case "audit":
                segment = segment.removesuffix(".audit")
                vote = self.vote("ada", segment, b"")
                answer = {"decision": vote.decision, "score": vote.score, "note": ""}
                return answer | {"digest": item.body["digest"]}
            case "gate":
                return {"decision": self.by(segment, "gate").choice(["approve", "reject"])}
            case "resolve":
                return {"status": "done" if self.was_done(segment) else "failed", "content": ""}
            case "human":
                return {"status": "done", "content": f"for {item.id}"}
        return {"content": f"for {item.id}"}

    def vote(self, auditor: str, segment: str, payload: bytes) -> Vote:
        """Return an auditor's vote on a segment's proposal."""
        chance = self.by(segment, auditor)
        decisions = ["approve", "approve", "approve", "reject", "escalate"]
        decision: Any = chance.choice([*decisions, "modify"] if payload else decisions)
        vote = Vote(auditor, decision, chance.random())
        if decision == "modify":
            self._modified[segment] = payload + b", mended"
            vote = Vote(auditor, "modify", vote.score, "", self._modified[segment])
        return vote

    def check_answers(self, journal: oracle.Journal) -> None:
        """See that every vote and every person's decision is the one that was given, for itself."""
        for event in journal.events:
            body, segment = event.body, event.body.get("segment", "")
            if event.type == "audit.voted":
                vote = self.vote(body["auditor"], segment, b"")
                if body["decision"] != "modify" and body["score"] != vote.score:
                    self.fault("wrong vote", f"{segment}: {body['auditor']} {body['score']}")
            elif event.type == "gate.decided" and body["by"] == "ada":
                given = self.by(segment, "gate").choice(["approve", "reject"])
                if body["verdict"] != given:
                    self.fault("decision replayed", f"{segment}: {body['verdict']}, not {given}")


class Acting:
    """An executor whose effects are counted, and which breaks when the seed says so."""

    def __init__(self, kind: str, outside: Outside) -> None:
        self.kind, self._outside = kind, outside

    def check(self, payload: bytes) -> None:
        """Refuse ``bad``."""
        if payload == b"bad":
            raise BadPayload("it is bad")

    def render(self, payload: bytes) -> str:
        """Return the text."""
        return payload.decode()

    async def execute(self, step: Step) -> Outcome:
        """Act, after some time and some time before it is known; or break before or after."""
        chance = self._outside.by(step.segment, "execute")
        breaks = chance.choice(["before", "after", "refused", *["no"] * 7])
        await trio.sleep(chance.expovariate(1 / 300))
        if breaks == "refused":
            return Outcome("failed", {"reason": "the world said no"})
        if breaks == "before":
            raise MonasteryError("it broke before it was done")
        self._outside.act(step)
        await trio.sleep(chance.expovariate(1 / 300))
        if breaks == "after":
            raise MonasteryError("it broke after it was done")
        return Outcome("done", {"said": step.payload.decode()})

    async def reconcile(self, step: Step) -> Outcome | None:
        """Find out: by a look, by doing it again under its key, or not at all."""
        await trio.sleep(60.0)
        if self.kind == "asks":
            return None
        if self.kind == "keyed" or not self._outside.was_done(step.segment):
            self._outside.act(step)
        return Outcome("done", {"said": step.payload.decode()})


class Judge:
    """An auditor that takes its time, votes by the seed, and sometimes fails."""

    def __init__(self, name: str, outside: Outside) -> None:
        self.name, self._outside = name, outside

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Vote."""
        segment = case.proposal.segment
        chance = self._outside.by(segment, self.name, "time")
        await trio.sleep(chance.expovariate(1 / 600))
        if chance.random() < 0.1:
            raise AuditFailed("it could not be judged")
        if self._outside.blocking and self._outside.was_done(segment):
            self._outside.fault("judged too late", f"{segment} was judged after it was done")
        return self._outside.vote(self.name, segment, case.proposal.payload)


class Model:
    """A policy that takes its time."""

    name = "simulated"

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer."""
        await trio.sleep(30.0)
        return {"text": f"about {body['prompt']}"}


def agent(outside: Outside, chance: random.Random) -> Callable[[Any], Any]:
    """Return an agent that takes the steps of the plan from where its history ends."""

    async def live(inside: Any) -> int:
        outside.told_history(inside.history)
        for number in range(len(inside.history) + 1, len(outside.plan) + 1):
            kind, payload = outside.plan[number - 1]
            inside.print(f"I think of step {number}.")
            inside.files[f"{number}"] = payload
            if chance.random() < 0.5:
                await inside.sleep(chance.expovariate(1 / 3) * HOUR)
            if chance.random() < 0.5:
                await inside.model({"prompt": number})
                outside.told_reply()
            if chance.random() < 0.1:
                refused = await inside.propose("looks", b"bad", "to see what happens")
                assert refused["status"] == "rejected", refused
            if outside.boxes_die and chance.random() < 0.03:
                await inside.die()
            outside.told_outcome(number, await inside.propose(kind, payload, "it is planned"))
        return 0

    return live
