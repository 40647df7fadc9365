"""How an answer is drawn, and what was drawn. Plain values, for both ends of the worker's pipe."""

from msgspec import Struct


class Sampling(Struct, frozen=True):
    """How to draw.

    Attributes:
        max_tokens: How many tokens at most.
        temperature: 0 takes the most probable token each time; None is what the model's own
            settings say, as are the other two.
        top_p: Only the most probable tokens are drawn that have this much together.
        top_k: Only so many of the most probable tokens are drawn; 0 is all.
        seed: Of the draws; None takes a new one.
        stop: Texts that end an answer.
        samples: How many answers.
        top_logprobs: How many of the most probable tokens are told beside each that was drawn.
    """

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    samples: int = 1
    top_logprobs: int = 0


class Sample(Struct, frozen=True):
    """One answer, token by token; lists are of the same length, of all sampled tokens.

    Attributes:
        ids: The tokens in order, the one that ended it included.
        logprobs: The model's own log-probability of each: temperature 1, nothing left out.
        drawn_logprobs: That under which each was drawn; 0 at temperature 0.
        tokens: Each as text.
        top: For each the most probable ones, as text, with the model's log-probability.
        text: What was said: without the token that ended it, and up to what stopped it.
        ended: "stop" where the model ended it, "stopped" by a text, "length" by the bound.
        stopped_by: That text.
    """

    ids: list[int]
    logprobs: list[float]
    drawn_logprobs: list[float]
    tokens: list[str]
    top: list[list[tuple[str, float]]]
    text: str
    ended: str
    stopped_by: str | None = None


class Sampled(Struct, frozen=True):
    """What came of one call.

    Attributes:
        prompt_ids: What the model was given, token by token.
        sampling: How it was drawn, nothing left open.
    """

    prompt_ids: list[int]
    sampling: Sampling
    samples: list[Sample]
