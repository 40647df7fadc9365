"""What the built-in agent says to a model, in either of two APIs, and the tools that it offers it.

A conversation is kept in the form of its API, so that the model gets back what it said. Lies beside
`monastery_box` in the box.
"""

from __future__ import annotations

import json
import re
from typing import Any

import monastery_box  # type: ignore[import-not-found] # found beside this file only

TOKEN_CHARACTERS = 3  # fewer than most texts have for a token: too early is better than too late
ANSWER_TOKENS = 8192  # where an API wants to know

_KINDS: dict[str, Any] = {"string": str, "integer": int, "boolean": bool, "array": list}
_TOO_LONG = re.compile(r"context|too long|too many tokens|maximum.{0,20}length", re.IGNORECASE)
_ID = re.compile(r"[A-Za-z0-9_.:|+/=-]{1,512}")


class Failed(Exception):
    """The model gave no answer, and why."""


class TooLong(Failed):
    """The conversation does not fit into the model's context."""


class Call:
    """A tool that the model called; `arguments` as it wrote them."""

    def __init__(self, call_id: str, name: str, arguments: str) -> None:
        self.id, self.arguments = call_id, plain(arguments)
        self.name = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:128] or "nameless"


class Answer:
    """What the model said: `message` as it is given back, `tokens` in and out (0: unknown)."""

    def __init__(self, text: str, calls: list[Call], tokens: int, *, is_cut: bool) -> None:
        self.text, self.calls, self.tokens, self.is_cut = plain(text).strip(), calls, tokens, is_cut
        self.message: dict[str, Any] = {}


