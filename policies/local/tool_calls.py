"""The tools that a model calls in its text: the Hermes form, which many open models are taught.

    <tool_call>
    {"name": "shell", "arguments": {"command": "ls"}}
    </tool_call>

What stands between the marks must be one JSON object with a name and arguments that are an object,
or JSON text of one. Anything else is no call: it stays in the text, where the agent sees it.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

_MARKED = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")

END = "</tool_call>"
"""What ends a call."""


@dataclass(frozen=True, slots=True)
class Called:
    """A tool with the arguments that it is called with."""

    name: str
    arguments: dict[str, Any]


def found(text: str) -> tuple[str, list[Called]]:
    """Return a text without the calls that are in it, and the calls in order."""
    calls: list[Called] = []

    def take(match: re.Match[str]) -> str:
        call = _call(match[1])
        if call is None:
            return match[0]
        calls.append(call)
        return ""

    rest = _MARKED.sub(take, text)
    return (rest.strip() if calls else text), calls


def _call(text: str) -> Called | None:
    try:
        told = json.loads(text, parse_constant=_refuse)
        arguments = told["arguments"]
        if isinstance(arguments, str):
            arguments = json.loads(arguments, parse_constant=_refuse)
        name = told["name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not (isinstance(name, str) and _NAME.fullmatch(name) and isinstance(arguments, dict)):
        return None
    return Called(name, arguments)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
