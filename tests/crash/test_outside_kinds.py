"""Kills between the intent and the outcome of a step outside, with real servers that count.

After each the step's outcome is unknown, and never is it done twice: its executor looks, or a
person says what became of it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.records import Answer, Item, SegmentId
from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from tests.crash.started import rows, started, story, wait
from tests.executors.certificates import Authority
from tests.executors.mail import mail_server
from tests.executors.shell_server import shell_server
from tests.executors.web import Got, web_server

ROOT = Path(__file__).resolve().parents[2]
PROPOSE = "propose KIND --payload payload.json --rationale because; test $? -lt 2"
BEGUN, DONE = "after append step.started", "after execute"
"""Where the runtime dies: it meant to do the step and did not; it did, and nobody wrote it down."""


@dataclass
class Kind:
    """A step of some kind, and how often the world has seen it."""

    name: str
    payload: dict[str, Any]
    settings: dict[str, Any]
    effects: Callable[[], int]


@pytest.fixture
def email(tmp_path: Path) -> Iterator[Kind]:
    """A message to a real mail server."""
    with mail_server(Authority.new(tmp_path), "none") as server:
        settings = {"host": "127.0.0.1", "port": server.port, "security": "none"}
        settings |= {"sender": "agent@example.org", "allow": ["ada@example.org"]}
        payload = {"to": ["ada@example.org"], "subject": "s", "text": "t"}
        yield Kind("email", payload, settings, lambda: len(server.mailbox.got))


@pytest.fixture
def http(tmp_path: Path) -> Iterator[Kind]:
    """A request to a real web server, which can be asked what it has taken."""

    def answer(got: Got) -> tuple[int, dict[str, str], bytes]:
        keys = [dict(one.headers)["Idempotency-Key"] for one in posted()]
        taken = got.line.split()[1].removeprefix("/by-key/") in keys
        return (200 if taken or got in posted() else 404), {}, b""

    def posted() -> list[Got]:
        return [one for one in server.got if one.line.startswith("POST")]

    with web_server() as server:
        server.answer = answer
        base = f"http://127.0.0.1:{server.port}/"
        place = {"url": base, "methods": ["POST"], "look": f"{base}by-key/{{key}}"}
        settings = {"allow": [place], "networks": ["127.0.0.0/8"]}
        payload = {"method": "POST", "url": base, "text": "x"}
        yield Kind("http", payload, settings, lambda: len(posted()))


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Kind]:
    """A command on a real host, which keeps what was done there."""
    (tmp_path / "ssh").mkdir()
    with shell_server(tmp_path / "ssh") as server:
        done = tmp_path / "done"
        host = server.host(look=f'grep -qx "$MONASTERY_STEP_KEY" {done}')
        settings = {**server.settings, "hosts": {"here": host}}
        payload = {"host": "here", "command": f'echo "$MONASTERY_STEP_KEY" >> {done}'}
        done.touch()
        yield Kind("ssh", payload, settings, lambda: len(done.read_text().splitlines()))


class Killed:
    """A run of one step whose runtime died at a point."""

    def __init__(self, folder: Path, kind: Kind, point: str, **settings: str) -> None:
        self.folder, self.kind = folder, kind
        (folder / "payload.json").write_text(json.dumps(kind.payload))
        project = {
            "name": "killed",
            "goal": "One step.",
            "agent": {"command": ["sh", "-c", PROPOSE.replace("KIND", kind.name)]},
            "box": {"files": [{"from": "payload.json", "to": "payload.json"}]},
            "steps": {kind.name: {**kind.settings, **settings}},
            "audit": {"rate": "never"},
        }
        (folder / "project.yaml").write_text(json.dumps(project))
        argv = [sys.executable, "-m", "tests.crash.victim", point, "run", "project.yaml"]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        dead = subprocess.run(
            argv, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True
        )
        assert dead.returncode == -signal.SIGKILL, dead.stderr[-2000:]

    def settled(self, say: str | None = None) -> tuple[str, str]:
        """Go on to the end; return what the step came to, and how that was found out.

        Args:
            say: What a person answers who is asked; None when nobody must be asked.
        """
        home = self.folder / ".monastery"
        running = started(home, "--resume", "last")
        try:
            if say is not None:
                wait(lambda: bool(_questions(home)), running)
                (item,) = _questions(home)
                body = {"status": say, "content": "somebody looked"}
                with Store.open(home) as store:
                    store.answer(Answer(item.id, "ada", datetime.now(UTC), body))
            said, _ = running.communicate()
        finally:
            running.kill()
        assert running.returncode == 0, said[-3000:]
        (row,) = rows(home)
        with Store.open(home) as store:
            assert not [one for one in verify(store, row.run) if one.verdict is False]
        outcome = story(home).by_id[SegmentId(f"{row.run}.1")].completed
        assert outcome is not None
        return outcome.status, outcome.how


def _questions(home: Path) -> list[Item]:
    with Store.open(home) as store:
        found = [stored.item for stored in store.items()]
    return [item for item in found if item.purpose == "resolve"]


def _kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.getfixturevalue(request.param)
    return found


kind = pytest.fixture(_kind)


@pytest.mark.parametrize("kind", ["http", "ssh"], indirect=True)
def test_what_was_done_is_found_by_looking(tmp_path: Path, kind: Kind) -> None:
    """The executor looks, finds it, and does not do it again; nobody is asked."""
    killed = Killed(tmp_path, kind, DONE)
    assert kind.effects() == 1
    assert killed.settled() == ("done", "reconciled")
    assert kind.effects() == 1


@pytest.mark.parametrize("kind", ["http", "email"], indirect=True)
def test_what_nobody_finds_a_person_is_asked_about(tmp_path: Path, kind: Kind) -> None:
    """It may still be on its way; so it is not done by guess, and what the person says counts."""
    killed = Killed(tmp_path, kind, BEGUN)
    assert killed.settled("failed") == ("failed", "resolved")
    assert kind.effects() == 0


@pytest.mark.parametrize("kind", ["ssh", "email"], indirect=True)
def test_where_nobody_may_look_a_person_is_asked(tmp_path: Path, kind: Kind) -> None:
    """`unknown: ask`, which is all that an email has: what was done is not done again."""
    killed = Killed(tmp_path, kind, DONE, unknown="ask")
    assert killed.settled("done") == ("done", "resolved")
    assert kind.effects() == 1
