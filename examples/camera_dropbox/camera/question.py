"""One question to the study, and its answer row by row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from statistics import mean, stdev
from typing import Any

from camera.approval import GOOD, Approval, errors, noisy
from camera.outcome import Outcome, outcome
from camera.planning import Tick, idle, plans, policy_values
from camera.world import LARGEST, Floats, Impossible, Size, World

STEPS = 50
HORIZONS = (1, 4, 12, 50)
DEFAULT_SIZE = Size()
SEEDS_AT_MOST = 10_000
ROUNDS_AT_MOST = 10_000
VALUES_AT_MOST = LARGEST * STEPS
"""Values of states at all times: what still fits in memory, as in the largest world."""


@dataclass(frozen=True)
class Question:
    """What is to be known.

    Attributes:
        size: Of the world.
        horizons: How many steps the agent looks ahead, one row each; 0 acts at random.
        approval: The overseer.
        noise: Standard deviation of the overseer's error, one for each state.
        seeds: How many overseers to average over, when they err; seeds 0 to N-1.
        rounds: With iterated approval, how many rounds, one row each; None without.
        steps: Actions in an episode; all but the last are rewarded.
    """

    size: Size = DEFAULT_SIZE
    horizons: Sequence[int] = HORIZONS
    approval: Approval = GOOD
    noise: float = 0.0
    seeds: int = 1
    rounds: int | None = None
    steps: int = STEPS

    def __post_init__(self) -> None:
        """Refuse what has no answer.

        Raises:
            Impossible: A horizon beyond the episode, no seed, no round, no place for the boxes.
        """
        if self.steps < 2:
            raise Impossible(f"{self.steps} steps are no episode: 2 at least")
        if not self.horizons:
            raise Impossible("no horizon: give one or more, as in 1,4,12,50")
        for horizon in self.horizons:
            if not 0 <= horizon <= self.steps:
                raise Impossible(
                    f"horizon {horizon} is outside 0 to {self.steps}, the steps of an episode"
                )
        if not 1 <= self.seeds <= SEEDS_AT_MOST:
            raise Impossible(f"{self.seeds} seeds: from 1 to {SEEDS_AT_MOST:,}")
        if self.rounds is not None and not 1 <= self.rounds <= ROUNDS_AT_MOST:
            raise Impossible(f"{self.rounds} rounds of approval: from 1 to {ROUNDS_AT_MOST:,}")
        if self.steps * self.size.states > VALUES_AT_MOST:
            raise Impossible(
                f"{self.steps:,} steps of {self.size.states:,} states are more than the "
                f"{VALUES_AT_MOST:,} values that fit: fewer steps or a smaller grid"
            )
        if max(self.size.rows - 2, 0) * max(self.size.cols - 2, 0) < self.size.boxes:
            raise _no_start(self.size)  # before a large world is built for nothing

    @property
    def ticks(self) -> int:
        """How often `answer` ticks."""
        if self.rounds is None:
            return self._draws * max(self.horizons)
        return self._draws * self.rounds * sum(set(self.horizons))

    @property
    def _draws(self) -> int:
        return self.seeds if self.noise else 1


Key = tuple[int, int | None]
"""A row: its horizon, and its round when approval is iterated."""


def answer(
    question: Question, world: World | None = None, tick: Tick = idle
) -> list[dict[str, Any]]:
    """Answer exactly: the mean over starts and ties is computed, only the noise is drawn.

    Args:
        question: What is asked.
        world: That of the question's size, when it is there already.
        tick: Called `question.ticks` times.

    Returns:
        A row for each horizon in the order asked, and in it for each round.

    Raises:
        Impossible: The world has no start state, or the noise is no number.
    """
    world = world or World(question.size)
    if not len(world.starts):
        raise _no_start(question.size)
    values = question.approval.values(world, question.steps)
    found: dict[Key, list[Outcome]] = {}
    for seed in range(question._draws):
        error = errors(world, question.noise, seed)
        for key, one in _outcomes(question, world, values, error, tick):
            found.setdefault(key, []).append(one)
    horizons = dict.fromkeys(question.horizons)
    rounds = [None] if question.rounds is None else range(1, question.rounds + 1)
    return [
        _row(question, world, (horizon, number), found[horizon, number])
        for horizon in horizons
        for number in rounds
    ]


def _no_start(size: Size) -> Impossible:
    return Impossible(
        f"{size.rows}x{size.cols} with {size.boxes} boxes has no start state: all boxes must stand "
        f"off the edges; a larger grid or fewer boxes"
    )


def _outcomes(
    question: Question, world: World, values: Floats, error: Floats, tick: Tick
) -> Iterator[tuple[Key, Outcome]]:
    """Yield what each policy brings about under one overseer's error."""
    steps = question.steps
    if question.rounds is None:
        for horizon, plan in plans(world, noisy(values, error), question.horizons, tick):
            yield (horizon, None), outcome(world, plan, steps)
        return
    for horizon in set(question.horizons):
        approval = values
        for number in range(1, question.rounds + 1):
            ((_, plan),) = plans(world, noisy(approval, error), [horizon], tick)
            yield (horizon, number), outcome(world, plan, steps)
            # The next overseer approves of what was observed to work.
            approval = policy_values(world, world.observed, plan, steps)


def _row(question: Question, world: World, key: Key, found: list[Outcome]) -> dict[str, Any]:
    horizon, number = key
    columns = {field.name: [getattr(one, field.name) for one in found] for field in fields(Outcome)}
    row: dict[str, Any] = {"horizon": horizon}
    if number is not None:
        row["round"] = number
    row |= {name: _clean(mean(column)) for name, column in columns.items()}
    row["spread"] = {name: _spread(question, column) for name, column in columns.items()}
    size = question.size
    row |= {"rows": size.rows, "cols": size.cols, "boxes": size.boxes, "blockers": size.blockers}
    row |= {"steps": question.steps, "approval": question.approval.name}
    row |= {"noise": question.noise, "seeds": question.seeds}
    return row | {"states": world.ended + 1, "starts": len(world.starts)}


def _spread(question: Question, column: list[float]) -> float | None:
    """Return the standard deviation between seeds; of a single noisy one it is not known."""
    if not question.noise:
        return 0.0
    return _clean(stdev(column)) if len(column) > 1 else None


def _clean(number: float) -> float:
    """Leave out the last digits, which rounding made: 0 is 0, not -2e-16."""
    return round(number, 12) + 0.0
