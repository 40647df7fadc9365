"""Requests of the APIs as a conversation for a chat template, and how the answer is drawn.

The requests passed the wall, so their shapes are known. What a model here cannot do, or what would
change its answer and is not done, is refused: an agent must not believe that it was heeded.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monastery.policies.local.sampling import Sampling

Json = Mapping[str, Any]


class NotTaken(Exception):
    """A request asks for what a local model does not do; one line for the agent."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation to go on with.

    Attributes:
        messages, tools: As chat templates take them.
        sampling: How to draw; None when the tokens are only counted.
        logprobs: Whether the agent is told the log-probabilities.
        token_ids: Whether it is told the tokens.
        one_call: Whether no more than one tool may be called.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    sampling: Sampling | None
    logprobs: bool = False
    token_ids: bool = False
    one_call: bool = False


def asked(api: str, request: Json, *, max_tokens: int, temperature: float | None) -> Asked:
    """Return what a request asks for.

    Args:
        max_tokens, temperature: Where the request says nothing.

    Raises:
        NotTaken: It asks for what is not done here.
    """
    defaults = {"max_tokens": max_tokens, "temperature": temperature}
    if api == "openai.chat":
        return _chat(request, defaults)
    return _messages(request, defaults, count=api == "anthropic.count_tokens")


# What may be asked for only in the way in which it does nothing.
_CHAT: Mapping[str, Callable[[Any], bool]] = {
    "tool_choice": lambda value: value in ("auto", "none"),
    "response_format": lambda value: value == {"type": "text"},
    "frequency_penalty": lambda value: value == 0,
    "presence_penalty": lambda value: value == 0,
    "logit_bias": lambda value: not value,
    "reasoning_effort": lambda value: False,
}
_ANTHROPIC: Mapping[str, Callable[[Any], bool]] = {
    "tool_choice": lambda value: value["type"] in ("auto", "none"),
    "thinking": lambda value: value["type"] == "disabled",
}


def _refuse(request: Json, rules: Mapping[str, Callable[[Any], bool]]) -> None:
    for name, may in rules.items():
        if name in request and not may(request[name]):
            told = json.dumps(request[name])[:80]
            raise NotTaken(f"a local model does not do {name} {told}; leave it out")


def _chat(request: Json, defaults: Json) -> Asked:
    _refuse(request, _CHAT)
    stop = request.get("stop") or []
    allowed = request.get("max_completion_tokens", request.get("max_tokens"))
    sampling = Sampling(
        max_tokens=defaults["max_tokens"] if allowed is None else allowed,
        temperature=request.get("temperature", defaults["temperature"]),
        top_p=request.get("top_p"),
        seed=request.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        samples=request.get("n", 1),
        top_logprobs=request.get("top_logprobs", 0),
    )
    offered = request.get("tools") or [] if request.get("tool_choice") != "none" else []
    return Asked(
        messages=[_chat_message(message) for message in request["messages"]],
        tools=[_tool(tool.get("function"), "parameters") for tool in offered],
        sampling=sampling,
        logprobs=bool(request.get("logprobs")),
        token_ids=bool(request.get("return_token_ids")),
        one_call=request.get("parallel_tool_calls") is False,
    )


def _chat_message(message: Json) -> dict[str, Any]:
    role = "system" if message["role"] == "developer" else message["role"]
    made = {"role": role, "content": _text(message.get("content"))}
    if message.get("tool_calls"):
        made["tool_calls"] = [_chat_call(call) for call in message["tool_calls"]]
    for name in ("name", "tool_call_id", "reasoning_content"):
        if message.get(name):
            made[name] = message[name]
    return made


def _chat_call(call: Json) -> dict[str, Any]:
    if "function" not in call:
        raise NotTaken("a local model takes no custom tools; offer functions")
    given: Any = call["function"]["arguments"]
    try:
        read = json.loads(given)
    except (ValueError, RecursionError):
        read = given
    # Templates write an object as JSON, and a text as it is.
    return _call(call["id"], call["function"]["name"], read if isinstance(read, dict) else given)


def _messages(request: Json, defaults: Json, *, count: bool) -> Asked:
    _refuse(request, _ANTHROPIC)
    choice = request.get("tool_choice") or {"type": "auto"}
    system = _text(request.get("system"))
    messages = [{"role": "system", "content": system}] if system else []
    for message in request["messages"]:
        messages += _anthropic_messages(message)
    offered = request.get("tools") or [] if choice["type"] != "none" else []
    sampling = Sampling(
        max_tokens=request.get("max_tokens", defaults["max_tokens"]),
        temperature=request.get("temperature", defaults["temperature"]),
        top_p=request.get("top_p"),
        top_k=request.get("top_k"),
        stop=tuple(request.get("stop_sequences") or ()),
    )
    return Asked(
        messages=messages,
        tools=[_tool(tool, "input_schema") for tool in offered],
        sampling=None if count else sampling,
        one_call=bool(choice.get("disable_parallel_tool_use")),
    )


def _anthropic_messages(message: Json) -> list[dict[str, Any]]:
    """Return a message as templates have it: results of tools are messages of their own."""
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    results: list[dict[str, Any]] = []
    texts: list[Json] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        if block["type"] == "tool_result":
            told = {"role": "tool", "tool_call_id": block["tool_use_id"]}
            results.append({**told, "content": _text(block.get("content"))})
        elif block["type"] == "tool_use":
            calls.append(_call(block["id"], block["name"], block["input"]))
        else:
            texts.append(block)
    made: list[dict[str, Any]] = []
    if texts or calls or not results:
        made = [{"role": message["role"], "content": _text(texts)}]
        if calls:
            made[0]["tool_calls"] = calls
    return [*results, *made]


def _text(content: Any) -> str:
    """Return a message's text; its parts stand under each other."""
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part["type"] != "text":
            raise NotTaken(f"a local model reads text alone, not {part['type']!r}")
    return "\n".join(part["text"] for part in content)


def _call(call_id: str, name: str, arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def _tool(tool: Json | None, schema: str) -> dict[str, Any]:
    """Return a tool as templates describe it to a model."""
    if tool is None:
        raise NotTaken("a local model takes no custom tools; offer functions")
    if tool.get("strict"):
        raise NotTaken(f"a local model does not do strict tools; set strict of {tool['name']} off")
    function = {
        "name": tool["name"],
        "description": tool.get("description") or "",
        "parameters": tool.get(schema) or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": function}
