"""Long runs on real boxes: what has grown over thousands of steps does not stop a run."""

import json
import subprocess
from pathlib import Path

import pytest
import trio

from monastery.runtime.history import HISTORY_BYTES
from monastery.runtime.journal import Record
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Desk
from monastery.runtime.project_file import Loaded, parse
from monastery.runtime.records import Ending
from monastery.runtime.rows import RunRow
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.hardening import RUN_BYTES
from tests.runtime.world import Notebook

PAYLOAD_BYTES = 3_000_000
STEPS = RUN_BYTES // PAYLOAD_BYTES + 2

PROJECT = b"""
name: long
goal: Write long notes.
agent: {command: [python3, agent.py]}
box: {files: [{from: agent.py, to: agent.py}]}
steps: {plan: {}}
audit: {rate: never}
"""
AGENT = f"""
import json, os, time
from monastery_box import history, propose

told = history()
for number in range(len(told), {STEPS}):
    propose("plan", chr(97 + number) * {PAYLOAD_BYTES}, "a long note")
if not told:
    time.sleep(600)  # the test stops the run here
found = [os.stat(os.environ["MONASTERY_HISTORY"]).st_size]
found += [[step["step"], step["status"], step.get("cut"), step["payload"]] for step in told]
found = [one if isinstance(one, int) else [*one[:3], one[3] and len(one[3])] for one in found]
propose("plan", json.dumps(found), "what I was told")
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """A project whose agent writes more than its box's own folder holds, and is then told of it."""
    found = subprocess.run(
        ["docker", "image", "inspect", "monastery-box:latest"], capture_output=True, check=False
    )
    if found.returncode != 0:
        pytest.skip("needs a Docker engine with monastery-box:latest: make setup")
    (tmp_path / "agent.py").write_text(AGENT)
    return parse(PROJECT, tmp_path / "project.yaml")


@pytest.mark.deadline(180)
async def test_a_run_goes_on_whose_history_is_longer_than_its_box_has_room_for(
    loaded: Loaded,
) -> None:
    """The box's own folder would not hold all that was done; the agent is told what fits."""
    notebook, stop, home = Notebook(), trio.CancelScope(), loaded.folder / "home"

    async def lived(row: RunRow) -> Ending:
        def build(desk: Desk, calls: int) -> World:
            return World(DockerSandbox(), [], {"plan": notebook}, None)

        def watch(record: Record) -> None:
            event = record.event
            if event.type == "segment.started" and event.index == STEPS + 1:
                stop.cancel()

        return await go(home, row, loaded, build, watch)

    with Store.open(home) as store:
        row = new_run(store, loaded)
    with stop:
        await lived(row)
    assert [len(note) for note in notebook.done] == [PAYLOAD_BYTES] * STEPS
    with Store.open(home) as store:
        row = store.claim(row.run, this_process())
    assert (await lived(row)).success
    size, *told = json.loads(notebook.done[-1])
    assert size <= HISTORY_BYTES < STEPS * PAYLOAD_BYTES
    assert told[-2:] == [
        [STEPS - 1, "done", None, PAYLOAD_BYTES],
        [STEPS, "done", None, PAYLOAD_BYTES],
    ]
    assert told[:-2] == [[n, "done", True, None] for n in range(1, STEPS - 1)]
