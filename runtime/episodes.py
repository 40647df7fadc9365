"""Episodes: runs of one project, one after another, by which a policy is trained meanwhile.

What is learned of an episode comes from its journal, and an episode that was stopped is found again
by its number. So with a checkpoint at each end nothing is lost and nothing learned twice.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import trio

from monastery.runtime import training_curve
from monastery.runtime.credit import TrainingItem
from monastery.runtime.following import Follower
from monastery.runtime.heartbeat import Keep, take
from monastery.runtime.journal import Record, records
from monastery.runtime.kernel_timer import KernelTimer
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Desk, Policy
from monastery.runtime.project_file import Loaded
from monastery.runtime.rows import RunRow
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store

_OVER = ("done", "failed")


class Learned(Protocol):
    """What came of one segment."""

    @property
    def score(self) -> float | None:
        """What its audit found; None: it was not measured, and the model is as it was."""

    @property
    def tokens(self) -> int:
        """How many were learned."""


class Training(Protocol):
    """What is trained: a model behind a policy, with a checkpoint."""

    @property
    def folder(self) -> Path:
        """Of the checkpoint."""

    @property
    def episodes(self) -> int:
        """How many are over, learned and saved."""

    @property
    def updates(self) -> int:
        """How many the model has had."""

    @property
    def model(self) -> Path:
        """Where the model is that was saved last."""

    def policy(
        self,
        episode: int,
        calls: int,
        items: Callable[[], Iterator[TrainingItem]],
        learned: Callable[[Learned], None],
    ) -> Policy:
        """Return the policy of one episode, `calls` of whose model calls were answered before.

        It may learn `items()` between two answers, and tells `learned` what came of each.
        """

    def learn(self, item: TrainingItem) -> Learned:
        """Learn one segment."""

    def save(self, episodes: int) -> None:
        """Write a checkpoint: all of it, or none."""


class Episodes:
    """Lives one episode after another.

    Args:
        loaded: The project.
        training: What is trained.
        home: Where the journals are.
        world: Makes the adapters of a run, of its desk and the number of model calls so far; their
            policy is replaced by the one that is trained.
        say: Told what whoever waits should know.
        watch: Told of every event.

    Attributes:
        training: What is trained.
    """

    def __init__(
        self,
        loaded: Loaded,
        training: Training,
        home: Path,
        world: Callable[[Desk, int], World],
        *,
        say: Callable[[str], None],
        watch: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self.training = training
        self._loaded, self._home, self._world = loaded, home, world
        self._say, self._watch = say, watch
        training_curve.cut(training.folder, training.episodes)

    async def live(self) -> training_curve.Point:
        """Live the next episode to its end, from wherever it was stopped, and keep what it taught.

        Returns:
            What it came to, as it stands in the curve.
        """
        number = self.training.episodes
        began, seen = time.monotonic(), _Seen()
        with Store.open(self._home) as store:
            row = self._run(store, number)
            follower = Follower(store)
            follower.catch_up(records(store, row.run))

            def follow(record: Record) -> None:
                follower.take(record)
                self._watch(record)

            if row.status not in _OVER:
                taken = await take(store, row.run, this_process(), say=self._say)
                build = partial(self._build, number, follower, seen)
                keep = Keep(arm=KernelTimer().arm)
                await go(self._home, taken, self._loaded, build, follow, keep=keep)
            for item in seen.items(follower):
                seen.learned(await trio.to_thread.run_sync(self.training.learn, item))
            row = store.run(row.run)
        point = {
            "episode": number + 1,
            "run": row.run,
            "status": row.status,
            **seen.figures(),
            "updates": self.training.updates,
            "seconds": round(time.monotonic() - began, 1),
        }
        training_curve.add(self.training.folder, point)
        await trio.to_thread.run_sync(self.training.save, number + 1)
        return point

    def _run(self, store: Store, number: int) -> RunRow:
        """Return the run of an episode: the one that was begun before a stop, or a new one."""
        begun = self.training.folder / "episode.json"
        if begun.exists():
            told = json.loads(begun.read_text())
            if told["episode"] == number and told["home"] == str(store.home):
                return store.run(told["run"])
        row = new_run(store, self._loaded)
        new = begun.with_suffix(".new")
        told = {"episode": number, "run": row.run, "home": str(store.home)}
        new.write_text(json.dumps(told))
        new.replace(begun)
        return row

    def _build(
        self, number: int, follower: Follower, seen: "_Seen", desk: Desk, calls: int
    ) -> World:
        policy = self.training.policy(number, calls, lambda: seen.items(follower), seen.learned)
        return replace(self._world(desk, calls), policy=policy)


@dataclass(slots=True)
class _Seen:
    """What one episode came to."""

    segments: int = 0
    audited: int = 0
    scores: list[float] = field(default_factory=list)
    tokens: int = 0

    def items(self, follower: Follower) -> Iterator[TrainingItem]:
        """Yield what is to be learned, and count it."""
        for told, item in follower.items():
            self.segments += 1
            self.audited += told.drawn is not None and told.drawn.audited
            yield item

    def learned(self, what: Learned) -> None:
        """Count what was learned."""
        self.tokens += what.tokens
        if what.score is not None:
            self.scores.append(what.score)

    def figures(self) -> dict[str, Any]:
        """Return it in figures; the score is the mean of those that were measured."""
        return {
            "segments": self.segments,
            "audited": self.audited,
            "measured": len(self.scores),
            "score": fmean(self.scores) if self.scores else None,
            "tokens": self.tokens,
        }
