"""The command line as its users have it: a process, its output and its exit code."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.cli.rendering import executors
from monastery.runtime.ports import Auditor, Desk
from monastery.runtime.project_file import Loaded, load
from monastery.runtime.records import RunId
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.scripted import Agent, ScriptedSandbox

MAIN = [sys.executable, "-m", "monastery.runtime.cli.main"]


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The result as JSON."""
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a user who set nothing."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MONASTERY")}
    return kept | {"PYTHONWARNINGS": "error", "COLUMNS": "120"} | more


class Cli:
    """Runs `monastery` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, *args: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(
            [*MAIN, *map(str, args)],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            env=environment(**(env or {})),
            timeout=240,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def signalled(self, number: signal.Signals, sign: str, *args: str | Path) -> Ran:
        """Run a command to its end, and signal it once, when it prints a line with `sign`."""
        with self.started(*args) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            told = []
            for line in process.stdout:
                told.append(line)
                if sign in line:
                    process.send_signal(number)
                    sign = "\0"
            err = process.stderr.read()
        return Ran(process.returncode, "".join(told), err)

    def started(self, *args: str | Path) -> subprocess.Popen[str]:
        """Start a command whose output is read as it comes."""
        return subprocess.Popen(
            [*MAIN, *map(str, args)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command line in a fresh folder."""
    return Cli(tmp_path)


@pytest.fixture
def engine() -> None:
    """A Docker engine with the box image; none is a failure and not a skip."""
    found = subprocess.run(
        ["docker", "image", "inspect", "monastery-box:latest"], capture_output=True, check=False
    )
    if found.returncode != 0:
        pytest.fail("this test needs a Docker engine with monastery-box:latest: make setup")


JUDGE = """#!/usr/bin/env python3
import json, sys
sys.stdin.readline()
print(json.dumps({"vote": {"decision": "approve", "score": 0.75, "note": "good \\x1b[31mred"}}))
"""

PROJECT = """\
name: tiny
goal: "Write the answer. \\e]0;owned\\a"
agent:
  command: [python3, agent.py]
box:
  files: [{from: agent.py, to: agent.py}]
steps:
  plan: {audit: never}
  file: {folder: out}
audit:
  auditors: [{name: judge, command: [./judge.py]}]
"""

AGENT = """\
import sys, time
from monastery_box import history, propose

done = {step["kind"] for step in history()}
print("I think \\x1b[31mred.", flush=True)
if "plan" not in done:
    propose("plan", "look around\\nwrite the answer", "A plan comes first.")
time.sleep(PAUSE)
if "file" not in done:
    propose("file", '{"files": {"answer.txt": {"text": "42"}}}', "It was asked for.")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that plans, delivers one file, and is judged by a program."""
    (tmp_path / "out").mkdir()
    (tmp_path / "agent.py").write_text(AGENT.replace("PAUSE", "0"))
    (tmp_path / "judge.py").write_text(JUDGE)
    (tmp_path / "judge.py").chmod(0o755)
    (tmp_path / "project.yaml").write_text(PROJECT)
    return tmp_path / "project.yaml"


@pytest.fixture
def lived(project: Path) -> Callable[[Agent], RunId]:
    """Lives a run of the project in memory, with an agent that is a function; returns its name."""

    def live(agent: Agent) -> RunId:
        loaded = load(project)
        return live_in(loaded, loaded.folder / ".monastery", agent)

    return live


def live_in(loaded: Loaded, home: Path, agent: Agent) -> RunId:
    """Live a run whose box is in memory."""
    from monastery.auditor.command import CommandAuditor

    def build(desk: Desk, calls: int) -> World:
        judge: Auditor = CommandAuditor("judge", ["./judge.py"], 30.0, loaded.folder)
        return World(ScriptedSandbox(agent), [judge], executors(loaded, desk), None)

    with Store.open(home) as store:
        row = new_run(store, loaded)
    trio.run(go, home, row, loaded, build, lambda record: None)
    return row.run
