"""The examples that need no server: each is run as its README says."""

import json
import subprocess
from pathlib import Path

import pytest

from monastery.runtime.project_file import parse
from tests.examples.ready import EXAMPLES, MONASTERY, copied, monastery, recorded, run

PROJECTS = sorted(EXAMPLES.glob("*/*.yaml"))


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_its_project_file_parses(path: Path) -> None:
    """Whatever else it needs is not there yet; what it says is right."""
    assert parse(path.read_bytes(), path, on_disk=False).project.goal


def test_the_map_names_each_example_and_each_has_its_readme() -> None:
    """Who comes with something finds the folder for it."""
    text = (EXAMPLES / "README.md").read_text()
    folders = {path.parent.name for path in PROJECTS}
    assert {name for name in folders if f"]({name}/README.md)" in text} == folders
    for name in folders:
        told = (EXAMPLES / name / "README.md").read_text()
        assert "monastery run" in told or "make demo" in told, name


def test_an_agent_with_the_official_client_replies_to_letters(tmp_path: Path) -> None:
    """What the auditor refuses is told to the agent, and its next reply is delivered."""
    folder = copied("letters", tmp_path)
    told = run(folder)
    assert told["outcomes"] == {"done": 2, "rejected": 1}
    assert [one["reward"]["value"] for one in told["segments"][:3]] == [0.9, 0.1, 0.9]
    replies = {path.name: path.read_text() for path in (folder / "replies").glob("*.txt")}
    assert sorted(replies) == ["1-heating.txt", "2-bill.txt"]
    assert "guarantee" not in "".join(replies.values())


def test_an_agent_that_speaks_mcp_reads_pages_and_delivers(tmp_path: Path) -> None:
    """It searches, reads and proposes by tools; each page is in the record."""
    folder = copied("mcp", tmp_path)
    told = run(folder)
    assert told["outcomes"] == {"done": 1}
    assert "new moon and at full moon" in (folder / "delivered/answer.md").read_text()
    assert len(told["segments"][0]["fetches"]) == 2


def test_a_person_and_a_program_judge_side_by_side(tmp_path: Path) -> None:
    """A person approves all; what the program refuses goes nowhere, and both earn the mean."""
    folder = copied("desk", tmp_path)
    answered = 0
    with subprocess.Popen(
        [MONASTERY, "run", "project.yaml"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        while running.poll() is None:
            listed = monastery(folder, "audit", "list", "--json")
            for item in json.loads(listed.stdout) if listed.returncode == 0 else []:
                vote = ["audit", "score", item["item"], "--decision", "approve", "--score", "0.8"]
                monastery(folder, *vote, "--by", "ada")
                second = monastery(folder, *vote, "--by", "ada", "--stage", "second")
                answered += second.returncode == 0
    assert (running.returncode, answered) == (0, 2)
    told = recorded(folder)
    assert told["outcomes"] == {"rejected": 1, "done": 1}
    assert [one["reward"]["value"] for one in told["segments"][:2]] == [0.4, 0.9]
    assert [path.name for path in (folder / "delivered").glob("*.txt")] == ["invoice-2.txt"]
