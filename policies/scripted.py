"""A policy that answers model calls from a JSON-lines file. For demos and tests.

Call number n, counted from 0 over the whole run, is answered by line n of the file:

    {"text": "first answer"}
    {"when": {"contains": "parser"}, "response": {"text": "about the parser, whenever asked"}}
    {"text": "third answer"}

A line with ``when`` also answers any other call whose request contains the text; the first such
line wins over the number. Requests are searched in canonical JSON: keys sorted, no spaces. An
answer depends on the file, the number and the request alone, so a resumed run gets the same ones.
Blank lines count for nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from monastery.runtime.errors import BadInput

Response = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Line:
    response: Response
    contains: str | None = None


class ScriptedPolicy:
    """Answers from a file.

    Args:
        path: The file.
        start: The number of the next call; a resumed run gives how many its journal holds.

    Raises:
        BadInput: The file cannot be read, or a line is no answer.
    """

    name = "scripted"

    def __init__(self, path: Path, *, start: int = 0) -> None:
        self._path = path
        self._lines = _read(path)
        self._next = start

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer one model call; with an error object when the file has no answer to it."""
        await trio.lowlevel.checkpoint()
        number, self._next = self._next, self._next + 1
        return _answer(self._lines, number, _canonical(body), self._path.name)


def _answer(lines: Sequence[_Line], number: int, request: str, file: str) -> Response:
    """Return the answer to a call; pure."""
    for line in lines:
        if line.contains is not None and line.contains in request:
            return line.response
    if number >= len(lines):
        return _error(
            "policy_exhausted", f"call {number + 1} has no answer: {file} has {len(lines)} lines"
        )
    line = lines[number]
    if line.contains is not None:
        return _error(
            "policy_unmatched",
            f"call {number + 1} does not contain {line.contains!r}, as {file} expects",
        )
    return line.response


def _error(kind: str, message: str) -> Response:
    return {"error": {"type": kind, "message": message}}


def _canonical(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _read(path: Path) -> list[_Line]:
    try:
        text = path.read_bytes().decode()
    except OSError as exc:
        raise BadInput(f"cannot read the policy's script {str(path)!r}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise BadInput(f"the policy's script {str(path)!r} is not UTF-8: {exc}") from exc
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                lines.append(_parse(line))
            except ValueError as exc:
                raise BadInput(f"{path}, line {number}: {exc}") from exc
    return lines


def _parse(line: str) -> _Line:
    """Return what a line of the file says.

    Raises:
        ValueError: It is no answer.
    """
    try:
        value = json.loads(line, parse_constant=_refuse)
    except json.JSONDecodeError as exc:
        raise ValueError(f"not JSON: {exc.msg} at column {exc.colno}") from exc
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if "when" not in value:
        return _Line(value)
    match value:
        case {"when": {"contains": str(text), **rest}, "response": dict(response), **others} if (
            text and not rest and not others
        ):
            return _Line(response, text)
    raise ValueError('write {"when": {"contains": "text"}, "response": {…}}, and nothing else')


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
