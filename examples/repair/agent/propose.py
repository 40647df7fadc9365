"""The way out of the box: proposals, their outcomes, and the history of both."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIFF = "diff --git "


class ProposeError(Exception):
    """A proposal could not be made at all."""


@dataclass(frozen=True)
class Outcome:
    """What became of a step.

    Attributes:
        patch: the patch that was carried out, when it was; an auditor may have changed it.
    """

    status: str
    step: int | None
    patch: str | None
    feedback: str | None

    @property
    def done(self) -> bool:
        """Whether the step was carried out."""
        return self.status == "done"


def propose_patch(
    command: str, message: str, patch: str, rationale: str, evidence: dict[str, str]
) -> Outcome:
    """Propose a commit, and wait for as long as it takes until its outcome is there.

    Raises:
        ProposeError: when the command is missing, refuses the arguments or prints no outcome.
    """
    with tempfile.TemporaryDirectory() as folder:
        payload = Path(folder, "payload")
        payload.write_bytes(f"{message.rstrip()}\n\n{patch}".encode("utf-8", "surrogateescape"))
        arguments = [command, "git", "--payload", str(payload), "--rationale", rationale]
        for name, text in evidence.items():
            path = Path(folder, name)
            path.write_text(text, "utf-8")
            arguments += ["--evidence", str(path)]
        try:
            done = subprocess.run(
                arguments, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except OSError as error:
            raise ProposeError(f"cannot run {command!r}: {error.strerror}") from error
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode not in (0, 1):
        raise ProposeError(f"{command} exited with {done.returncode}: {said[-300:]}")
    try:
        answer = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
        return outcome_of(answer)
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise ProposeError(f"{command} printed no outcome: {said[-300:]}") from error


def outcome_of(record: dict[str, Any]) -> Outcome:
    """Read an outcome as ``propose`` prints it, or as the history holds it."""
    content = record.get("content")
    patch = content.get("patch") if isinstance(content, dict) else None
    kept = patch if isinstance(patch, str) and patch else None
    return Outcome(str(record["status"]), record.get("step"), kept, record.get("feedback"))


@dataclass(frozen=True)
class Earlier:
    """A step of the run before this process was started."""

    outcome: Outcome
    message: str
    patch: str


def read_history(path: str | None) -> list[Earlier]:
    """Return the earlier git steps that a history file tells of; none when there is no file.

    Raises:
        ProposeError: when the file is not such a history.
    """
    if not path or not Path(path).exists():
        return []
    try:
        records = json.loads(Path(path).read_text("utf-8") or "[]")
        steps = [record for record in records if record["kind"] == "git" and record.get("payload")]
        return [Earlier(outcome_of(step), *split_payload(step["payload"])) for step in steps]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProposeError(f"{path} is not a history of steps: {error!r}") from error


def split_payload(payload: str) -> tuple[str, str]:
    """Cut a payload into the commit message and the patch."""
    lines = payload.splitlines(keepends=True)
    for index, line in enumerate(lines):
        if line.startswith(DIFF):
            return "".join(lines[:index]).strip(), "".join(lines[index:])
    return payload.strip(), ""


def change_of(patch: str) -> str:
    """Return what a patch changes without where: the same for one change in two contexts."""
    kept = (line for line in patch.splitlines() if line.startswith(("+", "-", DIFF)))
    return "\n".join(kept)
