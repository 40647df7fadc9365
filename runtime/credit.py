"""Credit: what one segment's audit is worth to a learner, from its own moment alone.

A moment is one point of a run from which one or several segments were rolled out: alternatives, of
which at most one was carried out. Everything here looks at one moment. No return, discount,
bootstrap, normalisation or filter spans two of them, so there is no function here that could be
given two; only `horvitz_thompson` adds up moments, each already worth what it is worth.

What was not audited, or not measured, is absent, which is not 0. A score counts 1/p, and sums are
divided by the number of *all* moments, audited or not (Horvitz and Thompson 1952).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from monastery.runtime.records import RunId, SegmentId


@dataclass(frozen=True, slots=True)
class Earned:
    """What is known of one segment's worth.

    Attributes:
        score: What its audit found, None when it was not audited or did not measure.
        probability: That it would be audited, (0, 1]; 0 where no audit could be, and so no score.
        judged: What a cheap judge makes of the same proposal, if there is one: never of what came
            of it. It makes `value` doubly robust: whatever the judge says, it is right on average
            (Robins, Rotnitzky and Zhao 1994), and the better the judge the less it varies.

    Raises:
        ValueError: A number is not finite, the probability is none, or a score was impossible.
    """

    score: float | None
    probability: float = 1.0
    judged: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"the probability {self.probability!r} is not from 0 to 1")
        if self.score is not None and self.probability == 0.0:
            raise ValueError(f"a score of {self.score!r} where the audit's probability is 0")
        for name, number in (("score", self.score), ("judged", self.judged)):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{name} is {number!r}; write None where nothing was measured")

    @property
    def weight(self) -> float:
        """1/probability: how many segments a score speaks for.

        Raises:
            ValueError: The probability is 0.
        """
        return weight(self.probability)

    @property
    def reward(self) -> float | None:
        """Score times weight, as the journal has it; None when nothing was measured."""
        return None if self.score is None else self.score * self.weight

    @property
    def share(self) -> float:
        """How many segments this one speaks for in a sum.

        1/probability where only audited ones speak; 1 where a judge speaks for each.
        """
        return 1.0 if self.judged is not None else self.weight

    def value(self, baseline: float = 0.0) -> float | None:
        """Return an estimate of (score - baseline) whose mean over the draw is exactly that.

        None when there is nothing to go by; on average over the draw that counts as 0.

        Args:
            baseline: A number that knows nothing of this segment and of no other's reward.
        """
        if self.judged is None:
            return None if self.score is None else self.weight * (self.score - baseline)
        measured = 0.0 if self.score is None else self.weight * (self.score - self.judged)
        return self.judged - baseline + measured


def weight(probability: float) -> float:
    """Return 1/probability.

    Raises:
        ValueError: It is not in (0, 1].
    """
    if not 0.0 < probability <= 1.0:
        raise ValueError(f"the probability {probability!r} is not above 0 and at most 1")
    return 1.0 / probability


def advantages(moment: Sequence[Earned], baseline: float = 0.0) -> list[float | None]:
    """Return what each alternative of one moment is to be trained with.

    Where two or more have a value, each is compared with the mean of the others (leave one out, so
    that the baseline knows nothing of what it is taken from; Kool, van Hoof and Welling 2019). One
    alone is compared with `baseline`. What has no value gets None.

    Args:
        moment: The alternatives of *one* moment, which is drawn as a whole, and so has one
            probability. Segments of several steps are not alternatives.
        baseline: A constant chosen in advance, or what a critic says of the moment's context.

    Raises:
        ValueError: The probabilities differ.
    """
    if len({one.probability for one in moment}) > 1:
        told = ", ".join(f"{one.probability:g}" for one in moment)
        raise ValueError(f"these are not alternatives of one draw: their probabilities are {told}")
    values = [one.value() for one in moment]
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return [one.value(baseline) for one in moment]
    total, others = math.fsum(known), len(known) - 1
    return [None if value is None else value - (total - value) / others for value in values]


def horvitz_thompson(values: Iterable[float | None], moments: int) -> float:
    """Return the mean over all moments that the values of some estimate without bias.

    Args:
        values: One for each moment, None where there is none; those may also be left out.
        moments: How many moments there were, audited or not.

    Raises:
        ValueError: There were no moments, or fewer than values.
    """
    known = [value for value in values if value is not None]
    if moments < 1 or len(known) > moments:
        raise ValueError(f"{len(known)} values of {moments} moments; count the unaudited ones too")
    return math.fsum(known) / moments


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of the policy, which is trained on.

    Attributes:
        response: What was recorded, a JSON value.
        token_ids: What the policy sampled, where it recorded that.
        logprobs: Their log-probabilities under the policy that sampled them, where recorded; as
            many as `token_ids`.
        version: Which policy that was, where it said.
    """

    response: Any
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the policy was given for one answer: fixed.

    Attributes:
        request: What was recorded, a JSON value.
        prompt_ids: All tokens that came before the answer, where the policy recorded them.
    """

    request: Any
    prompt_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a segment was lived in: given to a learner to read, and never trained on.

    Attributes:
        earlier: The run's steps before this one and what came of each, JSON objects.
        asked: What each model call of the segment was given, in order.
    """

    earlier: tuple[Any, ...]
    asked: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Trainable:
    """What the policy did in a segment.

    Attributes:
        answers: One for each of the context's `asked`.
        printed: What its agent printed, a JSON object as in segment lines.
        proposal: What its agent proposed, a JSON object; None when it ended without.
    """

    answers: tuple[Answered, ...]
    printed: Any = None
    proposal: Any = None


@dataclass(frozen=True, slots=True)
class TrainingItem:
    """One segment as a learner may have it. What came of its proposal has no place in it.

    Attributes:
        moment: Names the point that it was rolled out from; its alternatives share that name, and
            nothing else does.
        live: Whether it was this alternative whose proposal went to the gate.
    """

    run: RunId
    segment: SegmentId
    index: int
    moment: str
    context: Context
    trainable: Trainable
    earned: Earned
    live: bool = True

    @property
    def versions(self) -> frozenset[str]:
        """The policies that answered in it, where they said which they were."""
        said = (answer.version for answer in self.trainable.answers)
        return frozenset(version for version in said if version is not None)
