"""Write an auditor as a Python program. Standard library only; this file may also be copied.

A complete one, which runs the proposal's tests in a fork of the box before it votes:

    from monastery.auditor.program import fork, receive, vote

    case = receive()
    if b"curl" in case.payload:
        vote("reject", 0.0, note="this step may not use the network")
    fork.write("/work/step.patch", case.payload)
    applied = fork.run(["git", "apply", "step.patch"])
    if applied.exit_code != 0:
        vote("reject", 0.1, note=applied.stderr.decode(errors="replace"))
    tests = fork.run(["python3", "-m", "unittest"], timeout_seconds=300)
    passed = tests.exit_code == 0
    vote("approve" if passed else "reject", 0.9 if passed else 0.2)

`vote` ends the program. A program that ends in any other way, by an exception too, is a failed
audit: no reward, and the step is not carried out. Whatever is printed after `receive` goes to
standard error, so that it cannot be taken for an answer.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import sys
from typing import Any, BinaryIO, NamedTuple, NoReturn


class Refused(Exception):
    """The fork refused a request: no such command, no such file, no room."""


class CommandResult(NamedTuple):
    """What came of a command; `exit_code` is None when its time limit ended it."""

    exit_code: int | None
    timed_out: bool
    stdout: bytes
    stderr: bytes
    truncated: bool


class Alternative:
    """One of several proposals for the same moment; `same` is how many tries came to it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.kind: str = fields["kind"]
        self.payload: bytes = base64.b64decode(fields["payload_base64"])
        self.rendering: str = fields["rendering"]
        self.rationale: str = fields["rationale"]
        self.evidence: dict[str, bytes] = {
            one["name"]: base64.b64decode(one["base64"]) for one in fields["evidence"]
        }
        self.changes: list[dict[str, Any]] = fields["changes"]
        self.same: int = fields["same"]


class Case:
    """What is to be judged; `fields` holds all of it as it came.

    Attributes:
        payload: The exact bytes that the executor would use.
        evidence: The files that the agent attached, by name.
        earlier: The run's earlier steps, each with step, kind and status.
        alternatives: All proposals for this moment, this one among them, in the order in which they
            are compared; each has kind, payload, rendering, rationale, evidence and changes, as
            this has. Empty where there is but one.
        live: The place of this one among them, from 0; None where there is but one.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.item: str = fields["item"]
        self.goal: str = fields["goal"]
        self.kind: str = fields["kind"]
        self.step: int = fields["step"]
        self.payload: bytes = base64.b64decode(fields["payload_base64"])
        self.payload_sha256: str = fields["payload_sha256"]
        self.rendering: str = fields["rendering"]
        self.rationale: str = fields["rationale"]
        self.evidence: dict[str, bytes] = {
            one["name"]: base64.b64decode(one["base64"]) for one in fields["evidence"]
        }
        self.changes: list[dict[str, Any]] = fields["changes"]
        self.settings: dict[str, Any] = fields["settings"]
        self.earlier: list[dict[str, Any]] = fields["earlier"]
        self.digest: str = fields["digest"]
        self.alternatives = [Alternative(one) for one in fields.get("alternatives", [])]
        mine = (self.kind, self.payload, self.evidence)
        places = [
            place
            for place, one in enumerate(self.alternatives)
            if (one.kind, one.payload, one.evidence) == mine
        ]
        self.live: int | None = places[0] if places else None


class Fork:
    """A throw-away copy of the frozen box; it is opened by the first request."""

    def run(
        self,
        argv: list[str],
        *,
        cwd: str = "/work",
        timeout_seconds: float = 60.0,
        stdin: bytes = b"",
        max_output_bytes: int = 1 << 20,
    ) -> CommandResult:
        """Run a command in the fork.

        Raises:
            Refused: The command or the folder does not exist.
        """
        result = _ask(
            {
                "run": argv,
                "cwd": cwd,
                "timeout_seconds": timeout_seconds,
                "stdin_base64": base64.b64encode(stdin).decode(),
                "max_output_bytes": max_output_bytes,
            }
        )
        return CommandResult(
            result["exit_code"],
            result["timed_out"],
            base64.b64decode(result["stdout_base64"]),
            base64.b64decode(result["stderr_base64"]),
            result["truncated"],
        )

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file in the fork.

        Raises:
            Refused: It cannot be written.
        """
        _ask({"write": path, "content_base64": base64.b64encode(content).decode(), "mode": mode})

    def read(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        """Return the bytes of a file in the fork.

        Raises:
            Refused: There is no such file, or it is longer.
        """
        return base64.b64decode(_ask({"read": path, "max_bytes": max_bytes})["content_base64"])


fork = Fork()


def receive() -> Case:
    """Return the case that is to be judged. Call it once, before anything is printed."""
    return Case(json.loads(_channel().hear())["case"])


def vote(
    decision: str,
    score: float,
    *,
    note: str = "",
    modified: bytes | None = None,
    scores: list[float] | None = None,
) -> NoReturn:
    """Give the vote and end the program.

    Args:
        decision: approve, modify, reject, escalate or terminate.
        score: How reasonable the proposal looks, 0 to 1.
        note: Why, for the record, and for the agent if the project says so.
        modified: The payload to use instead, with ``modify``.
        scores: Those of all `Case.alternatives`, by place; that of this one is `score`.
    """
    body: dict[str, Any] = {"decision": decision, "score": score, "note": note}
    if modified is not None:
        body["modified_base64"] = base64.b64encode(modified).decode()
    if scores is not None:
        body["scores"] = list(scores)
    _channel().say({"vote": body})
    sys.exit(0)


class _Channel:
    """The runtime's lines, on copies of standard input and output that nobody else can reach."""

    def __init__(self) -> None:
        self._in: BinaryIO = os.fdopen(os.dup(0), "rb")
        self._out: BinaryIO = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def say(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message).encode() + b"\n")
        self._out.flush()

    def hear(self) -> bytes:
        line = self._in.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the runtime is gone")
        return line


@functools.cache
def _channel() -> _Channel:
    return _Channel()


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    _channel().say(request)
    answer = json.loads(_channel().hear())
    if "error" in answer:
        raise Refused(answer["error"])
    result: dict[str, Any] = answer["result"]
    return result
