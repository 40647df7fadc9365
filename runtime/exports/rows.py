"""Rows: what one think segment is to a trainer that knows prompts and completions.

A row is a stretch of one segment that the policy read without a break: while each call's prompt
goes on from all that was read and sampled before, the calls are one row, and what the agent fed in
between has mask 0. Where a prompt begins anew (a history cut short, a template that drops thoughts)
a new row begins, for a model's answer means something only after the prompt that it was given. So a
row holds trainable tokens of one segment and of no other, which is what keeps I1 in any trainer
that gives each row its own advantage.

All rows of a segment have its one reward. A trainer that sums over tokens does what the segment's
policy gradient says, however many rows there are; one that takes the mean of each row does not.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from monastery.runtime.credit import Answered, TrainingItem, advantages


@dataclass(frozen=True, slots=True)
class StepRow:
    """One stretch of a think segment.

    Attributes:
        episode: The run.
        step: The segment's index in its run.
        group: The moment; alternatives of it share this, and nothing else does.
        segment: Rows of one segment share this.
        call: Which of the segment's model calls it begins with, from 0.
        prompt_ids: [P] all that was read before the first sampled token, P at least 1.
        completion_ids: [C] what was sampled, and what was fed in between.
        completion_mask: [C] 1 where the policy sampled, 0 elsewhere; the first is 1.
        logprobs: [C] of each sampled token under the policy that drew it, 0 elsewhere; None where
            they were not recorded.
        reward: Score times 1/probability; None when nothing was measured, which is not 0.
        advantage: What the tokens are to be trained with, weight included; None likewise.
        version: The policy that answered, where it said.
        temperature: It was sampled at, where recorded.
    """

    episode: str
    step: int
    group: str
    segment: str
    call: int
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    completion_mask: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    reward: float | None
    advantage: float | None
    version: str | None
    temperature: float | None


@dataclass(slots=True)
class _Stretch:
    call: int
    prompt: tuple[int, ...]
    answer: Answered
    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] | None = field(default_factory=list)

    def feed(self, ids: Sequence[int]) -> None:
        """Add what was read."""
        self.ids += ids
        self.mask += [0] * len(ids)
        if self.logprobs is not None:
            self.logprobs += [0.0] * len(ids)

    def sample(self, ids: Sequence[int], logprobs: Sequence[float] | None) -> None:
        """Add what was drawn."""
        self.ids += ids
        self.mask += [1] * len(ids)
        if self.logprobs is not None and logprobs is not None:
            self.logprobs += logprobs
        else:
            self.logprobs = None

    def continues(self, prompt: Sequence[int], answer: Answered) -> bool:
        """Whether a call goes on from here, with the same policy."""
        read = (*self.prompt, *self.ids)
        same = (answer.version, answer.temperature) == (
            self.answer.version,
            self.answer.temperature,
        )
        return same and tuple(prompt[: len(read)]) == read


def by_moment(items: Iterable[TrainingItem]) -> Iterator[list[TrainingItem]]:
    """Yield the alternatives of each moment; those of one moment stand together."""
    for _, alternatives in groupby(items, lambda item: (item.run, item.moment)):
        yield list(alternatives)


def has_tokens(item: TrainingItem) -> bool:
    """Whether all tokens of the segment are known: those read, and those sampled."""
    both = zip(item.context.asked, item.trainable.answers, strict=True)
    return all(asked.prompt_ids and answer.token_ids is not None for asked, answer in both)


def moment_rows(moment: Sequence[TrainingItem], baseline: float = 0.0) -> list[StepRow]:
    """Return the rows of one moment's segments; none for a segment whose tokens are not known.

    Args:
        moment: The alternatives of one moment.
        baseline: What a score without alternatives is compared with, chosen in advance.
    """
    worth = advantages([item.earned for item in moment], baseline)
    return [
        row
        for item, advantage in zip(moment, worth, strict=True)
        if has_tokens(item)
        for row in _segment_rows(item, advantage)
    ]


def _segment_rows(item: TrainingItem, advantage: float | None) -> Iterator[StepRow]:
    for one in _stretches(item):
        yield StepRow(
            episode=item.run,
            step=item.index,
            group=f"{item.run}:{item.moment}",
            segment=item.segment,
            call=one.call,
            prompt_ids=one.prompt,
            completion_ids=tuple(one.ids),
            completion_mask=tuple(one.mask),
            logprobs=None if one.logprobs is None else tuple(one.logprobs),
            reward=item.earned.reward,
            advantage=advantage,
            version=one.answer.version,
            temperature=one.answer.temperature,
        )


def _stretches(item: TrainingItem) -> list[_Stretch]:
    found: list[_Stretch] = []
    both = zip(item.context.asked, item.trainable.answers, strict=True)
    for call, (asked, answer) in enumerate(both):
        prompt, sampled = asked.prompt_ids or (), answer.token_ids or ()
        if not sampled:
            continue  # an answer without a token has nothing to train
        if found and found[-1].continues(prompt, answer):
            one = found[-1]
            one.feed(prompt[len(one.prompt) + len(one.ids) :])
        else:
            one = _Stretch(call, prompt, answer)
            found.append(one)
        one.sample(sampled, answer.logprobs)
    return found
