"""Training: a run's journal read as training items, one for each think segment, in order.

A segment that was rolled out again for its audit is followed by its alternatives: items of the same
moment, that were not carried out. A rollout that came to no proposal is none.

Tokens are taken from what a model on this machine keeps beside its answer, with the
log-probabilities of the draw; else from an answer that tells them by the names that vLLM gives them
(`prompt_token_ids`, `token_ids` of the only choice, or both at the top of an answer of no API, with
log-probabilities as OpenAI's chat tells them or as a list `logprobs`). What does not fit together
is left out rather than guessed: a learner that needs tokens says that it has none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from monastery.runtime import recall
from monastery.runtime.credit import Answered, Asked, Context, Earned, Trainable, TrainingItem
from monastery.runtime.events import ModelCalled
from monastery.runtime.records import RunId
from monastery.runtime.segment_lines import (
    answered,
    past_step,
    printed,
    printed_alternative,
    proposed,
    proposed_alternative,
)
from monastery.runtime.store import Store
from monastery.runtime.story import AlternativeStory, SegmentStory, tell


def training_items(store: Store, run: RunId | str) -> Iterator[TrainingItem]:
    """Yield a run's segments in order, unaudited ones too: sums are divided by all of them.

    Raises:
        StoreError: The journal cannot be read.
    """
    past: tuple[Any, ...] = ()
    for told in tell(store, run).segments:
        yield training_item(store, told, past)
        for one in told.alternatives.values():
            if one.proposal is not None:
                yield _alternative_item(store, told, one, past)
        if told.completed is not None:
            past = (*past, past_step(recall.earlier_step(store, told)))


def training_item(store: Store, told: SegmentStory, past: tuple[Any, ...]) -> TrainingItem:
    """Return one segment as an item.

    Args:
        store: Where its run lies.
        told: The segment.
        past: The run's steps before it, as far as its learner is to read them.
    """
    both = [_call(store, call) for call in answered(told.calls)]
    return TrainingItem(
        run=RunId(told.id.rpartition(".")[0]),
        segment=told.id,
        index=told.index,
        moment=told.id,
        context=Context(past, tuple(asked for asked, _ in both)),
        trainable=Trainable(
            tuple(answer for _, answer in both), printed(store, told), proposed(store, told)
        ),
        earned=_earned(told),
    )


def _alternative_item(
    store: Store, told: SegmentStory, one: AlternativeStory, past: tuple[Any, ...]
) -> TrainingItem:
    """Return a rollout as an item of its segment's moment."""
    assert told.drawn is not None, "only an audited moment has alternatives"
    both = [_call(store, call) for call in answered(one.calls)]
    return TrainingItem(
        run=RunId(told.id.rpartition(".")[0]),
        segment=one.id,
        index=told.index,
        moment=told.id,
        context=Context(past, tuple(asked for asked, _ in both)),
        trainable=Trainable(
            tuple(answered for _, answered in both),
            printed_alternative(store, one),
            proposed_alternative(store, one),
        ),
        earned=Earned(None if one.reward is None else one.reward.score, told.drawn.probability),
        live=False,
    )


def _earned(told: SegmentStory) -> Earned:
    """Return what the segment earned; one without a proposal could not be audited."""
    if told.drawn is None:
        return Earned(None, 0.0)
    return Earned(None if told.reward is None else told.reward.score, told.drawn.probability)


def _call(store: Store, call: ModelCalled) -> tuple[Asked, Answered]:
    request = recall.kept_json(store, call.request.ref)
    response = recall.kept_json(store, call.response.ref)
    if call.sampled is None:
        prompt, sampled, logprobs = told_tokens(response)
        temperature = _temperature(_object(request).get("request", request))
    else:
        kept = recall.kept_json(store, call.sampled.ref)
        prompt, sampled, logprobs = kept_tokens(kept)
        temperature = _temperature(kept)
    answer = Answered(response, sampled, logprobs, call.version, temperature)
    return Asked(request, prompt), answer


Ids = tuple[int, ...]
Tokens = tuple[Ids | None, Ids | None, tuple[float, ...] | None]
"""The prompt's, the sampled, and their log-probabilities; each None where it is not told."""


def kept_tokens(kept: Any) -> Tokens:
    """Return the tokens of what a model on this machine keeps beside one answer.

    Of several answers to one call nobody knows which the agent used: then no sampled ones.
    """
    body = _object(kept)
    sample = _only(body.get("samples"))
    return _fitting(body.get("prompt_ids"), sample.get("ids"), sample.get("drawn_logprobs"))


def told_tokens(response: Any) -> Tokens:
    """Return the tokens that an answer itself tells."""
    body = _object(response)
    body = _object(body.get("response", body))  # of an API, beside its status
    choice = _only(body["choices"]) if "choices" in body else body
    told = choice.get("logprobs")
    if isinstance(told, Mapping):
        content = told.get("content")
        content = content if isinstance(content, list) else []
        told = [_object(one).get("logprob") for one in content]
    return _fitting(body.get("prompt_token_ids"), choice.get("token_ids"), told)


def _fitting(prompt: Any, sampled: Any, logprobs: Any) -> Tokens:
    ids, known = _ids(sampled), _floats(logprobs)
    if ids is None or known is None or len(known) != len(ids):
        known = None
    return _ids(prompt), ids, known


def _temperature(drawn: Any) -> float | None:
    told = _floats([_object(drawn).get("temperature")])
    return told[0] if told and told[0] >= 0 else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _only(value: Any) -> Mapping[str, Any]:
    return _object(value[0]) if isinstance(value, list) and len(value) == 1 else {}


def _ids(value: Any) -> Ids | None:
    if not isinstance(value, list) or not all(type(one) is int and one >= 0 for one in value):
        return None
    return tuple(value)


def _floats(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, list) or not all(type(one) in (int, float) for one in value):
        return None
    return tuple(float(one) for one in value)
