"""`monastery box` and `monastery doctor`, with real boxes and their positive control."""

import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("engine")


def test_a_command_is_passed_through(cli: Cli) -> None:
    """Stdin goes in, stdout and stderr come out, byte for byte, and so does the exit code."""
    ran = cli("box", "--", "sh", "-c", "cat; echo bad >&2; exit 5", stdin=b"a\x00b\x1b[0m")
    assert (ran.code, ran.out, ran.err) == (5, "a\x00b\x1b[0m", "bad\n")


def test_the_time_limit_and_signals_have_exit_codes_of_their_own(cli: Cli) -> None:
    """124 as of `timeout`, 128 plus the signal as of a shell; both are told apart from success."""
    late = cli("box", "--timeout", "0.5", "--", "sleep", "60")
    assert late.code == 124
    assert "killed after 0.5 s" in late.err
    assert cli("box", "--", "sh", "-c", "kill -9 $$").code == 137
    assert cli("box", "--", "nonesuch").code == 2


def test_truncation_is_said(cli: Cli) -> None:
    """What is not passed on is never passed over in silence."""
    ran = cli("box", "--max-output", "10", "--", "python3", "-c", "print('x' * 99)")
    assert ran.out == "x" * 10
    assert "90 of 100 bytes of stdout are not passed on" in ran.err


def test_a_project_gives_files_and_limits(cli: Cli, project: Path) -> None:
    """The same box as the agent's, for a look around."""
    source = project.read_text().replace("box:\n", "box:\n  pids: 33\n")
    project.write_text(source)
    probe = "cat agent.py | head -1; cat /sys/fs/cgroup/pids*/pids.max /sys/fs/cgroup/pids.max"
    ran = cli("box", "--project", "project.yaml", "--", "sh", "-c", probe)
    assert ran.out.startswith("import sys")
    wins = cli("box", "--project", "project.yaml", "--memory", "64MiB", "--", "python3", "-c",
               "x = bytearray(300 << 20)")  # fmt: skip
    assert wins.code != 0


def test_the_weak_container_is_open_where_a_box_is_closed(cli: Cli) -> None:
    """The positive control: network and root there, neither in a box."""
    probe = "id -u; ls /sys/class/net; touch /probe && echo writable; exit 3"
    weak = cli("box", "--weak", "--", "sh", "-c", probe)
    strong = cli("box", "--", "sh", "-c", probe)
    assert weak.code == strong.code == 3
    assert weak.out.splitlines()[0] == "0"
    assert "eth0" in weak.out
    assert "writable" in weak.out
    assert strong.out.splitlines()[0] != "0"
    assert "eth0" not in strong.out
    assert "writable" not in strong.out


def test_the_weak_container_is_passed_through_too(cli: Cli) -> None:
    """stdin, both outputs, exit code, limits: the same probe runs in both."""
    ran = cli("box", "--weak", "--", "sh", "-c", "cat; echo bad >&2; exit 5", stdin=b"in\n")
    assert (ran.code, ran.out, ran.err) == (5, "in\n", "bad\n")
    assert cli("box", "--weak", "--timeout", "0.5", "--", "sleep", "60").code == 124
    cut = cli("box", "--weak", "--max-output", "4", "--", "echo", "truncated")
    assert cut.out == "trun"
    assert "6 of 10 bytes" in cut.err


@pytest.mark.parametrize("weak", [(), ("--weak",)])
def test_nothing_of_a_box_is_kept(cli: Cli, weak: tuple[str, ...]) -> None:
    """No container and no volume stays, on the time limit either."""

    def kept() -> set[str]:
        found = subprocess.run(
            ["docker", "ps", "-aq", "--no-trunc", "--filter", "label=monastery.run",
             "--format", "{{.Label \"monastery.run\"}}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return {line for line in found.stdout.split() if line.startswith("box-")}

    cli("box", *weak, "--timeout", "0.5", "--", "sleep", "60")
    assert not kept()


def test_doctor_finds_that_a_real_box_holds(cli: Cli) -> None:
    """On a machine where everything is as it should be, nothing fails."""
    ran = cli("doctor", "--json")
    findings = {one["probe"]: one for one in ran.json}
    assert set(findings[next(iter(findings))]) == {"probe", "expected", "seen", "verdict"}
    inside = {"network devices", "capabilities effective", "new privileges", "user and groups"}
    inside |= {"engine sockets", "freeze", "TCP outside", "system call filter", "root file system"}
    for probe in inside | {"home", "engine", "image"}:
        assert findings[probe]["verdict"] == "holds", findings[probe]
    fails = [one for one in ran.json if one["verdict"] == "fails"]
    assert ran.code == (1 if fails else 0)
    assert "freeze" in cli("doctor").out


def test_doctor_says_what_is_missing(cli: Cli) -> None:
    """A missing image fails, a missing engine is exit 3; both say the mend."""
    ran = cli("doctor", "--json", "--image", "none:gone")
    assert ran.code == 1
    assert ran.json[-1]["verdict"] == "fails"
    assert "make setup" in ran.json[-1]["seen"]
    ran = cli("doctor", "--json", env={"DOCKER_HOST": "unix:///nonesuch.sock"})
    assert ran.code == 3
    assert ran.json[-1]["probe"] == "engine"
    assert "start it" in ran.json[-1]["seen"]
