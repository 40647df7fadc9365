"""A machine that is started anew: of the run nothing is left but what lies on disk."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from tests.crash import started as running
from tests.sandbox.conftest import engine_api, image

__all__ = ["engine_api", "image"]

AGENT = """
import os, time
from monastery_box import history, propose

for number in range(len(history()), 3):
    with open("log", "a") as log:
        print(number, file=log)
    assert propose("plan", open("log").read(), "because")["status"] == "done"
    if number == 1 and len(history()) == 0:
        time.sleep(3600)
"""

PROJECT = """\
name: reboot
goal: Three plans.
agent: {command: [python3, agent.py]}
box: {files: [{from: agent.py, to: agent.py}], snapshot_seconds: 0.001}
steps: {plan: {}}
audit: {rate: never}
"""


class Machine:
    """A project on a machine that loses all that runs, and perhaps the engine's volumes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        (folder / "agent.py").write_text(AGENT)
        (folder / "project.yaml").write_text(PROJECT)
        self.engine = docker.APIClient(version="auto")

    def reboot(self, run: str, *, loses_volumes: bool) -> None:
        """End what runs, unmount what is mounted; the disk stays, or the engine loses its part."""
        ours = {"label": f"monastery.run={run}"}
        for found in self.engine.containers(all=True, filters=ours):
            self.engine.kill(found["Id"])
            self.engine.remove_container(found["Id"], force=True)
        for volume in self.engine.volumes(filters=ours)["Volumes"]:
            mounted = os.path.ismount(volume["Mountpoint"])
            if mounted:
                subprocess.run(["umount", volume["Mountpoint"]], check=True)
            if loses_volumes:
                self.engine.remove_volume(volume["Name"])


@pytest.fixture
def machine(tmp_path: Path, image: str) -> Iterator[Machine]:
    """A machine."""
    machine = Machine(tmp_path)
    yield machine
    machine.engine.close()


@pytest.mark.deadline(600)
@pytest.mark.parametrize("loses_volumes", [False, True], ids=["disk kept", "volumes lost"])
def test_a_run_goes_on_after_a_reboot(machine: Machine, loses_volumes: bool) -> None:
    """With its files as they were, or as the last snapshot has them; each step once."""
    first = running.started(machine.home, str(machine.folder / "project.yaml"))
    try:
        running.wait(lambda: len(running.story(machine.home).segments) == 3, first)
        (row,) = running.rows(machine.home)
        running.wait(lambda: (machine.home / "snapshots" / row.run / "2").is_dir(), first)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    machine.reboot(row.run, loses_volumes=loses_volumes)
    second = running.started(machine.home, "--resume", row.run)
    said, _ = second.communicate(timeout=running.HANGS_SECONDS)
    assert second.returncode == 0, said
    story = running.story(machine.home)
    assert [one.work for one in story.boxes] == ["new", "snapshot" if loses_volumes else "kept"]
    with Store.open(machine.home) as store:
        proposed = [one.proposal for one in story.segments if one.proposal is not None]
        told = [store.blob(one.payload.ref).decode() for one in proposed]
        assert {one.verdict for one in verify(store, row.run)} == {True}
    assert told == ["0\n", "0\n1\n", "0\n1\n2\n"]
    left = {"label": f"monastery.run={row.run}"}
    assert machine.engine.volumes(filters=left)["Volumes"] in (None, [])
    assert not (machine.home / "snapshots" / row.run).exists()
