"""Training: a run's journal read as training items, one for each think segment, in order.

Where an answer tells the tokens that were sampled they are taken up, by the names that vLLM gives
them: `prompt_token_ids` in the answer, `token_ids` in its first choice, or either at the top of an
answer of no API; log-probabilities as OpenAI's chat tells them, or a list `logprobs` beside the
tokens. What does not fit together is left out rather than guessed: a learner that needs tokens
says that it has none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from monastery.runtime import recall
from monastery.runtime.credit import Answered, Asked, Context, Earned, Trainable, TrainingItem
from monastery.runtime.events import ModelCalled
from monastery.runtime.records import RunId
from monastery.runtime.segment_lines import past_step, printed, proposed
from monastery.runtime.store import Store
from monastery.runtime.story import SegmentStory, tell


def training_items(store: Store, run: RunId | str) -> Iterator[TrainingItem]:
    """Yield a run's segments in order, unaudited ones too: sums are divided by all of them.

    Raises:
        StoreError: The journal cannot be read.
    """
    past: tuple[Any, ...] = ()
    for told in tell(store, run).segments:
        yield training_item(store, told, past)
        if told.completed is not None:
            past = (*past, past_step(recall.earlier_step(store, told)))


def training_item(store: Store, told: SegmentStory, past: tuple[Any, ...]) -> TrainingItem:
    """Return one segment as an item.

    Args:
        store: Where its run lies.
        told: The segment.
        past: The run's steps before it, as far as its learner is to read them.
    """
    # What was refused no model answered, and what was cancelled the agent never had.
    calls = [call for call in told.calls if call.refused is None and not call.cancelled]
    both = [_call(store, call) for call in calls]
    return TrainingItem(
        run=RunId(told.id.rpartition(".")[0]),
        segment=told.id,
        index=told.index,
        moment=told.id,
        context=Context(past, tuple(asked for asked, _ in both)),
        trainable=Trainable(
            tuple(answered for _, answered in both), printed(store, told), proposed(store, told)
        ),
        earned=_earned(told),
    )


def _earned(told: SegmentStory) -> Earned:
    """Return what the segment earned; one without a proposal could not be audited."""
    if told.drawn is None:
        return Earned(None, 0.0)
    return Earned(None if told.reward is None else told.reward.score, told.drawn.probability)


def _call(store: Store, call: ModelCalled) -> tuple[Asked, Answered]:
    request = recall.kept_json(store, call.request.ref)
    response = recall.kept_json(store, call.response.ref)
    prompt, sampled, logprobs = sampled_tokens(response)
    return Asked(request, prompt), Answered(response, sampled, logprobs, call.version)


Ids = tuple[int, ...]


def sampled_tokens(response: Any) -> tuple[Ids | None, Ids | None, tuple[float, ...] | None]:
    """Return an answer's prompt tokens, sampled tokens and log-probabilities, each if told."""
    body = _object(response)
    body = _object(body.get("response", body))  # of an API, beside its status
    choices = body.get("choices")
    choice = _object(choices[0]) if isinstance(choices, list) and choices else body
    sampled = _ids(choice.get("token_ids"))
    told = choice.get("logprobs")
    if isinstance(told, Mapping):
        content = told.get("content")
        content = content if isinstance(content, list) else []
        told = [_object(one).get("logprob") for one in content]
    logprobs = _floats(told)
    if sampled is None or logprobs is None or len(logprobs) != len(sampled):
        logprobs = None
    return _ids(body.get("prompt_token_ids")), sampled, logprobs


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _ids(value: Any) -> Ids | None:
    if not isinstance(value, list) or not all(type(one) is int and one >= 0 for one in value):
        return None
    return tuple(value)


def _floats(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, list) or not all(type(one) in (int, float) for one in value):
        return None
    return tuple(float(one) for one in value)
