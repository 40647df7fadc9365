"""Messages: what a model was asked and answered, as the chat messages that trainers know."""

import json
from collections.abc import Mapping
from typing import Any

from monastery.runtime.credit import TrainingItem

Message = dict[str, Any]


def asked_messages(request: Any) -> list[Message]:
    """Return a recorded request as messages; one of no known API is one message of its JSON."""
    body = request.get("request", request) if isinstance(request, Mapping) else request
    if not isinstance(body, Mapping):
        return [_message("user", body)]
    given = body.get("messages", body.get("input"))
    if isinstance(given, str):
        given = [_message("user", given)]
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        return [_message("user", body)]
    system = body.get("system", body.get("instructions"))
    first = [_message("system", system)] if system else []
    return first + [dict(one) for one in given]


def answered_message(response: Any) -> Message:
    """Return a recorded answer as the assistant's message."""
    body = response.get("response", response) if isinstance(response, Mapping) else response
    if isinstance(body, Mapping):
        choices = body.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
            message = choices[0].get("message")
            if isinstance(message, Mapping):
                return dict(message)
        if "content" in body:
            return _message("assistant", body["content"])
        if "output" in body:
            return _message("assistant", body["output"])
    return _message("assistant", body)


def plain(messages: list[Message]) -> list[Message]:
    """Return messages of role and text alone: what is no text (calls, parts) is told as JSON."""
    told = []
    for one in messages:
        content = one.get("content")
        rest = {
            key: value
            for key, value in one.items()
            if key not in ("role", "content", "refusal") and value is not None
        }
        text = content if isinstance(content, str) else "" if content is None else _json(content)
        if rest:
            text = f"{text}\n{_json(rest)}" if text else _json(rest)
        told.append({"role": str(one.get("role") or one.get("type") or "user"), "content": text})
    return told


def lived(item: TrainingItem) -> tuple[list[Message], list[Message]]:
    """Return what a segment's first call was given, and all that followed in the segment.

    That is the answers of the policy, with what the agent fed in between where a call goes on from
    the one before; where it begins anew, its messages stand whole.
    """
    if not item.context.asked:
        return [], []
    start = asked_messages(item.context.asked[0].request)
    seen, followed = start, list[Message]()
    for asked, answer in zip(item.context.asked, item.trainable.answers, strict=True):
        given = asked_messages(asked.request)
        if followed:
            shared = len(seen) if _alike(given[: len(seen)], seen) else 0
            followed += given[shared:]
        message = answered_message(answer.response)
        followed.append(message)
        seen = [*given, message]
    return start, followed


def _alike(some: list[Message], other: list[Message]) -> bool:
    """Whether two conversations say the same; clients leave out fields that hold nothing."""
    return plain(some) == plain(other)


def _message(role: str, content: Any) -> Message:
    return {"role": role, "content": content if isinstance(content, str) else _json(content)}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