class Model:
    """A model behind an API: "openai.chat" or "anthropic.messages"."""

    def __init__(self, api: str, name: str) -> None:
        self.api, self.name = api, name
        self.made = 0

    def ask(
        self,
        system: str,
        messages: list[dict[str, Any]],
        tools: dict[str, Any],
        *,
        may_call: bool = True,
    ) -> Answer:
        """Make one call.

        Raises:
            Failed: It was not answered; `TooLong` when there was too much of it.
        """
        is_chat = self.api == "openai.chat"
        make, take = (_chat, _of_chat) if is_chat else (_messages, _of_messages)
        request = make(system, messages, tools, may_call)
        reply = monastery_box.model({"api": self.api, "request": dict(request, model=self.name)})
        status, said = reply.get("status"), reply.get("response")
        if status != 200:
            why = f"{status}: {_why(said if status else reply)}"
            raise TooLong(why) if status in (400, 413) and _TOO_LONG.search(why) else Failed(why)
        try:
            answer = take(said, self.new_id)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise Failed(f"not an answer of {self.api}: {json.dumps(said)[:300]}") from error
        return answer

    def new_id(self, given: Any) -> str:
        """Return a call's id: the model's, or our own where servers leave it out."""
        self.made += 1
        return given if isinstance(given, str) and _ID.fullmatch(given) else f"call_{self.made}"

    def results(self, results: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """Return the messages that say what came of calls: the id and the text of each."""
        if self.api == "openai.chat":
            return [
                {"role": "tool", "tool_call_id": call, "content": plain(text)}
                for call, text in results
            ]
        blocks = [
            {"type": "tool_result", "tool_use_id": call, "content": plain(text)}
            for call, text in results
        ]
        return [{"role": "user", "content": blocks}]


def estimate(*parts: Any) -> int:
    """Return about how many tokens some parts of a request are."""
    return sum(len(json.dumps(part, ensure_ascii=False)) for part in parts) // TOKEN_CHARACTERS


def plain(text: str) -> str:
    """Return a text without what UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def arguments(tools: dict[str, Any], call: Call) -> dict[str, Any]:
    """Return what a tool was called with.

    Raises:
        ValueError: It is not what the tool takes; the text says why.
    """
    if call.name not in tools:
        raise ValueError(f"there is no tool {call.name}; there are {', '.join(tools)}")
    try:
        given = json.loads(call.arguments or "{}")
    except ValueError as error:
        raise ValueError(f"the arguments are not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ValueError("the arguments must be a JSON object")
    schema = tools[call.name]["parameters"]
    missing = [name for name in schema["required"] if name not in given]
    if missing:
        raise ValueError(f"{call.name} needs {', '.join(missing)}")
    for name, value in given.items():
        kind = schema["properties"].get(name, {}).get("type")
        if kind is None:
            raise ValueError(f"{call.name} takes no {name!r}; {', '.join(schema['properties'])}")
        # In Python true is a whole number too.
        if not isinstance(value, _KINDS[kind]) or (kind == "integer" and isinstance(value, bool)):
            raise ValueError(f"{name} must be of type {kind}")
        if kind == "array" and not all(isinstance(one, str) for one in value):
            raise ValueError(f"{name} must hold strings")
    return given


def _why(said: Any) -> str:
    error = said.get("error") if isinstance(said, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or json.dumps(said))[:500]


def _chat(
    system: str, messages: list[dict[str, Any]], tools: dict[str, Any], may_call: bool
) -> dict[str, Any]:
    offered = [{"type": "function", "function": tool} for tool in tools.values()]
    first = {"role": "system", "content": plain(system)}
    choice = {} if may_call else {"tool_choice": "none"}
    return dict(choice, messages=[first, *messages], tools=offered)


def _of_chat(said: Any, new_id: Any) -> Answer:
    choice, used = said["choices"][0], said.get("usage") or {}
    message = choice["message"]
    calls = [
        Call(new_id(one.get("id")), one["function"]["name"], one["function"]["arguments"] or "")
        for one in message.get("tool_calls") or ()
    ]
    tokens = (used.get("prompt_tokens") or 0) + (used.get("completion_tokens") or 0)
    is_cut = choice.get("finish_reason") == "length"
    answer = Answer(message.get("content") or "", calls, tokens, is_cut=is_cut)
    answer.message = {"role": "assistant", "content": answer.text}
    if calls:
        answer.message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    return answer


def _messages(
    system: str, messages: list[dict[str, Any]], tools: dict[str, Any], may_call: bool
) -> dict[str, Any]:
    offered = [
        {"name": name, "description": tool["description"], "input_schema": tool["parameters"]}
        for name, tool in tools.items()
    ]
    return {
        "max_tokens": ANSWER_TOKENS,
        "system": plain(system),
        "messages": messages,
        "tools": offered,
        "tool_choice": {"type": "auto" if may_call else "none"},
    }


def _of_messages(said: Any, new_id: Any) -> Answer:
    used, blocks, calls, texts = said.get("usage") or {}, [], [], []
    for block in said["content"]:
        if block["type"] == "text" and block["text"].strip():
            texts.append(block["text"])
            blocks.append({"type": "text", "text": plain(block["text"])})
        elif block["type"] == "tool_use":
            call = Call(new_id(block.get("id")), block["name"], json.dumps(block["input"]))
            calls.append(call)
            one = {"type": "tool_use", "id": call.id, "name": call.name, "input": block["input"]}
            blocks.append(one)
    tokens = (used.get("input_tokens") or 0) + (used.get("output_tokens") or 0)
    is_cut = said.get("stop_reason") == "max_tokens"
    answer = Answer("\n".join(texts), calls, tokens, is_cut=is_cut)
    # The API takes no message without content.
    answer.message = {"role": "assistant", "content": blocks or "(nothing)"}
    return answer


def _tool(name: str, description: str, needed: dict[str, str], more: Any = ()) -> dict[str, Any]:
    """Return a tool; an argument's text says what it is, after its type where that is no string."""
    properties: dict[str, Any] = {}
    for argument, text in {**needed, **dict(more)}.items():
        kind, colon, rest = text.partition(": ")
        known = kind if colon and kind in _KINDS else "string"
        properties[argument] = {"type": known, "description": rest if known == kind else text}
        if known == "array":
            properties[argument]["items"] = {"type": "string"}
    schema = {"type": "object", "properties": properties, "required": list(needed)}
    return {"name": name, "description": description, "parameters": schema}


_RATIONALE = "why this is a reasonable step; the auditor reads it"
_ALL = (
    _tool(
        "shell",
        "Run a command with bash in the work folder. Its output and its exit code come back.",
        {"command": "what to run"},
        {"seconds": "integer: after how long it is killed"},
    ),
    _tool(
        "read_file",
        "Read a text file.",
        {"path": "which"},
        {"first_line": "integer: from this line, counted from 1", "lines": "integer: so many"},
    ),
    _tool("write_file", "Write a file anew.", {"path": "which", "text": "all of its text"}),
    _tool(
        "replace",
        "Replace a text that stands in a file exactly once.",
        {"path": "which file", "old": "the text", "new": "what to put in its place"},
    ),
    _tool("note", "Add to your notes, which outlive your memory.", {"text": "what to remember"}),
    _tool(
        "web",
        "Look something up in a copy of a part of the web.",
        {"action": "search or get", "what": "words to search for, or the address to get"},
    ),
    _tool(
        "propose",
        "Propose a step outside, and wait for what comes of it. Give its exact bytes in one of"
        " three ways: payload, payload_file, or, for the kind `file`, files.",
        {"kind": "one of the step kinds", "rationale": _RATIONALE},
        {
            "payload": "the payload itself",
            "payload_file": "a file that holds it",
            "files": "array: paths of the files to hand over",
            "evidence": "array: paths of files that let the auditor check it",
            "note": "what to add to your notes before",
        },
    ),
    _tool(
        "ask",
        "Ask a person, and wait for the answer.",
        {"question": "the question, whole", "rationale": _RATIONALE},
    ),
    _tool(
        "finish",
        "End the project.",
        {"reached": "boolean: whether the goal is reached", "why": "what was done, or why not"},
    ),
)
TOOLS = {tool["name"]: tool for tool in _ALL}
