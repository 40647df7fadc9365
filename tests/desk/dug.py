"""A real run that waits for a person, with a box in which there is something to find."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.conftest import MAIN, environment

AGENT = r"""
import pathlib
from monastery_box import history, propose

if not history():
    pathlib.Path("note.txt").write_text("the bell is broken\n")
    evil = "\x1b]0;Approved by ada\x07\x1b]52;c;cm0gLXJm\x07"
    evil += "\x1b]8;;https://evil.example\x07LINK\x1b]8;;\x07\x1b[6n\x1bP1$qm\x1b\\"
    evil += "<b>BOLD</b> \u202eesrever\u202c \u200bzero \x1b[8mhidden\x1b[0m E" + "ND\n"
    pathlib.Path("evil.txt").write_text(evil)
    propose("plan", "ring the bell", "because of the bell")
"""
PROJECT = """\
name: bell
goal: Ring the bell.
agent: {{command: [python3, agent.py]}}
box:
  memory: 128 MiB
  disk: 64 MiB
  files: [{{from: agent.py, to: agent.py}}]
steps:
  plan: {{}}
audit:
  dig: {dig}
  auditors: [{{person: ada}}]
"""


@contextmanager
def waiting(folder: Path, *, dig: str = "always") -> Iterator[tuple[Path, str]]:
    """Live a run up to the question that its first step puts; yield its home and the question."""
    (folder / "agent.py").write_text(AGENT)
    (folder / "project.yaml").write_text(PROJECT.format(dig=dig))
    home = folder / ".monastery"
    argv = [*MAIN, "run", "project.yaml"]
    with subprocess.Popen(
        argv,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as run:
        try:
            yield home, _question(run)
        finally:
            run.terminate()
            run.communicate(timeout=120)
            subprocess.run(
                [*MAIN, "forget", "last", "--yes"], cwd=folder, env=environment(), check=False
            )


def _question(run: subprocess.Popen[bytes]) -> str:
    """Return the run's question, when the run says that it waits."""
    assert run.stdout is not None
    told = b""
    for line in run.stdout:
        told += line
        asked = re.search(rb"monastery audit show (\S+)", line)
        if asked is not None:
            return asked[1].decode()
    raise AssertionError(told.decode())


def forks(item: str) -> str:
    """Return the containers and the volumes of the forks of a question's run."""
    run = item.partition(".")[0]
    labels = ["--filter", f"label=monastery.run={run}", "--filter", "label=monastery.purpose=fork"]
    return "".join(
        subprocess.run(
            ["docker", *words, "-q", *labels], capture_output=True, text=True, check=True
        ).stdout
        for words in (["ps", "-a"], ["volume", "ls"])
    )
