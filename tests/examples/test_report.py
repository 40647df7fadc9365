"""The report example: what its README shows can be run as it stands."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.provider import Provider, provider

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "report"
MONASTERY = str(Path(sys.executable).parent / "monastery")
ROWS = ["| harbour | 2024-01 | 5.00 | 2 |", "| hill | 2024-01 | 1.00 | 1 |"]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "report"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".monastery", "report.md"))
    return folder


def _run(folder: Path, project: str) -> None:
    argv = [MONASTERY, "run", project]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    report = (folder / "delivered" / "report.md").read_text()
    for row in ROWS:
        assert row in report
    assert "No reading: hill on 2024-01-17." in report


def test_the_rehearsal_delivers_the_report(example: Path) -> None:
    """Without a model; a missing reading is no zero."""
    _run(example, "rehearsal.yaml")


def test_the_project_delivers_the_report_with_a_model_on_a_server(example: Path) -> None:
    """The same answers from a real server; the project file needs its address and nothing else."""
    lines = (example / "rehearsal.jsonl").read_bytes().splitlines()
    with provider() as server:
        _answer(server, lines)
        path = example / "project.yaml"
        text = path.read_text()
        assert "http://127.0.0.1:8000/v1" in text
        path.write_text(text.replace("http://127.0.0.1:8000/v1", server.url))
        _run(example, "project.yaml")
    assert len(server.asked) == len(lines)
    assert {asked.body["model"] for asked in server.asked} == {"qwen3-8b"}


def _answer(server: Provider, lines: list[bytes]) -> None:
    server.says = [(200, {}, line) for line in lines]
