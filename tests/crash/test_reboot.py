"""A machine that is started anew: of the run nothing is left but what lies on disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store
from monastery.runtime.story import Story, tell
from monastery.runtime.verify import verify
from tests.sandbox.conftest import engine_api, image

__all__ = ["engine_api", "image"]

HANGS_SECONDS = 240.0

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

    def run(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start `monastery run`."""
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "monastery"), "run", "--json", *words],
            env={**os.environ, "MONASTERY_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def story(self) -> Story:
        """What the journal tells."""
        if not (self.home / "monastery.sqlite3").exists():
            return Story()
        with Store.open(self.home) as store:
            rows = store.runs()
            return tell(store, rows[0].run) if rows else Story()

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
    first = machine.run(str(machine.folder / "project.yaml"))
    try:
        _wait(lambda: len(machine.story.segments) == 3, first)
        (row,) = _rows(machine)
        _wait(lambda: (machine.home / "snapshots" / row.run / "2").is_dir(), first)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    machine.reboot(row.run, loses_volumes=loses_volumes)
    second = machine.run("--resume", row.run)
    said, _ = second.communicate(timeout=HANGS_SECONDS)
    assert second.returncode == 0, said.decode()
    story = machine.story
    assert [one.work for one in story.boxes] == ["new", "snapshot" if loses_volumes else "kept"]
    with Store.open(machine.home) as store:
        proposed = [one.proposal for one in story.segments if one.proposal is not None]
        told = [store.blob(one.payload.ref).decode() for one in proposed]
        assert {one.verdict for one in verify(store, row.run)} == {True}
    assert told == ["0\n", "0\n1\n", "0\n1\n2\n"]
    left = {"label": f"monastery.run={row.run}"}
    assert machine.engine.volumes(filters=left)["Volumes"] in (None, [])
    assert not (machine.home / "snapshots" / row.run).exists()


def _rows(machine: Machine) -> list[RunRow]:
    with Store.open(machine.home) as store:
        return store.runs()


def _wait(until: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    late = time.monotonic() + HANGS_SECONDS
    while not until():
        assert process.poll() is None
        assert time.monotonic() < late
        time.sleep(0.02)
