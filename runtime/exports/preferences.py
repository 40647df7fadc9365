"""Preferences: alternatives of one moment, the better scored as chosen and the other as rejected.

The columns are those of a conversational preference dataset (`prompt`, `chosen`, `rejected`, each a
list of messages), which TRL's DPOTrainer and others take as it is:
https://huggingface.co/docs/trl/dataset_formats, read in November 2026. Beside them stands what they
have no place for. Pairs are made within one moment only: two steps of a run are no alternatives.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from monastery.runtime.credit import TrainingItem
from monastery.runtime.exports.messages import lived
from monastery.runtime.exports.rows import by_moment


def preference_objects(items: Iterable[TrainingItem]) -> Iterator[dict[str, Any]]:
    """Yield every pair of alternatives whose scores differ, best margins of a moment first."""
    for moment in by_moment(items):
        yield from _pairs(moment)


def _pairs(moment: Sequence[TrainingItem]) -> list[dict[str, Any]]:
    scored = [(item.earned.score, item) for item in moment if item.earned.score is not None]
    ranked = sorted(scored, key=lambda one: -one[0])
    pairs = [
        _object(better, worse, high, low)
        for (high, better), (low, worse) in combinations(ranked, 2)
        if high > low
    ]
    return sorted(pairs, key=lambda pair: pair["score_rejected"] - pair["score_chosen"])


def _object(better: TrainingItem, worse: TrainingItem, high: float, low: float) -> dict[str, Any]:
    prompt, chosen = lived(better)
    other_prompt, rejected = lived(worse)
    if other_prompt != prompt:  # it asked otherwise from the start: that is a part of what it did
        shared = _shared(prompt, other_prompt)
        chosen, rejected = prompt[shared:] + chosen, other_prompt[shared:] + rejected
        prompt = prompt[:shared]
    return {
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "score_chosen": high,
        "score_rejected": low,
        "weight": better.earned.weight,
        "episode_id": better.run,
        "step_index": better.index,
        "group_id": f"{better.run}:{better.moment}",
    }


def _shared(one: list[Any], other: list[Any]) -> int:
    """Return how many messages two conversations have in common from the start."""
    count = 0
    for mine, yours in zip(one, other, strict=False):
        if mine != yours:
            break
        count += 1
    return count
