"""Made-up training items, for tests of what is made of them."""

from collections.abc import Sequence
from typing import Any

from monastery.runtime.credit import Answered, Asked, Context, Earned, Trainable, TrainingItem
from monastery.runtime.records import RunId, SegmentId

Call = tuple[Sequence[int], Sequence[int]]
"""The prompt's tokens, and the sampled ones."""


def segment(
    name: str,
    *calls: Call,
    score: float | None = 0.5,
    probability: float = 1.0,
    moment: str | None = None,
    live: bool = True,
    index: int = 1,
    versions: Sequence[str | None] = (),
    temperature: float | None = 1.0,
) -> TrainingItem:
    """Return a segment in which these calls were made; its texts tell its name."""
    asked, answers = [], []
    told: list[dict[str, Any]] = [{"role": "user", "content": "begin"}]
    for number, (prompt, sampled) in enumerate(calls):
        message = {"role": "assistant", "content": f"{name}-{number}"}
        request = {"api": "openai.chat", "request": {"messages": list(told)}}
        asked.append(Asked(request, tuple(prompt)))
        response = {"status": 200, "response": {"choices": [{"message": message}]}}
        version = versions[number] if versions else None
        logprobs = tuple(-0.1 * token for token in sampled)
        answers.append(Answered(response, tuple(sampled), logprobs, version, temperature))
        told += [message, {"role": "user", "content": f"fed-{name}-{number}"}]
    proposal = {"kind": "note", "payload": {"text": f"do {name}"}, "rationale": f"why {name}"}
    return TrainingItem(
        run=RunId("run-1"),
        segment=SegmentId(name),
        index=index,
        moment=moment or name,
        context=Context((), tuple(asked)),
        trainable=Trainable(tuple(answers), None, proposal),
        earned=Earned(score, probability),
        live=live,
    )
