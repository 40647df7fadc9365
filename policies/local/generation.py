"""Sampling from a causal model, token by token: the only loop in which a local model thinks.

A model object and the tokens of a prompt come in; tokens with their log-probabilities come out, so
whoever has a model, a trained one too, samples from it as the policy does.
"""

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

_CHUNK = 512
"""How many tokens of a prompt are read at a time: in between it can be called off."""


class CalledOff(Exception):
    """Nobody waits for the answer any more."""


@dataclass(slots=True)
class Drawn:
    """Tokens as they were drawn; the lists grow together.

    Attributes:
        logprobs: The model's own log-probability of each token, at temperature 1.
        drawn_logprobs: That under which it was drawn.
        top: The most probable tokens beside each, with the model's log-probabilities.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    drawn_logprobs: list[float] = field(default_factory=list)
    top: list[list[tuple[int, float]]] = field(default_factory=list)


def generate(
    model: Any,
    prompt_ids: Sequence[int],
    *,
    max_tokens: int,
    temperature: float,
    top_p: float,
    top_k: int,
    draw: torch.Generator,
    ends: Container[int],
    is_over: Callable[[Sequence[int]], bool] = lambda ids: False,
    is_wanted: Callable[[], bool] = lambda: True,
    top: int = 0,
) -> Drawn:
    """Sample one answer to a prompt.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        prompt_ids: What it is given, at least one token.
        draw: Where the chance comes from; a processor's.
        ends: The tokens that end an answer; the one that did is part of it.
        is_over: Whether the tokens so far are all that is asked for.
        is_wanted: Asked between tokens.
        top: How many of the most probable tokens are noted for each.

    Raises:
        CalledOff: It is not wanted any more.
    """
    drawn = Drawn()
    given, cache = list(prompt_ids), None
    with torch.inference_mode():
        while len(drawn.ids) < max_tokens:
            for first in range(0, len(given), _CHUNK):
                if not is_wanted():
                    raise CalledOff
                part = torch.tensor([given[first : first + _CHUNK]], device=model.device)
                out = model(part, past_key_values=cache, use_cache=True, logits_to_keep=1)
                cache = out.past_key_values
            logits = out.logits[0, -1].float().cpu()  # [vocabulary]
            own = logits.log_softmax(-1)
            token, logprob = _draw(logits, temperature, top_p, top_k, draw)
            drawn.ids.append(token)
            drawn.logprobs.append(own[token].item())
            drawn.drawn_logprobs.append(logprob)
            if top:
                best = own.topk(min(top, len(own)))
                drawn.top.append(
                    list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
                )
            if token in ends or is_over(drawn.ids):
                break
            given = [token]
    return drawn


def _draw(
    logits: torch.Tensor, temperature: float, top_p: float, top_k: int, draw: torch.Generator
) -> tuple[int, float]:
    """Draw a token; return it with the log-probability that it had in the draw."""
    if temperature == 0.0:
        return int(logits.argmax()), 0.0
    logits = logits / temperature
    if top_k:
        least = logits.topk(min(top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < least, -math.inf)
    if top_p < 1.0:
        ordered, places = logits.sort(descending=True)
        chances = ordered.softmax(-1)
        # The first token that reaches it stays, so there is always one.
        beyond = chances.cumsum(-1) - chances >= top_p
        beyond[0] = False
        logits = logits.masked_fill(beyond.scatter(0, places, beyond), -math.inf)
    logprobs = logits.log_softmax(-1)
    token = int(torch.multinomial(logprobs.exp(), 1, generator=draw))
    return token, logprobs[token].item()
