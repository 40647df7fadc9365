"""`monastery run` with several runs on real boxes: bounded, told, stopped and gone on with."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import AGENT, Cli
from tests.cli.test_run import containers, no_volumes_are_left

pytestmark = pytest.mark.usefixtures("engine", no_volumes_are_left.__name__)


def _most_alive(runs: set[str], since: float) -> int:
    """Return how many containers of these runs were alive at a time, as the engine tells it."""
    span = ("--since", f"{since:.0f}", "--until", f"{time.time() + 1:.0f}")
    listed = subprocess.run(
        ["docker", "events", *span, "--filter", "type=container", "--format", "{{json .}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    alive = most = 0
    for line in listed.stdout.splitlines():
        event = json.loads(line)
        if event["Actor"]["Attributes"].get("monastery.run") in runs:
            alive += {"create": 1, "destroy": -1}.get(event["Action"], 0)
            most = max(most, alive)
    assert alive == 0
    return most


def test_six_runs_share_two_boxes(cli: Cli, project: Path) -> None:
    """Each is an object a line; never more boxes live than may, and as many do."""
    source = project.read_text().replace("file: {folder: out}", "file: {folder: out, audit: never}")
    (cli.folder / "other.yaml").write_text(source.replace("name: tiny", "name: other"))
    since = time.time()
    ran = cli("run", "project.yaml", "other.yaml", "--count", "3", "--boxes", "2", "--json")
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [one["project"] for one in told] == ["tiny", "other"] * 3
    assert len({one["run"] for one in told}) == 6
    assert {one["status"] for one in told} == {"done"}
    assert [one["steps"] for one in told] == [2] * 6
    assert (ran.code, ran.err) == (0, "")
    assert _most_alive({one["run"] for one in told}, since) == 2
    assert {one["status"] for one in cli("runs", "--json").json} == {"done"}


def test_one_that_breaks_is_told_and_the_others_come_to_their_ends(cli: Cli, project: Path) -> None:
    """The exit code is the largest that one of them alone would have had."""
    source = project.read_text().replace("name: tiny", "name: broken")
    (cli.folder / "broken.yaml").write_text(source.replace("box:\n", "box:\n  image: none:gone\n"))
    ran = cli("run", "broken.yaml", "project.yaml", "--boxes", "1")
    assert ran.code == 3
    assert "none:gone" in ran.err
    assert "monastery run --resume all" in ran.err
    assert "runs      1 broken, 1 done" in ran.out
    assert "in all    2 steps, 1 audit, 1 reward" in ran.out


def test_all_are_stopped_by_one_signal_and_go_on(cli: Cli, project: Path) -> None:
    """Ctrl-C is 130; what waited has not begun; --resume all goes on with all of them."""
    (cli.folder / "agent.py").write_text(AGENT.replace("PAUSE", "5"))
    several = ("run", "project.yaml", "--count", "3", "--boxes", "1")
    ran = cli.signalled(signal.SIGINT, "begins", *several)
    assert ran.code == 130
    assert "stopped by SIGINT; go on with: monastery run --resume all" in ran.err
    runs = cli("runs", "--json").json
    assert sorted(one["status"] for one in runs)[-2:] == ["waiting", "waiting"]
    assert not any(containers(one["run"]) for one in runs)
    held = cli("run", "--resume", "all", "project.yaml")
    assert (held.code, "--resume all takes no project" in held.err) == (2, True)
    ran = cli("run", "--resume", "all")
    assert (ran.code, ran.err) == (0, "")
    assert "runs      3 done" in ran.out
    assert [one["steps"] for one in cli("runs", "--json").json] == [2] * 3
    none = cli("run", "--resume", "all")
    assert (none.code, "can go on" in none.err) == (2, True)
