"""What a learner is given: one moment of a run, its segments as arrays, and what each earned.

It has no place for what would be a leak: no later segment, no outcome of its own proposal, no
reward but its own. Arrays are numpy's, which carry no gradient, so that nothing of another
segment's graph can come along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monastery.runtime.credit import Earned, TrainingItem, advantages
from monastery.runtime.errors import BadInput

NOTHING = -1
"""In `actions`: here the policy chose nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """What was read and chosen in one think segment, since the boundary before it.

    After each input the policy may choose an action. A policy that writes tokens reads back what it
    chose: use `from_tokens`. Since an action stands at the input after which it was chosen, and
    that input is of this segment, no action can hang on a state before the boundary alone.

    Attributes:
        inputs: [L] int64, token or state numbers; or [L, D] float32, observations. L >= 1.
        actions: [L] int64: what was chosen after each input, or `NOTHING`.
        earned: What is known of its worth.
        logprobs: [L] float64: of each action under the policy that chose it; 0 where none was.
            None when not recorded: then the policy that learns counts as the one that chose.
        rewards: [L] float64: the part of the score that each action earned, where the audit told;
            over the actions they add up to the score. None: the last action earns all of it.

    Raises:
        BadInput: The arrays do not fit together.
    """

    inputs: NDArray[Any]
    actions: NDArray[np.int64]
    earned: Earned
    logprobs: NDArray[np.float64] | None = None
    rewards: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        length = len(self.inputs)
        if length == 0 or self.actions.shape != (length,):
            shapes = f"{self.inputs.shape} inputs and {self.actions.shape} actions"
            raise BadInput(f"a segment has {shapes}; it needs [L, …] and [L], L at least 1")
        for name, array in (("logprobs", self.logprobs), ("rewards", self.rewards)):
            if array is not None and array.shape != (length,):
                raise BadInput(f"a segment's {name} are {array.shape}; they need to be ({length},)")
        if self.rewards is not None and self.earned.score is not None:
            total = float(self.rewards[self.chosen].sum())
            if not np.isclose(total, self.earned.score):
                raise BadInput(f"rewards add up to {total!r}; the score is {self.earned.score!r}")

    @property
    def chosen(self) -> NDArray[np.bool_]:
        """[L]: where the policy chose something."""
        chosen: NDArray[np.bool_] = self.actions != NOTHING
        return chosen

    def action_rewards(self, worth: float) -> NDArray[np.float64]:
        """Return the reward of each of the n actions, [n]; they add up to `worth`.

        What the audit did not give to single actions, the last one earns.

        Args:
            worth: The score, or what a judge made of it.
        """
        chosen = self.chosen
        if self.rewards is None or self.earned.score is None:
            rewards = np.zeros(int(chosen.sum()))
            rewards[-1] = worth
            return rewards
        rewards = self.rewards[chosen]
        rewards[-1] += worth - self.earned.score
        return rewards

    @classmethod
    def of(
        cls,
        inputs: ArrayLike,
        actions: ArrayLike,
        earned: Earned,
        *,
        logprobs: ArrayLike | None = None,
        rewards: ArrayLike | None = None,
    ) -> "Segment":
        """Return a segment from anything that numpy makes arrays of; whole inputs are numbers."""
        read = np.asarray(inputs)
        whole = read.dtype.kind in "iub" and read.ndim == 1
        return cls(
            read.astype(np.int64 if whole else np.float32),
            np.asarray(actions, np.int64),
            earned,
            None if logprobs is None else np.asarray(logprobs, np.float64),
            None if rewards is None else np.asarray(rewards, np.float64),
        )

    @classmethod
    def from_tokens(
        cls,
        tokens: Sequence[int],
        sampled: Sequence[bool],
        earned: Earned,
        *,
        logprobs: Sequence[float] | None = None,
    ) -> "Segment":
        """Return the segment of a policy that writes tokens, and reads what it wrote.

        Args:
            tokens: [L]: all of the segment's, those that were given to it too.
            sampled: [L]: which of them the policy chose. Not the first: it would be predicted from
                the position before it, which is of the segment before. Begin with a header or with
                the outcome of the last step.
            earned: What is known of its worth.
            logprobs: [L]: of each sampled token; others are not looked at.

        Raises:
            BadInput: The first token is sampled, or the lengths differ.
        """
        read, chose = np.asarray(tokens, np.int64), np.asarray(sampled, bool)
        if len(read) == 0 or chose.shape != read.shape:
            raise BadInput(f"{len(read)} tokens, {len(chose)} times sampled or not; one for each")
        if chose[0]:
            raise BadInput(
                "the segment's first token is sampled, so it is predicted from a position before"
                " the boundary; begin each segment with a token that was given to the policy"
            )
        actions = np.full(read.shape, NOTHING)
        actions[:-1][chose[1:]] = read[1:][chose[1:]]
        told = None
        if logprobs is not None:
            told = np.zeros(read.shape)
            told[:-1][chose[1:]] = np.asarray(logprobs, np.float64)[1:][chose[1:]]
        return cls(read, actions, earned, told)


