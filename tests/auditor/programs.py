"""Programs that audit, made of Python sources; and what they left running."""

import json
import sys
import textwrap
import uuid
from pathlib import Path

from monastery.auditor.command import CommandAuditor

VOTE_LINE = json.dumps({"vote": {"decision": "approve", "score": 0.75, "note": "fine"}})
"""A vote as any program may print it."""


PRELUDE = """
import base64, json, os, signal, subprocess, sys, time
MARK = sys.argv[1]
def say(message): print(json.dumps(message), flush=True)
def ask(message):
    say(message)
    return json.loads(sys.stdin.readline())
def vote(**fields): say({"vote": {"decision": "approve", "score": 0.75, "note": "fine"} | fields})
"""


class Programs:
    """Makes auditors of Python sources, and finds what they left running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex

    def auditor(self, source: str, *, timeout_seconds: float = 20.0) -> CommandAuditor:
        """Return an auditor that runs this source with the mark among its arguments."""
        path = self.folder / "judge.py"
        path.write_text(PRELUDE + textwrap.dedent(source))
        argv = [sys.executable, "judge.py", self.mark]
        return CommandAuditor("robot", argv, timeout_seconds, self.folder)

    def alive(self) -> list[int]:
        """Return the processes with the mark among their arguments, zombies aside."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if self.mark.encode() in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found
