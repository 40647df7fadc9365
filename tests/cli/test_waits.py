"""`monastery wake`, `resolve` and `forget`, and what is said to whoever answers."""

import re
import subprocess
from pathlib import Path

import apsw
import pytest
import trio

from monastery.runtime.cli.rendering import executors
from monastery.runtime.journal import Record
from monastery.runtime.ports import Desk
from monastery.runtime.project_file import load
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.scripted import ScriptedSandbox
from tests.cli.conftest import Cli
from tests.runtime.test_crash import _copy
from tests.runtime.test_store import DEAD

AGENT = """\
from monastery_box import history, propose

if not history():
    propose("plan", "look around", "A plan comes first.")
"""
PROJECT = """\
name: slow
goal: Wait for Ada.
agent: {command: [python3, agent.py]}
box: {files: [{from: agent.py, to: agent.py}]}
steps:
  plan: {}
  command: {allow: {ring: ["true"]}, audit: never}
audit:
  park_after_seconds: 0.5
  auditors: [{person: ada}]
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A project whose only step waits for Ada, and parks soon."""
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "project.yaml").write_text(PROJECT)
    return tmp_path / "project.yaml"


def _left(run: str) -> str:
    """Return the containers and volumes of a run."""
    label = f"label=monastery.run={run}"
    return "".join(
        subprocess.run(
            ["docker", *words, "-q", "--filter", label], capture_output=True, text=True, check=True
        ).stdout
        for words in (["ps", "-a"], ["volume", "ls"])
    )


@pytest.mark.usefixtures("engine")
def test_a_run_waits_for_a_person_while_nothing_runs(cli: Cli, slow: Path) -> None:
    """Parked with 4, answered, woken to its end; the person is told what goes on."""
    ran = cli("run", "project.yaml", "--exit-when-parked")
    assert ran.code == 4, ran.err
    assert "run parked, its box is closed: 1 question for people" in ran.out
    assert "go on with: monastery wake" in ran.err
    (run,) = cli("runs", "--json").json
    assert run["status"] == "parked"
    listed = cli("wake")
    assert (listed.code, listed.out) == (0, "no parked run has its answers\n")

    held = cli("run", "project.yaml")  # no second one is started beside it by mistake
    assert held.code == 2
    assert "--resume" in held.err

    (item,) = cli("audit", "list", "--json").json
    vote = ["audit", "score", item["item"], "--decision", "approve", "--score", "1"]
    assert cli(*vote).code == 0
    voted = cli(*vote, "--stage", "second")
    assert voted.code == 0
    assert voted.err == f"nothing runs {run['run']} now; go on with: monastery wake\n"
    woken = cli("wake", "--json")
    assert (woken.code, woken.err) == (0, "")
    (told,) = woken.json
    assert (told["status"], told["steps"], told["reward_sum"]) == ("done", 1, 1.0)
    assert cli("wake").out == "no parked run has its answers\n"
    assert cli("verify", "last").code == 0
    assert "parked once, resumed once" in cli("show", "last").out
    assert not _left(run["run"])
    late = cli("audit", "score", item["item"], "--decision", "reject", "--score", "0")
    assert late.code == 2
    assert "You answered it; that counts" in late.err


@pytest.mark.usefixtures("engine")
def test_a_parked_run_is_forgotten(cli: Cli, slow: Path) -> None:
    """Asked first; then its question is withdrawn, its seed revealed, its files gone, for good."""
    assert cli("run", "project.yaml", "--exit-when-parked").code == 4
    run = cli("runs", "--json").json[0]["run"]
    assert _left(run)
    unsure = cli("forget", "last")
    assert unsure.code == 2
    assert "add --yes" in unsure.err
    told = cli("forget", "last", "--yes", "--by", "ada", "--json").json
    assert (told["status"], told["reason"]) == ("failed", "forgotten by ada")
    assert not _left(run)
    assert cli("audit", "list", "--json").json == []
    assert cli("run", "--resume", run).code == 2
    found = {one["name"]: one for one in cli("verify", run, "--json").json["findings"]}
    assert all(one["verdict"] is not False for one in found.values())
    assert "the revealed seed" in found["draws"]["reason"]
    assert cli("forget", run).code == 0  # once more only looks for what may be left