@dataclass(frozen=True, slots=True)
class Moment:
    """One point of a run, and the segments that were rolled out from it.

    Attributes:
        alternatives: At least one.
        live: Which of them the run went on from.

    Raises:
        BadInput: There is none, or no such one to go on from, or they are not of one draw.
    """

    alternatives: tuple[Segment, ...]
    live: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.live < len(self.alternatives):
            count = len(self.alternatives)
            raise BadInput(f"the run goes on from alternative {self.live}, but there are {count}")
        if len({segment.earned.probability for segment in self.alternatives}) > 1:
            raise BadInput("alternatives of one moment have one draw, and so one probability")

    @classmethod
    def of(cls, segment: Segment) -> "Moment":
        """Return the moment of a segment without alternatives."""
        return cls((segment,))

    def advantages(self, baseline: float = 0.0) -> list[float | None]:
        """Return what each alternative is trained with; see `credit.advantages`."""
        return advantages([segment.earned for segment in self.alternatives], baseline)


def from_items(items: Sequence[TrainingItem], start: int) -> Moment:
    """Return the moment of a journal's training items that share one, from the recorded tokens.

    Of a prompt only what came since the last model call is read, where the prompt goes on from
    there; an agent that rewrites its history gives its whole prompt to be read anew.

    Args:
        items: All alternatives of one moment.
        start: A token that begins each segment (a header), so that nothing sampled does.

    Raises:
        BadInput: They are not of one moment, or an answer's tokens were not recorded.
    """
    if len({(item.run, item.moment) for item in items}) != 1:
        raise BadInput(f"{len(items)} items are not of one moment; give its alternatives alone")
    live = [number for number, item in enumerate(items) if item.live]
    if len(live) != 1:
        raise BadInput(f"{len(live)} alternatives of moment {items[0].moment} went on; one can")
    return Moment(tuple(_segment(item, start) for item in items), live[0])


def _segment(item: TrainingItem, start: int) -> Segment:
    tokens, sampled, logprobs, told = [start], [False], [0.0], True
    seen: tuple[int, ...] = ()
    for asked, answer in zip(item.context.asked, item.trainable.answers, strict=True):
        if asked.prompt_ids is None or answer.token_ids is None:
            raise BadInput(
                f"segment {item.segment}: an answer's tokens were not recorded; ask the policy for"
                " prompt_token_ids and token_ids"
            )
        on = asked.prompt_ids[: len(seen)] == seen
        new = asked.prompt_ids[len(seen) :] if on else asked.prompt_ids
        tokens += (*new, *answer.token_ids)
        sampled += [False] * len(new) + [True] * len(answer.token_ids)
        told = told and answer.logprobs is not None
        logprobs += [0.0] * len(new) + list(answer.logprobs or [0.0] * len(answer.token_ids))
        seen = (*asked.prompt_ids, *answer.token_ids)
    return Segment.from_tokens(tokens, sampled, item.earned, logprobs=logprobs if told else None)
