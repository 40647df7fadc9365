"""A small world for the loop's tests: a scripted box, a notebook for an executor, set auditors."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from monastery.runtime.errors import AuditExpired, AuditFailed, BadPayload, MonasteryError
from monastery.runtime.journal import Record
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Desk, Forkable
from monastery.runtime.project import Project, StepSettings
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import Case, Ending, Outcome, RunId, Step, Vote
from monastery.runtime.rows import RunRow
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.scripted import Agent, ScriptedSandbox


class Notebook:
    """An executor whose outside world is a list; the text ``bad`` is not of its kind."""

    kind = "note"

    def __init__(self) -> None:
        self.done: list[bytes] = []
        self.breaks: MonasteryError | None = None
        self.finds: Outcome | None = None

    def check(self, payload: bytes) -> None:
        """Refuse ``bad``."""
        if payload == b"bad":
            raise BadPayload("a note must not be 'bad'")

    def render(self, payload: bytes) -> str:
        """Return the text."""
        return payload.decode(errors="replace")

    async def execute(self, step: Step) -> Outcome:
        """Write it down."""
        self.done.append(step.payload)
        if self.breaks is not None:
            raise self.breaks
        return Outcome("done", {"notes": len(self.done)})

    async def reconcile(self, step: Step) -> Outcome | None:
        """Say what the test says."""
        return self.finds


class SetAuditor:
    """Gives the votes, or raises the errors, of a list; the last one for ever."""

    def __init__(self, *votes: Vote | Exception, name: str = "set") -> None:
        self.name = name
        self._votes = list(votes)
        self.cases: list[Case] = []

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Return the next vote."""
        self.cases.append(case)
        vote = self._votes.pop(0) if len(self._votes) > 1 else self._votes[0]
        if isinstance(vote, Exception):
            raise vote
        return vote


def approve(score: float = 0.8, name: str = "set") -> Vote:
    """Return a vote for the step."""
    return Vote(name, "approve", score)


def expired() -> AuditFailed:
    """Return what an auditor raises that nobody answered."""
    return AuditExpired("nobody answered")


async def inline(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function that blocks where it stands: a thread would not know of virtual time."""
    await trio.lowlevel.checkpoint()
    return function(*args)


@dataclass
class Small:
    """One project's worth of a world, over a home folder."""

    home: Path
    agent: Agent
    auditors: Sequence[Any] = ()
    rate: float = 1.0
    audit: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    policy: Any = None
    web: Any = None
    notebook: Notebook = field(default_factory=Notebook)
    told: list[Record] = field(default_factory=list)
    watch: Callable[[Record], None] | None = None

    def __post_init__(self) -> None:
        """Make the sandbox; its boxes' files outlive each box, as real ones do."""
        self.sandbox = ScriptedSandbox(self.agent)

    @property
    def loaded(self) -> Loaded:
        """The project, as if it had been read from a file."""
        project = Project.model_validate(
            {
                "name": "small",
                "goal": "write notes",
                "agent": {"command": ["agent"]},
                "steps": {"note": StepSettings()},
                "audit": {"rate": self.rate, **self.audit},
                **self.extra,
            }
        )
        return Loaded(project, self.home, self.home / "project.yaml", b"name: small\n")

    def new(self) -> RunRow:
        """Make a run."""
        with Store.open(self.home) as store:
            return new_run(store, self.loaded)

    def claim(self, run: RunId) -> RunRow:
        """Take a run up again."""
        with Store.open(self.home) as store:
            return store.claim(run, this_process())

    async def live(self, row: RunRow) -> Ending:
        """Live a run to its end or stop."""

        def watch(record: Record) -> None:
            self.told.append(record)
            if self.watch is not None:
                self.watch(record)

        def build(desk: Desk, calls: int) -> World:
            self.desk = desk
            return World(
                self.sandbox, self.auditors, {"note": self.notebook}, self.policy, self.web
            )

        return await go(self.home, row, self.loaded, build, watch, hop=inline, keep=None)

    @property
    def types(self) -> list[str]:
        """The types of the events so far."""
        return [record.event.type for record in self.told]

    def events(self, kind: str) -> list[Any]:
        """Return the events of one type so far."""
        return [record.event for record in self.told if record.event.type == kind]


def notes(*texts: str) -> Callable[..., Awaitable[int]]:
    """Return an agent that proposes these notes, one after the other, from where its history ends.

    Its exit code is how many were not done.
    """

    async def agent(inside: Any) -> int:
        failed = 0
        for text in texts[len(inside.history) :]:
            inside.print(f"I think of {text}.")
            outcome = await inside.propose("note", text, f"because of {text}")
            failed += outcome["status"] != "done"
        return failed

    return agent
