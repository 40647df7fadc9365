"""Engines that die under a living run: it waits, and goes on in its box or in a new one."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monastery.runtime.events import ProposalFrozen
from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from tests.crash import started as running
from tests.hostile.engine import SecondEngine, started, unusable
from tests.sandbox.conftest import engine_api, image

__all__ = ["engine_api", "image"]

pytestmark = [
    pytest.mark.skipif(bool(unusable()), reason=unusable()),
    pytest.mark.deadline(600),
]

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
    home = tmp_path / "home"
    with running.started(home, str(tmp_path / "project.yaml"), engine=engine.host) as process:
        try:
            running.wait(lambda: len(running.story(home).segments) == 2, process)
            fault(engine)
            said, _ = process.communicate(timeout=running.HANGS_SECONDS)
            assert process.returncode == 0, said
        finally:
            process.kill()
    story = running.story(home)
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


def _payload(store: Store, proposal: ProposalFrozen) -> str:
    return store.blob(proposal.payload.ref).decode()
