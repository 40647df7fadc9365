"""What a program may say while it audits: it asks for something in a fork of the box, or votes."""

import base64
import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from monastery.auditor.votes import Base64, Strict, VoteMessage, fault, parse_json
from monastery.runtime.errors import BadInput, BoxDied, LimitExceeded
from monastery.runtime.ports import WORK, Cell


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL, which neither a path nor an argument can")
    return value


Text = Annotated[str, AfterValidator(_no_nul)]
Path = Annotated[str, Field(min_length=1), AfterValidator(_no_nul)]


class RunRequest(Strict):
    """Run a command in the fork."""

    run: Annotated[list[Text], Field(min_length=1)]
    cwd: Path = WORK
    timeout_seconds: Annotated[float, Field(gt=0.0, lt=math.inf)] = 60.0
    stdin_base64: Base64 = b""
    max_output_bytes: Annotated[int, Field(ge=0, le=16 << 20)] = 1 << 20


class WriteRequest(Strict):
    """Write a file in the fork."""

    write: Path
    content_base64: Base64
    mode: Annotated[int, Field(ge=0, le=0o777)] = 0o644


class ReadRequest(Strict):
    """Read a file in the fork."""

    read: Path
    max_bytes: Annotated[int, Field(ge=0, le=32 << 20)] = 16 << 20


class VoteLine(Strict):
    """The last line."""

    vote: VoteMessage


Request = RunRequest | WriteRequest | ReadRequest
_SHAPES: dict[str, type[Request | VoteLine]] = {
    "run": RunRequest,
    "write": WriteRequest,
    "read": ReadRequest,
    "vote": VoteLine,
}


def parse_line(line: bytes) -> Request | VoteLine:
    """Return what a line says.

    Raises:
        ValueError: Nothing that a program may say; the message fits on one line.
    """
    try:
        value = parse_json(line)
    except ValueError as exc:
        raise ValueError(f"a line is not JSON ({exc})") from exc
    verbs = _SHAPES.keys() & value.keys() if isinstance(value, dict) else set()
    if len(verbs) != 1:
        raise ValueError("a line is not an object with one of run, write, read and vote")
    verb = verbs.pop()
    try:
        return _SHAPES[verb].model_validate(value)
    except ValidationError as exc:
        raise ValueError(f"a {verb} line is wrong: {fault(exc)}") from exc


async def serve(request: Request, cell: Cell) -> dict[str, Any]:
    """Do what is asked in the fork; return the answer, an error where the fork refuses."""
    try:
        return {"result": await _do(request, cell)}
    except (BadInput, BoxDied, LimitExceeded) as exc:
        return {"error": " ".join(str(exc).split())}


def _encode(content: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(content).decode()


async def _do(request: Request, cell: Cell) -> dict[str, Any]:
    match request:
        case RunRequest():
            result = await cell.run(
                request.run,
                cwd=request.cwd,
                stdin=request.stdin_base64,
                timeout_seconds=request.timeout_seconds,
                max_output_bytes=request.max_output_bytes,
            )
            return {
                "exit_code": result.exit_code,
                "timed_out": result.timed_out,
                "stdout_base64": _encode(result.stdout),
                "stderr_base64": _encode(result.stderr),
                "truncated": result.truncated,
            }
        case WriteRequest():
            await cell.write_file(request.write, request.content_base64, mode=request.mode)
            return {}
        case ReadRequest():
            content = await cell.read_file(request.read, max_bytes=request.max_bytes)
            return {"content_base64": _encode(content)}
