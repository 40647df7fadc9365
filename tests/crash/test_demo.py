"""The demo survives being killed at any moment: `make demo` again finishes it."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("DEMO_KILLS", "2"))


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house with the demo and nothing else, whose runs are not those of a real `make demo`."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "demo", tmp_path / "scripts" / "demo")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    program = Path(sys.executable).parent / "monastery"
    (tmp_path / ".venv" / "bin" / "monastery").symlink_to(program)
    return tmp_path


def _started(house: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(house / "scripts" / "demo")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _killed(house: Path, lines: int, *, with_all: bool) -> bool:
    """Start the demo and kill it when it has said so much; return whether it was still there.

    Args:
        lines: After how many lines.
        with_all: Whether the run that it started dies too, as in a machine that goes down.
    """
    with _started(house) as demo:
        assert demo.stdout is not None
        for _, line in zip(range(lines), demo.stdout, strict=False):
            assert line
        there = demo.poll() is None
        if with_all:
            os.killpg(demo.pid, signal.SIGKILL)
        else:
            demo.kill()
            demo.stdout.close()
    return there


def test_a_demo_that_was_killed_is_finished_by_the_next(house: Path) -> None:
    """Killed with its run, and at last alone, it goes on with that run and repairs the package."""
    chance = random.Random(KILLS)
    for number in range(KILLS):
        there = _killed(house, chance.randint(1, 12), with_all=number < KILLS - 1)
        assert there, "it was over before it was killed"
    with _started(house) as demo:
        told = demo.communicate()[0]
    assert demo.returncode == 0, told[-3000:]
    (home,) = house.glob("build/demo/home")
    runs = subprocess.run(
        [house / ".venv" / "bin" / "monastery", "runs", "--home", home, "--json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [one["status"] for one in json.loads(runs)] == ["done"], runs
    assert "FAILS" not in told
