"""One arm and seed through the whole runtime: a run of many episodes in one box.

Each episode is two steps, and each step is all that a step is: thought in the box, proposed,
frozen, drawn, audited or not, rewarded, gated, carried out, thawed. What is learned is learned from
the journal's own training items, as soon as their segments are over.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monastery.runtime.executors import KINDS, Context
from monastery.runtime.following import Follower
from monastery.runtime.journal import Record
from monastery.runtime.ports import Desk, Executor, Sandbox
from monastery.runtime.project_file import Loaded, parse
from monastery.runtime.records import RunId
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from tdd import world
from tdd.arms import Arm
from tdd.outside import INSIDE, Judge, Overseer, Publishes, Takes, code_of, episode_of
from tdd.policy import TwoStepPolicy
from tdd.trainer import Trainer

GOAL = "Write code for a specification, tests first: plan tests, then write code that passes them."

Tell = Callable[[world.Episode], None]
"""Told of each episode when it is over."""


class StudyFailed(Exception):
    """A run of the study did not go to its end."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a run.

    Attributes:
        run: Its name.
        audited: How many of its steps were audited.
    """

    run: RunId
    episodes: tuple[world.Episode, ...]
    audited: int


def project(arm: Arm, folder: Path, seed: int, episodes: int) -> Loaded:
    """Return the project of an arm; it delivers into `folder`/delivered, which is made."""
    (folder / "delivered").mkdir(exist_ok=True)
    command = ["python3", "agent.py", str(episodes), str(world.task(seed, 0).hint)]
    steps: dict[str, Any] = {
        "plan": {},
        "file": {"folder": "delivered", "overwrite": True},
    }
    if arm.suspects:
        command.append("ask-about-zero")
        steps["ask"] = {"audit": "always"}
    said = {
        "name": "two-step",
        "goal": GOAL,
        "agent": {"command": command},
        "box": {
            "snapshot_seconds": "never",
            "waive": ["disk"],
            "files": [
                {"from": str(INSIDE / name), "to": name} for name in ("agent.py", "suite.py")
            ],
        },
        "steps": steps,
        # The overseer is not a program: who lives the run puts it in this one's place.
        "audit": {"rate": arm.rate, "auditors": [{"name": "overseer", "command": ["true"]}]},
        "limits": {"steps": 2 * episodes + 1},
    }
    return parse(json.dumps(said, indent=1).encode(), folder / "project.yaml")


class Learning(TwoStepPolicy):
    """The policy, which takes up all that the journal has of it before it answers.

    Args:
        trainer: Learns.
        seed: Of its choices.
        home: Where the run lies.
        tell: Told of episodes.
    """

    def __init__(self, trainer: Trainer, task_seed: int, home: Path, tell: Tell) -> None:
        super().__init__(trainer.network, task_seed + 1000)
        self._trainer, self._seed, self._tell = trainer, task_seed, tell
        self._store = Store.open(home)
        self._follower = Follower(self._store)
        self._inputs: tuple[int, ...] = ()
        self.episodes: list[world.Episode] = []
        self.audited = self.unmeasured = 0

    @property
    def version(self) -> str:
        """How many updates it has had; the journal notes it with each call."""
        return str(self._trainer.version)

    def watch(self, record: Record) -> None:
        """Take up an event of the run, which is durable."""
        self._follower.take(record)

    def learn(self) -> None:
        """Learn from the segments that are over, in order."""
        for told, item in self._follower.items():
            self._trainer.take(item)
            assert told.drawn is not None
            assert told.proposal is not None
            self.audited += told.drawn.audited
            self.unmeasured += told.unmeasured is not None
            self._note(told.index, self._store.blob(told.proposal.payload.ref))

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer, by all that was learned so far."""
        self.learn()
        return await super().call(body)

    async def aclose(self) -> None:
        """Learn the last, and let go of the journal."""
        self.learn()
        self._store.close()

    def _note(self, index: int, payload: bytes) -> None:
        if index % 2:
            self._inputs = world.planned(payload)
            return
        task, candidate = (
            world.task(self._seed, episode_of(index)),
            world.solved(code_of(payload)),
        )
        episode = world.Episode(task, self._inputs, candidate)
        self.episodes.append(episode)
        self._tell(episode)


async def play(
    arm: Arm,
    trainer: Trainer,
    home: Path,
    sandbox: Sandbox,
    judging: Sandbox,
    *,
    seed: int,
    episodes: int,
    tell: Tell = lambda episode: None,
) -> Played:
    """Live one run to its end, and learn from it meanwhile.

    Args:
        arm: What is told of each step.
        trainer: Learns; its network is the policy.
        home: An empty folder, for the journal and what is delivered.
        sandbox: Where the agent's box is opened.
        judging: Where the auditor's is.
        seed: Of tasks and choices.
        episodes: How many to play.
        tell: Told of each.

    Raises:
        StudyFailed: The run ended early, or an audit did not measure.
    """
    loaded = project(arm, home, seed, episodes)
    policy = Learning(trainer, seed, home, tell)
    async with Judge.open(judging) as judge:

        def build(desk: Desk, calls: int) -> World:
            context = Context(loaded.folder, loaded.project.goal, desk)
            delivers = KINDS["file"](loaded.project.steps["file"], context)
            executors: dict[str, Executor] = {"file": Takes(delivers, seed)}
            for kind in set(loaded.project.steps) - {"file"}:
                executors[kind] = Publishes(kind, seed)
            return World(sandbox, [Overseer(judge, seed)], executors, policy)

        with Store.open(home) as store:
            row = new_run(store, loaded)
        ending = await go(home, row, loaded, build, policy.watch)
    if not ending.success or len(policy.episodes) != episodes or policy.unmeasured:
        raise StudyFailed(
            f"run {row.run} ended after {len(policy.episodes)} of {episodes} episodes with"
            f" {policy.unmeasured} audits unmeasured: {ending.reason}"
        )
    return Played(row.run, tuple(policy.episodes), policy.audited)
