"""Engines that die under a living run: it waits, and goes on in its box or in a new one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monastery.runtime.events import ProposalFrozen
from monastery.runtime.store import Store
from monastery.runtime.story import Story, tell
from monastery.runtime.verify import verify
from tests.hostile.engine import SecondEngine, started, unusable
from tests.sandbox.conftest import engine_api, image

__all__ = ["engine_api", "image"]

pytestmark = [
    pytest.mark.skipif(bool(unusable()), reason=unusable()),
    pytest.mark.deadline(600),
]

HANGS_SECONDS = 240.0

AGENT = """
import secrets, time
from monastery_box import history, propose

me = secrets.token_hex(8)
for number in range(len(history()), 3):
    assert propose("plan", f"{number} {me}", "because")["status"] == "done"
    if number == 0:
        time.sleep(5)
"""

PROJECT = """\
name: faults
goal: Three plans.
agent: {command: [python3, agent.py]}
box: {files: [{from: agent.py, to: agent.py}]}
steps: {plan: {}}
audit: {rate: never}
"""


@pytest.fixture(scope="module", params=[True, False], ids=["live-restore", "plain"])
def engine(request: pytest.FixtureRequest, image: str) -> Iterator[SecondEngine]:
    """An engine that leaves its boxes alive when it is restarted, and one that does not."""
    with started(image, config={"live-restore": request.param}) as engine:
        yield engine


def _killed(engine: SecondEngine) -> None:
    engine.kill()
    time.sleep(1)
    engine.start()


def _stopped(engine: SecondEngine) -> None:
    engine.stop()
    time.sleep(1)
    engine.start()


def _containerd_killed(engine: SecondEngine) -> None:
    engine.kill_containerd()


@pytest.mark.parametrize("fault", [_killed, _stopped, _containerd_killed])
def test_a_run_goes_on_after_its_engine(
    engine: SecondEngine, fault: Callable[[SecondEngine], None], tmp_path: Path
) -> None:
    """Each step once, in the same box where it lived on, and the record holds."""
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "project.yaml").write_text(PROJECT)
    program, home = str(Path(sys.executable).parent / "monastery"), tmp_path / "home"
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [program, "run", "--json", str(tmp_path / "project.yaml")],
            env={**os.environ, "DOCKER_HOST": engine.host, "MONASTERY_HOME": str(home)},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            _wait(lambda: len(_story(home).segments) == 2, process, log)
            fault(engine)
            assert process.wait(timeout=HANGS_SECONDS) == 0, log.read_text()
        finally:
            process.kill()
    story = _story(home)
    with Store.open(home) as store:
        (row,) = store.runs()
        told = [_payload(store, one.proposal) for one in story.segments if one.proposal]
        assert {one.verdict for one in verify(store, row.run)} == {True}
    assert [text.split()[0] for text in told] == ["0", "1", "2"]
    boxes = [one.work for one in story.boxes]
    if engine.config.get("live-restore") and fault is not _containerd_killed:
        assert boxes == ["new", "live"]
        assert len({text.split()[1] for text in told}) == 1
    assert engine.docker("ps", "--all", "--quiet").stdout == ""


def _story(home: Path) -> Story:
    if not (home / "monastery.sqlite3").exists():
        return Story()
    with Store.open(home) as store:
        rows = store.runs()
        return tell(store, rows[0].run) if rows else Story()


def _payload(store: Store, proposal: ProposalFrozen) -> str:
    return store.blob(proposal.payload.ref).decode()


def _wait(until: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    late = time.monotonic() + HANGS_SECONDS
    while not until():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < late, log.read_text()
        time.sleep(0.05)
