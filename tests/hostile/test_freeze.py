"""What may happen to a frozen box: death, force, the engine's restart, its runtime's end."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.errors import BoxDied, BoxError, EngineUnavailable
from monastery.runtime.ports import Forkable
from monastery.runtime.records import BoxSpec, Case, RunId, Vote
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.engine import Engine
from tests.hostile.engine import SecondEngine, started, unusable
from tests.runtime.world import SetAuditor, Small, approve, notes


@pytest.mark.parametrize("local", [True, False], ids=["direct", "engine"])
async def test_a_box_that_dies_while_frozen_is_dead_at_the_thaw(opened, engine_api, image, local):
    """The kernel's SIGKILL of the guest in a frozen box is told and waits for nobody."""
    async with opened(DockerSandbox(local=local)) as box:
        pid = engine_api.inspect_container(box.facts.box)["State"]["Pid"]
        await box.freeze()
        os.kill(pid, signal.SIGKILL)
        with trio.fail_after(120), pytest.raises(BoxDied):
            await go_on(box)


@pytest.mark.parametrize("local", [True, False], ids=["direct", "engine"])
async def test_a_frozen_box_can_be_removed_by_force(opened, engine_api, image, local):
    """An operator's `docker rm --force` of a frozen box ends it, and the runtime hears of it."""
    async with opened(DockerSandbox(local=local)) as box:
        await box.freeze()
        if box.facts.freezer == "cgroup-v1":  # there, nobody can kill what is frozen
            await box._freezer.end()
        engine_api.remove_container(box.facts.box, force=True)
        with trio.fail_after(120), pytest.raises(BoxError):
            await go_on(box)


async def go_on(box: Any) -> None:
    """Do what the loop does after a step."""
    await box.thaw()
    await box.receive()


@pytest.mark.virtual
async def test_a_step_judged_while_its_box_died_is_done_once(tmp_path: Path) -> None:
    """The box dies during the audit: the step is done, the run can go on, and it is told then."""
    small = Small(tmp_path, notes("one", "two"))

    class Kills(SetAuditor):
        async def judge(self, case: Case, box: Forkable) -> Vote:
            if len(small.sandbox.boxes) == 1:
                small.sandbox.boxes[0].broken = BoxDied("it died while it was frozen")
            return await super().judge(case, box)

    small.auditors = [Kills(approve())]
    row = small.new()
    with pytest.raises(ExceptionGroup) as caught:
        await small.live(row)
    assert caught.group_contains(BoxDied, depth=None)
    assert small.types[-1] == "run.interrupted"
    ending = await small.live(small.claim(row.run))
    assert ending.success
    assert small.notebook.done == [b"one", b"two"]
    assert len(small.events("step.started")) == 2


RUNTIME = """
import sys, trio
from monastery.runtime.records import BoxSpec, RunId
from monastery.sandbox.box import DockerSandbox

async def main(run, image):
    async with DockerSandbox().open(RunId(run), BoxSpec(image)) as box:
        await box.freeze()
        print("frozen", flush=True)
        await trio.sleep_forever()

trio.run(main, *sys.argv[1:])
"""


@pytest.fixture
def second_engine(image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecondEngine]:
    """An engine of this test's own, which the environment names."""
    if why := unusable():
        pytest.skip(why)
    with started(image, "--live-restore") as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        yield engine


async def test_an_engine_that_restarts_loses_no_frozen_box(
    second_engine: SecondEngine, image: str
) -> None:
    """A living runtime ends its own box, and the next start that of a runtime killed meanwhile."""
    mine, theirs = (RunId(f"test-{uuid.uuid4().hex[:12]}") for _ in range(2))
    argv = [sys.executable, "-c", RUNTIME, theirs, image]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as other:  # noqa: ASYNC220
        try:
            assert other.stdout is not None
            while b"frozen" not in (line := other.stdout.readline()):
                assert line, "the other runtime did not come up"
            left: list[tuple[str, str]] = []

            async def live() -> None:
                async with DockerSandbox(Engine()).open(mine, BoxSpec(image)) as box:
                    await box.freeze()
                    second_engine.stop()
                    other.kill()
                    second_engine.start()
                    left.extend(boxes(second_engine, ""))
                    with trio.fail_after(120):
                        await box.receive()

            with pytest.raises((BoxDied, EngineUnavailable)):
                await live()
            assert len(left) == 2, "the engine did not keep the boxes"
        finally:
            other.kill()
    assert boxes(second_engine, mine) == []
    sandbox: Any = DockerSandbox(Engine())
    assert await sandbox.reap() == boxes_before(left, theirs)
    assert boxes(second_engine, "") == []
    for run in (mine, theirs):
        await sandbox.forget(run)
    assert second_engine.docker("volume", "ls", "--quiet").stdout == ""


def boxes(engine: SecondEngine, run: str) -> list[tuple[str, str]]:
    """Return the boxes that an engine has, of one run or of all: id and run."""
    wanted = f"label=monastery.run={run}" if run else "label=monastery.run"
    listing = '{{.ID}} {{.Label "monastery.run"}}'
    told = engine.docker("ps", "--all", "--no-trunc", "--filter", wanted, "--format", listing)
    return [(line.split()[0], line.split()[1]) for line in told.stdout.splitlines()]


def boxes_before(listed: list[tuple[str, str]], run: str) -> list[str]:
    """Return the ids of one run's boxes in a listing."""
    return [box for box, whose in listed if whose == run]
