"""`monastery run` with real boxes: to the end, and interrupted and resumed."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import AGENT, Cli

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(autouse=True)
def no_volumes_are_left(cli: Cli) -> Iterator[None]:
    """Remove the work folders of the runs that a test leaves interrupted."""
    yield
    ran = cli("runs", "--json")
    for run in ran.json if ran.code == 0 else ():
        listed = subprocess.run(
            ["docker", "volume", "ls", "-q", "--filter", f"label=monastery.run={run['run']}"],
            capture_output=True,
            text=True,
            check=True,
        )
        if listed.stdout:
            subprocess.run(["docker", "volume", "rm", "-f", *listed.stdout.split()], check=True)


def containers(run: str) -> str:
    """Return the containers of a run that are still there."""
    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=monastery.run={run}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout


def test_a_run_is_lived_and_told(cli: Cli, project: Path) -> None:
    """Each happening is a line; the deed is done; the run can be read and verified."""
    ran = cli("run", "project.yaml")
    assert (ran.code, ran.err) == (0, "")
    run = ran.out.split()[1]
    for told in (
        f"run {run} starts",
        "1  thinking",
        "1  plan: 1. look around",
        "frozen in",
        "1  not audited (p=0)",
        "1  done: recorded=2",
        "2  audited (p=1)",
        "2  vote of judge: 0.75, approve",
        "2  reward 0.75",
        "2  gate: approve by audit",
        "2  done: 1 file",
        "run ended: the agent is done",
        "steps     2 (2 done)",
        f"monastery show {run}",
    ):
        assert told in ran.out
    assert "\x1b" not in ran.out
    assert (cli.folder / "out" / "answer.txt").read_text() == "42"
    assert cli("verify", run).code == 0
    shown = cli("show", run, "--segment", "1", "--content").out
    assert "I think ‹U+001B›[31mred." in shown
    assert not containers(run)


def test_json_is_one_object_at_the_end(cli: Cli, project: Path) -> None:
    """Programs read figures and nothing else."""
    told = cli("run", "project.yaml", "--json").json
    assert (told["status"], told["success"], told["steps"]) == ("done", True, 2)
    assert (told["audits"], told["mean_score"], told["reward_sum"]) == (1, 0.75, 0.75)
    assert told["think_seconds"] > 0
    assert told["home"] == str(cli.folder / ".monastery")


def test_an_agent_that_fails_is_exit_1(cli: Cli, project: Path) -> None:
    """A run that ends without success is told from one that cannot start."""
    (cli.folder / "agent.py").write_text("raise SystemExit(7)\n")
    ran = cli("run", "project.yaml")
    assert ran.code == 1
    assert "exit code 7" in ran.out


def test_a_missing_image_is_exit_3(cli: Cli, project: Path) -> None:
    """The mend is said, and the next run is not held up by the one that never began."""
    source = project.read_text()
    project.write_text(source.replace("box:\n", "box:\n  image: none:gone\n"))
    ran = cli("run", "project.yaml")
    assert ran.code == 3
    assert "none:gone" in ran.err
    project.write_text(source)
    assert cli("run", "project.yaml").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_where_it_was(
    cli: Cli, project: Path, number: signal.Signals
) -> None:
    """A signal stops it with 130 and the exact command; nothing is done twice after that."""
    (cli.folder / "agent.py").write_text(AGENT.replace("PAUSE", "60"))
    ran = cli.signalled(number, "2  thinking", "run", "project.yaml")
    assert ran.code == 130
    err = ran.err
    (again,) = (line for line in err.splitlines() if "go on with: " in line)
    command = again.partition("go on with: monastery ")[2].split()
    run = command[-1]
    assert number.name in again
    assert not containers(run)
    assert cli("runs", "--json").json[0]["status"] == "interrupted"

    held = cli("run", "project.yaml")
    assert held.code == 2
    assert f"--resume {run}" in held.err
    assert "run --new project.yaml" in held.err

    # The file may change: the run goes on with what was recorded. The work folder was kept, so the
    # agent still has its pause; it is told to think again at a later signal.
    project.write_text(project.read_text().replace("name: tiny", "name: other"))
    ran = cli.signalled(number, "opened", *command)
    assert ran.code == 130
    assert "work folder kept" in ran.out
    assert "plan" not in ran.out
    story = cli("show", run, "--json").json
    assert [one["proposal"] and one["proposal"]["kind"] for one in story["segments"]] == [
        "plan",
        None,
    ]
    assert cli("verify", run).code == 0


def test_a_resumed_run_comes_to_its_end(cli: Cli, project: Path) -> None:
    """The agent starts anew with its history and does only what is not done."""
    # The first start thinks for ever after its first step, the second one does not.
    (cli.folder / "agent.py").write_text(
        AGENT.replace("time.sleep(PAUSE)", "time.sleep(0 if done else 60)")
    )
    assert cli.signalled(signal.SIGINT, "2  thinking", "run", "project.yaml").code == 130
    ran = cli("run", "--resume", "last")
    assert ran.code == 0
    assert "plan:" not in ran.out
    assert "2  done: 1 file" in ran.out
    (run,) = cli("runs", "--json").json
    assert (run["status"], run["steps"]) == ("done", 2)
    assert cli("verify", "last").code == 0
    over = cli("run", "--resume", "last")
    assert over.code == 2
    assert "is over" in over.err


def test_a_watcher_who_leaves_does_not_stop_the_run(cli: Cli, project: Path) -> None:
    """`monastery run … | head -1` carries the run to its end."""
    with cli.started("run", "project.yaml") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0
    assert cli("runs", "--json").json[0]["status"] == "done"
