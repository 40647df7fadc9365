"""An agent that many people use, as it was published, in a real box: from tasks to commits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MONASTERY = str(Path(sys.executable).parent / "monastery")
EXAMPLE = Path(__file__).parents[1] / "examples" / "mini-swe-agent"


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in a folder, with mini-swe-agent as its registry has it."""
    folder = tmp_path_factory.mktemp("mini") / "example"
    argv = [sys.executable, str(EXAMPLE / "make.py"), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def _said(folder: Path, *arguments: str) -> str:
    """Return what a command of ours says that must succeed."""
    argv = [MONASTERY, *arguments]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def _git(folder: Path, *arguments: str) -> str:
    argv = ["git", "-C", str(folder / "repository"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_mini_swe_agent_goes_from_tasks_to_commits(laid_out: Path) -> None:
    """Each task ends as a commit of the real repository, and its model calls in its segment."""
    subprocess.run([MONASTERY, "run", "project.yaml"], cwd=laid_out, capture_output=True)
    shown = _said(laid_out, "show", "last", "--content")
    run = json.loads(_said(laid_out, "show", "last", "--json"))
    assert run["status"] == "done", shown[-6000:]
    first, second, *rest = run["segments"]
    assert [one["model_calls"] for one in rest] == [0]
    for segment, file in ((first, "temperature.py"), (second, "length.py")):
        assert segment["model_calls"] == 3
        assert segment["outcome"]["status"] == "done"
        assert file in str(segment["proposal"]["changes"])
    titles = _git(laid_out, "log", "--format=%s", "--reverse", "main..monastery").splitlines()
    assert titles == ["Make temperatures right again", "Make lengths right again"]
    assert "(fahrenheit - 32) * 5 / 9" in _git(laid_out, "show", "monastery:temperature.py")
    assert "metres / METRES" in _git(laid_out, "show", "monastery:length.py")
    assert "fahrenheit - 32 * 5" in _git(laid_out, "show", "main:temperature.py")
    _said(laid_out, "verify", "last")
    calls = _calls(laid_out)
    assert {call["api"] for call in calls} == {"openai.chat"}
    assert "celsius(212)" in json.dumps(calls[0]["request"])
    assert "feet(1.8288)" in json.dumps(calls[3]["request"])
    assert "celsius(212)" not in json.dumps(calls[3]["request"])


def _calls(folder: Path) -> list[dict[str, object]]:
    """Return what was asked of the model, in order, from the exported record."""
    lines = _said(folder, "export", "last", "--to", "jsonl").splitlines()
    return [call for line in lines for call in json.loads(line)["context"]["requests"]]