def _crashed(project: Path, kind: str, payload: str, *, owner: str | None = DEAD) -> str:
    """Leave a run as a crash between a step's intent and its outcome does; return its name."""
    loaded, home = load(project), project.parent / ".monastery"
    aside = project.parent / "aside"

    async def agent(inside: object) -> int:
        await inside.propose(kind, payload, "because")  # type: ignore[attr-defined]
        return 0

    def build(desk: Desk, calls: int) -> World:
        return World(ScriptedSandbox(agent), [], executors(loaded, desk), None)

    def watch(record: Record) -> None:
        if record.event.type == "step.started":
            _copy(aside, home)

    with Store.open(aside) as store:
        row = new_run(store, loaded)
    trio.run(go, aside, row, loaded, build, watch)
    if owner is not None:
        with apsw.Connection(str(home / "monastery.sqlite3")) as db:
            db.execute("UPDATE runs SET owner = ?", (owner,))
    return row.run


RING = '{"command": "ring", "arguments": {}}'
UNAUDITED = PROJECT.replace("plan: {}", "plan: {audit: never}")


def test_a_person_says_what_became_of_a_step_while_nothing_runs(cli: Cli, slow: Path) -> None:
    """A command that nobody can look for: shown, said once, kept; the record stays in order."""
    slow.write_text(UNAUDITED)
    run = _crashed(slow, "command", RING)
    shown = cli("resolve", "last")
    assert shown.code == 0, shown.err
    assert "Nobody knows whether this step was done" in shown.out
    assert f"monastery resolve {run} --done TEXT" in shown.out
    both = cli("resolve", run, "--done", "x", "--failed", "y")
    assert both.code == 2
    said = cli("resolve", run, "--done", "it rang", "--by", "ada")
    assert said.out == f"step 1 of {run} is done\n"
    assert said.err == f"nothing runs {run} now; go on with: monastery run --resume {run}\n"
    again = cli("resolve", run, "--failed", "no")
    assert again.code == 2
    assert "answered by 'ada'" in again.err
    assert cli("verify", run).code == 0
    with Store.open(slow.parent / ".monastery") as store:
        assert store.run(run).status == "interrupted"


def test_a_step_that_is_looked_for_is_not_asked_about(cli: Cli, slow: Path) -> None:
    """Unless the project says that a person is asked."""
    slow.write_text(UNAUDITED)
    _crashed(slow, "plan", "look around")
    refused = cli("resolve", "last", "--done", "x")
    assert refused.code == 2
    assert "looks for itself" in refused.err


def test_a_kind_can_be_told_to_ask(cli: Cli, slow: Path) -> None:
    """`unknown: ask` has a person asked of what could be looked for."""
    slow.write_text(PROJECT.replace("plan: {}", "plan: {audit: never, unknown: ask}"))
    _crashed(slow, "plan", "look around")
    assert cli("resolve", "last", "--failed", "it was not").code == 0


def test_a_command_that_cannot_be_looked_for_is_a_fault(cli: Cli, slow: Path) -> None:
    """What the file promises must be possible."""
    slow.write_text(PROJECT.replace("command: {", "command: {unknown: look, "))
    ran = cli("run", "project.yaml")
    assert ran.code == 2
    assert "steps.command.unknown: is 'look', but only an `idempotent: true` one can" in ran.err


@pytest.mark.parametrize("words", [["resolve", "last"], ["forget", "last", "--yes"]])
def test_a_run_that_is_being_run_is_left_alone(cli: Cli, slow: Path, words: list[str]) -> None:
    """One line says who has it."""
    slow.write_text(UNAUDITED)
    _crashed(slow, "command", RING, owner=None)  # this very process owns it
    ran = cli(*words)
    assert ran.code == 2
    assert re.search(r"is being run by .*process \d+ on this machine", ran.err)
    assert ran.err.count("\n") == 1


def test_a_run_of_no_unknown_outcome_is_said_to_be_one(cli: Cli, slow: Path) -> None:
    """Nothing is written for a run that has nothing to resolve."""
    slow.write_text(UNAUDITED)
    run = _crashed(slow, "plan", "look around")
    with apsw.Connection(str(slow.parent / ".monastery" / "monastery.sqlite3")) as db:
        db.execute("UPDATE runs SET status = 'done'")
    ran = cli("resolve", run)
    assert ran.code == 2
    assert "is over" in ran.err
