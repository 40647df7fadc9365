"""What a model call used, as the answer tells it. Pure."""

import math
from collections.abc import Mapping
from typing import Any

from monastery.runtime.canonical import canonical
from monastery.runtime.project import PriceSettings

_IN = ("prompt_tokens", "input_tokens")
_KEPT = ("cache_creation_input_tokens", "cache_read_input_tokens")
_OUT = ("completion_tokens", "output_tokens")
_ALLOWED = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_TOKENS_A_SECOND = 100.0


def tokens(response: Any) -> tuple[int, int] | None:
    """Return how many tokens went in and came out; None when the answer does not tell.

    What a provider keeps of a prompt is part of what went in; Anthropic tells it apart.
    """
    used = response.get("usage") if isinstance(response, Mapping) else None
    if not isinstance(used, Mapping):
        return None
    went_in, came_out = _first(used, _IN), _first(used, _OUT)
    if went_in is None or came_out is None:
        return None
    return went_in + sum(_first(used, (name,)) or 0 for name in _KEPT), came_out


def cost(used: tuple[int, int], price: PriceSettings | None) -> float | None:
    """Return what a call cost, in the unit of the prices; None when the model has no price.

    Tokens that the provider kept, or finds kept, are counted like the others.
    """
    if price is None:
        return None
    return (used[0] * price.tokens_in + used[1] * price.tokens_out) / 1e6


def reckoned(request: Mapping[str, Any], seconds: float) -> tuple[int, int]:
    """Return how many tokens a call that was broken off went on with, rather too many than too few.

    In: one for each three bytes of the request. Out: a hundred a second, no more than it allowed.

    Args:
        request: The call as it left.
        seconds: How long it was under way.
    """
    allowed = _first(request, _ALLOWED)
    out = math.ceil(seconds * _TOKENS_A_SECOND)
    return len(canonical(request)) // 3 + 1, out if allowed is None else min(out, allowed)


def log_probabilities(response: Any) -> int | None:
    """Return of how many tokens an answer gives log-probabilities; None when of none.

    OpenAI's chat has them beside each choice, its responses in each part of an item.
    """
    found = 0
    for choice in _objects(response, "choices"):
        found += len(_objects(choice.get("logprobs"), "content"))
    for item in _objects(response, "output"):
        found += sum(len(_objects(part, "logprobs")) for part in _objects(item, "content"))
    return found or None


def sampled_tokens(sampled: Any) -> int | None:
    """Return how many tokens a model on this machine drew, each with its log-probability."""
    return sum(len(sample["ids"]) for sample in _objects(sampled, "samples")) or None


def _objects(value: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the objects in a list that is a field of an object, or may be."""
    inside = value.get(name) if isinstance(value, Mapping) else None
    return [one for one in inside if isinstance(one, Mapping)] if isinstance(inside, list) else []


def _first(used: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """Return the first of these fields that is a count."""
    for name in names:
        value = used.get(name)
        if type(value) is int and value >= 0:
            return value
    return None
