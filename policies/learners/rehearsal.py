"""Rehearsals: made-up runs for a boundary check, and the same runs changed outside one moment.

A run is made of numbers drawn from a seed; what came of each step opens the next moment, as in a
real run. Each change leaves one moment, its context's tokens and its own reward as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monastery.policies.learners.moments import NOTHING, Moment, Segment
from monastery.runtime.credit import Earned
from monastery.runtime.errors import BadInput


@dataclass(frozen=True, slots=True)
class Kind:
    """What the runs look like that a learner or trainer is checked with.

    Attributes:
        actions: How many actions (or tokens) its policy has.
        observations: The width of an observation; None where inputs are numbers.
        inputs: How many numbers there are to read; None: the policy writes tokens and reads back
            what it wrote.
        alternatives: How many segments each moment has.
        moments: How many moments a run has, at least 3.
        length: How many inputs a segment has, at least 4.
    """

    actions: int
    observations: int | None = None
    inputs: int | None = None
    alternatives: int = 1
    moments: int = 4
    length: int = 6

    def __post_init__(self) -> None:
        if self.observations is not None and self.inputs is not None:
            raise BadInput(f"{self}: name the width of observations, or how many inputs, not both")
        if self.actions < 2 or self.alternatives < 1 or self.moments < 3 or self.length < 4:
            raise BadInput(
                f"{self}: a check needs 2 actions, 1 alternative, 3 moments and 4 inputs at least"
            )


@dataclass(frozen=True, slots=True)
class RehearsedStep:
    """One moment of a made-up run, and what came of its proposal.

    Attributes:
        outcome: 1 in success, 0 in failure. The next moment opens with it. A trainer has no
            business looking at it here.
    """

    moment: Moment
    outcome: int


Run = tuple[RehearsedStep, ...]


def rehearse(kind: Kind, seed: int) -> Run:
    """Return a run in which every moment is measured."""
    random = np.random.default_rng(seed)
    steps: list[RehearsedStep] = []
    for _ in range(kind.moments):
        outcome = steps[-1].outcome if steps else 0
        probability = float(random.choice([0.25, 0.5, 1.0]))
        moment = Moment(
            tuple(_segment(kind, random, outcome, probability) for _ in range(kind.alternatives)),
            int(random.integers(kind.alternatives)),
        )
        steps.append(RehearsedStep(moment, int(random.integers(2))))
    return tuple(steps)


def _segment(kind: Kind, random: np.random.Generator, outcome: int, probability: float) -> Segment:
    length, actions = kind.length, kind.actions
    earned = Earned(_score(random), probability)
    chances = random.normal(-np.log(actions), 0.1, length)
    if kind.observations is None and kind.inputs is None:
        tokens = random.integers(actions, size=length)
        tokens[0] = outcome
        sampled = [place not in (0, 2) for place in range(length)]  # 2: something was read there
        return Segment.from_tokens(tokens.tolist(), sampled, earned, logprobs=chances.tolist())
    read: NDArray[Any]
    if kind.inputs is not None:
        read = random.integers(kind.inputs, size=length)
    else:
        read = random.normal(size=(length, kind.observations or 1))
    read[0] = outcome
    chosen = random.integers(actions, size=length)
    chosen[1] = NOTHING
    return Segment.of(read, chosen, earned, logprobs=np.where(chosen == NOTHING, 0.0, chances))


def _score(random: np.random.Generator) -> float:
    return float(random.uniform(0.1, 0.9))


def alone(run: Run, moment: int) -> Run:
    """Return the run with one moment measured, and no other."""
    return _change(run, lambda number, one: one if number == moment else _unmeasured(one))


def unmeasured(run: Run) -> Run:
    """Return the run with nothing measured."""
    return _change(run, lambda _, one: _unmeasured(one))


def other_rewards(run: Run, moment: int, seed: int) -> Run:
    """Return the run with other scores and other probabilities in all other moments."""
    random = np.random.default_rng(seed)
    probabilities = random.uniform(0.1, 1.0, len(run)).tolist()

    def changed(number: int, segment: Segment) -> Segment:
        if number == moment:
            return segment
        return replace(segment, earned=Earned(_score(random), probabilities[number]))

    return _change(run, changed)


def later_unmeasured(run: Run, moment: int) -> Run:
    """Return the run with nothing measured after a moment."""
    return _change(run, lambda number, one: _unmeasured(one) if number > moment else one)


def other_choices(kind: Kind, run: Run, moment: int, seed: int) -> Run:
    """Return the run with other recorded log-probabilities in all other moments.

    With other actions too, but where the policy reads them back: there they are its context.
    """
    random = np.random.default_rng(seed)
    read_back = kind.inputs is None and kind.observations is None

    def changed(number: int, segment: Segment) -> Segment:
        if number == moment or segment.logprobs is None:
            return segment
        moved = segment.logprobs + random.normal(0.0, 0.3, len(segment.logprobs))
        other = segment.actions if read_back else (segment.actions + 1) % kind.actions
        return replace(
            segment,
            actions=np.where(segment.chosen, other, NOTHING),
            logprobs=np.where(segment.chosen, moved, 0.0),
        )

    return _change(run, changed)


def other_future(kind: Kind, run: Run, moment: int, seed: int) -> Run:
    """Return the run with other outcomes from a moment's own on, and other tokens after it."""
    later = rehearse(kind, seed)
    steps = list(run[:moment])
    for number in range(moment, len(run)):
        old, outcome = run[number], 1 - run[number].outcome
        if number == moment:
            steps.append(RehearsedStep(old.moment, outcome))
            continue
        segments = []
        for was, new in zip(
            old.moment.alternatives, later[number].moment.alternatives, strict=True
        ):
            inputs = new.inputs.copy()
            inputs[0] = steps[-1].outcome
            segments.append(replace(new, inputs=inputs, earned=was.earned))
        steps.append(RehearsedStep(Moment(tuple(segments), old.moment.live), outcome))
    return tuple(steps)


def _unmeasured(segment: Segment) -> Segment:
    return replace(segment, earned=Earned(None, segment.earned.probability), rewards=None)


def _change(run: Sequence[RehearsedStep], change: Callable[[int, Segment], Segment]) -> Run:
    steps = []
    for number, step in enumerate(run):
        changed = tuple(change(number, one) for one in step.moment.alternatives)
        steps.append(RehearsedStep(Moment(changed, step.moment.live), step.outcome))
    return tuple(steps)
