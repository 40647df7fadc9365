"""The whole loop on real Docker: through the command line, as its users meet it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from monastery.runtime.errors import AuditFailed
from monastery.runtime.ports import Cell, Forkable
from monastery.runtime.project_file import parse
from monastery.runtime.records import Case, RunId, Vote
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.runtime.story import tell
from monastery.sandbox.box import DockerSandbox
from tests.runtime.world import Notebook

ROOT = Path(__file__).parents[1]
MONASTERY = str(Path(sys.executable).parent / "monastery")

SPINNER = """
import subprocess, sys
from monastery_box import propose

spin = '''
import itertools, os
file = os.open("count", os.O_CREAT | os.O_WRONLY)
for n in itertools.count(1):
    os.pwrite(file, b"%020d" % n, 0)
'''

def count():
    return int(open("count").read() or 0)

open("count", "w").close()
spinner = subprocess.Popen([sys.executable, "-c", spin])
while not count(): pass
propose("note", "one", "because")
before = count()
while count() <= before: pass
propose("note", "two", "the spinner goes on after the thaw")
spinner.kill()
"""


class Looks:
    """An auditor that looks at the spinner's count, twice, each time in a fresh fork."""

    name = "looks"

    def __init__(self) -> None:
        self.counts: list[tuple[int, int]] = []

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Approve if nothing moved."""
        first, second = await self._count(box), await self._count(box)
        self.counts.append((first, second))
        if first != second:
            raise AuditFailed("the box runs while it is judged")
        return Vote(self.name, "approve", 1.0)

    async def _count(self, box: Forkable) -> int:
        async with box.fork() as cell:
            return await _read(cell)


async def _read(cell: Cell) -> int:
    return int(await cell.read_file("count") or b"0")


async def test_nothing_in_the_box_runs_between_proposal_and_decision(tmp_path: Path) -> None:
    """A process that spins without pause has not moved between two looks, and goes on after."""
    (tmp_path / "agent.py").write_text(SPINNER)
    source = b"""
name: spinner
goal: Stand still.
agent: {command: [python3, agent.py]}
box: {files: [{from: agent.py, to: agent.py}]}
steps: {plan: {audit: always}}
audit: {auditors: [{person: nobody}]}
"""
    loaded = parse(source, tmp_path / "project.yaml")
    steps = {"note": loaded.project.steps["plan"]}
    loaded = type(loaded)(
        loaded.project.model_copy(update={"steps": steps}), tmp_path, loaded.path, loaded.source
    )
    auditor, notebook = Looks(), Notebook()
    with Store.open(tmp_path) as store:
        row = new_run(store, loaded)
    ending = await go(
        tmp_path,
        row,
        loaded,
        lambda desk, calls: World(DockerSandbox(), [auditor], {"note": notebook}, None),
        lambda record: None,
    )
    assert ending.success, ending
    assert notebook.done == [b"one", b"two"]
    (first, _), (later, _) = auditor.counts
    assert later > first


# Through the command line

AGENT = """
import time
from monastery_box import history, propose

done = [step["payload"] for step in history()]
for text in ("one", "two", "three"):
    if text in done:
        continue
    print("thinking of", text, flush=True)
    assert propose("plan", text, "because")["status"] == "done"
    if text == "two":
        time.sleep(20)
"""

PROJECT = """\
name: short
goal: Three plans.
agent: {command: [python3, agent.py]}
box: {files: [{from: agent.py, to: agent.py}]}
steps: {plan: {}}
audit: {rate: never}
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project whose agent thinks for 20 s after its second step, the first time."""
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "project.yaml").write_text(PROJECT)
    yield tmp_path / "project.yaml"
    assert _boxes() == []


def _boxes() -> list[str]:
    """Return the boxes of short runs that there are, in whatever state."""
    found = docker.from_env().containers.list(all=True, filters={"label": "monastery.run"})
    runs = [str(one.labels["monastery.run"]) for one in found]
    return [run for run in runs if run.startswith("short-")]


def _monastery(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MONASTERY_HOME": str(project.parent / "home")}
    return subprocess.run(
        [MONASTERY, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
        stdin=subprocess.DEVNULL,
    )


def _start(project: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start a run and return it, with its name, when its agent waits in its third segment."""
    environment = {**os.environ, "MONASTERY_HOME": str(project.parent / "home")}
    process = subprocess.Popen(
        [MONASTERY, "run", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.split()[-2:] == ["3", "thinking"]:
            break
    else:
        raise AssertionError(process.stderr.read() if process.stderr else "")
    (row,) = json.loads(_monastery(project, "runs", "--json").stdout)
    return process, row["run"]


def _verdicts(project: Path, run: str) -> dict[str, Any]:
    found = json.loads(_monastery(project, "verify", run, "--json").stdout)
    return {one["name"]: one["verdict"] for one in found["findings"]}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_stopped_goes_on_and_does_nothing_twice(
    project: Path, how: signal.Signals
) -> None:
    """Ctrl-C, a kill, or a kill that cannot be caught: the next start finishes the three steps.

    After the last its box is still there, and is joined.
    """
    process, run = _start(project, str(project))
    process.send_signal(how)
    process.communicate(timeout=240)
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert _boxes() == []
    (row,) = json.loads(_monastery(project, "runs", "--json").stdout)
    assert row["status"] == "interrupted"
    resumed = _monastery(project, "run", "--resume", run)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    shown = json.loads(_monastery(project, "show", run, "--json", "--content").stdout)
    outcomes = [one["outcome"] for one in shown["segments"]]
    assert [one and one["status"] for one in outcomes] == ["done", "done", "done", None]
    assert set(_verdicts(project, run).values()) == {True}
    with Store.open(project.parent / "home") as store:
        works = [box.work for box in tell(store, RunId(run)).boxes]
    assert works == ["new", "live" if how == signal.SIGKILL else "kept"]
