"""A project with a cached web, from its file to the record: the real commands, a real box."""

import json
import subprocess
import sys
from pathlib import Path

MONASTERY = str(Path(sys.executable).parent / "monastery")

PROJECT = """
name: reading
goal: Read about tides.
agent: {{command: [python3, agent.py]}}
box: {{files: [{{from: agent.py, to: agent.py}}]}}
steps: {{plan: {{audit: never}}}}
cached_web: {path}
"""

AGENT = """
import json, os, socket, subprocess, urllib.request
from monastery_box import web_get, web_search

found = web_search("moon pulls")
assert [one["url"] for one in found["results"]] == ["wiki/Tide.html"], found
page = subprocess.run(["web", "get", "wiki/Tide"], capture_output=True, text=True, check=True)
assert "The moon pulls the sea" in page.stdout and "fetch(" not in page.stdout, page.stdout
url = os.environ["MONASTERY_WEB"] + "/get?raw=1&url=wiki/Tide.html"
with urllib.request.urlopen(url) as got:
    assert "base64" in json.load(got)
for gone in ("../project.yaml", "/etc/hostname", "https://example.org/"):
    assert web_get(gone)["error"]["type"] == "not_found"
for address in (("203.0.113.1", 80), ("1.1.1.1", 53)):
    try:
        socket.create_connection(address, 5)
    except OSError as error:
        assert error.errno == 101, error  # no route: there is no network at all
    else:
        raise AssertionError("the box has a network")
"""


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MONASTERY, *arguments], cwd=folder, capture_output=True, text=True)


def test_an_agent_reads_and_the_record_shows_it(tmp_path: Path, web: Path) -> None:
    """Searches, pages and what is not there; `show` tells each, and with what was given."""
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "project.yaml").write_text(PROJECT.format(path=web))
    done = _run(tmp_path, "run", "project.yaml")
    assert done.returncode == 0, (
        done.stdout + done.stderr + _run(tmp_path, "show", "last", "--content").stdout
    )
    shown = _run(tmp_path, "show", "last", "--segment", "1").stdout
    assert "search moon pulls, " in shown
    assert "get wiki/Tide.html as it is, " in shown
    assert "and 1 more, " in shown
    assert "the Moon" not in shown
    whole = _run(tmp_path, "show", "last", "--content").stdout
    assert "get https://example.org/, " in whole
    assert "see the Moon" in whole
    told = json.loads(_run(tmp_path, "show", "last", "--json").stdout)
    fetches = told["segments"][0]["fetches"]
    assert len(fetches) == 6
    assert all(one["response"]["ref"] for one in fetches)
    assert _run(tmp_path, "verify", "last").returncode == 0
    erased = _run(tmp_path, "erase", told["run"], fetches[0]["request"]["ref"], "--yes")
    assert erased.returncode == 0, erased.stderr
    assert "[erased], " in _run(tmp_path, "show", "last", "--segment", "1").stdout


def test_faults_are_told_with_their_line(tmp_path: Path) -> None:
    """What is not there, and what is neither a folder nor a ZIM file."""
    (tmp_path / "agent.py").write_text("")
    (tmp_path / "notes.txt").write_text("hello")
    for path, why in (
        ("no.zim", "cached_web: no file 'no.zim'"),
        ("notes.txt", "cached_web: 'notes.txt' is neither a folder nor a ZIM file"),
        ("{path: notes.txt}", "cached_web.path: 'notes.txt' is neither"),
        ("7", "cached_web: "),
        ("{path: ., size: 0}", "cached_web.size: "),
    ):
        (tmp_path / "project.yaml").write_text(PROJECT.format(path=path))
        done = _run(tmp_path, "run", "project.yaml")
        assert done.returncode == 2, (path, done.stdout)
        assert f"project.yaml:7: {why}" in done.stderr, done.stderr
