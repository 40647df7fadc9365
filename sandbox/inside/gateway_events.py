"""A model's whole answer as the events that a streaming client waits for. Pure.

Each API has its own events; a text or the arguments of a tool come in one delta, because the answer
was whole before any of it came in. Lies beside `gateway.py` in the box.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def of(api: str, response: dict[str, Any], *, usage: bool) -> list[bytes]:
    """Return the events of an answer as they are sent.

    Args:
        api: Which API's.
        response: The answer as it would be without streaming.
        usage: Whether a chat's client asked for a last event with the tokens used.
    """
    if api == "openai.chat":
        sent = [framed(None, chunk) for chunk in of_chat(response, usage)]
        return [*sent, b"data: [DONE]\n\n"]
    pairs = of_responses(response) if api == "openai.responses" else of_messages(response)
    return [framed(kind, dict(data, type=kind)) for kind, data in pairs]


def framed(kind: str | None, data: dict[str, Any]) -> bytes:
    """Return one server-sent event."""
    name = "" if kind is None else f"event: {kind}\n"
    return f"{name}data: {json.dumps(data)}\n\n".encode()


def of_chat(response: dict[str, Any], usage: bool) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a chat completion: each choice's message, then how it ended."""
    base = {key: value for key, value in response.items() if key not in ("choices", "usage")}
    base["object"] = "chat.completion.chunk"
    for choice in response.get("choices", []):
        delta = {key: value for key, value in choice["message"].items() if value is not None}
        if "tool_calls" in delta:
            calls = enumerate(delta["tool_calls"])
            delta["tool_calls"] = [dict(call, index=index) for index, call in calls]
        one = {"index": choice.get("index", 0), "logprobs": choice.get("logprobs")}
        yield dict(base, choices=[dict(one, delta=delta, finish_reason=None)])
        end = {"index": one["index"], "delta": {}, "finish_reason": choice.get("finish_reason")}
        yield dict(base, choices=[end])
    if usage:
        yield dict(base, choices=[], usage=response.get("usage"))


def of_messages(response: dict[str, Any]) -> Iterator[Any]:
    """Yield the events of an Anthropic message: its blocks, one after another."""
    used = response.get("usage") or {"input_tokens": 0, "output_tokens": 0}
    empty = dict(response, content=[], stop_reason=None, stop_sequence=None)
    empty["usage"] = dict(used, output_tokens=0)
    yield "message_start", {"message": empty}
    for index, block in enumerate(response.get("content", [])):
        start, deltas = opened(block)
        yield "content_block_start", {"index": index, "content_block": start}
        for delta in deltas:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    end = {key: response.get(key) for key in ("stop_reason", "stop_sequence")}
    yield "message_delta", {"delta": end, "usage": {"output_tokens": used.get("output_tokens", 0)}}
    yield "message_stop", {}


def opened(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as it begins, and what is added to it."""
    kind = block.get("type")
    if kind == "text":
        return dict(block, text=""), [{"type": "text_delta", "text": block["text"]}]
    if kind == "tool_use":
        text = json.dumps(block["input"])
        return dict(block, input={}), [{"type": "input_json_delta", "partial_json": text}]
    if kind == "thinking":
        signed = {"type": "signature_delta", "signature": block.get("signature", "")}
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}, signed]
        return dict(block, thinking="", signature=""), deltas
    return block, []


def of_responses(response: dict[str, Any]) -> Iterator[Any]:
    """Yield the events of an OpenAI response, numbered."""
    for number, (kind, data) in enumerate(of_response(response)):
        yield kind, dict(data, sequence_number=number)


def of_response(response: dict[str, Any]) -> Iterator[Any]:
    """Yield its beginning, its items one after another, and its end."""
    empty = dict(response, output=[], status="in_progress", usage=None)
    yield "response.created", {"response": empty}
    yield "response.in_progress", {"response": empty}
    for index, item in enumerate(response.get("output", [])):
        at = {"output_index": index}
        yield "response.output_item.added", dict(at, item=begun(item))
        named = dict(at, item_id=item.get("id", f"item_{index}"))
        if item.get("type") == "message":
            yield from of_parts(item, named)
        elif item.get("type") == "function_call":
            text = item["arguments"]
            yield "response.function_call_arguments.delta", dict(named, delta=text)
            done = dict(named, arguments=text, name=item.get("name"))
            yield "response.function_call_arguments.done", done
        elif item.get("type") == "custom_tool_call":
            text = item["input"]
            yield "response.custom_tool_call_input.delta", dict(named, delta=text)
            yield "response.custom_tool_call_input.done", dict(named, input=text)
        yield "response.output_item.done", dict(at, item=item)
    ended = response.get("status", "completed")
    ended = ended if ended in ("completed", "incomplete", "failed") else "completed"
    yield f"response.{ended}", {"response": response}


def begun(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as it is before anything was added to it."""
    if item.get("type") == "message":
        return dict(item, content=[], status="in_progress")
    if item.get("type") == "function_call":
        return dict(item, arguments="", status="in_progress")
    if item.get("type") == "custom_tool_call":
        return dict(item, input="", status="in_progress")
    return item


def of_parts(item: dict[str, Any], named: dict[str, Any]) -> Iterator[Any]:
    """Yield the events of a message's parts: texts and refusals."""
    for index, part in enumerate(item.get("content", [])):
        at = dict(named, content_index=index)
        field, kind = "text", "output_text"
        if part.get("type") == "refusal":
            field = kind = "refusal"
        yield "response.content_part.added", dict(at, part={**part, field: ""})
        more = {} if kind == "refusal" else {"logprobs": part.get("logprobs") or []}
        yield f"response.{kind}.delta", dict(at, delta=part[field], **more)
        yield f"response.{kind}.done", {**at, field: part[field], **more}
        yield "response.content_part.done", dict(at, part=part)


def model(name: str) -> dict[str, Any]:
    """Return a model in a list of models, as both kinds of clients read it."""
    openai = {"object": "model", "created": 0, "owned_by": "policy"}
    day = "1970-01-01T00:00:00Z"
    return {"id": name, **openai, "type": "model", "display_name": name, "created_at": day}


def error(why: str, *, anthropic: bool) -> dict[str, Any]:
    """Return an error in the form of an API."""
    if anthropic:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": why}}
    told = {"message": why, "type": "invalid_request_error", "param": None, "code": None}
    return {"error": told}
