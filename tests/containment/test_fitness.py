"""An engine that cannot keep a promise is refused, unless the project waives it by name."""

from typing import Any

import pytest

from monastery.runtime.errors import Unfit
from monastery.runtime.records import BoxSpec
from monastery.sandbox import fitness, hardening
from monastery.sandbox.conformance import LIMITS
from monastery.sandbox.engine import Engine
from tests.runtime.world import Small, notes

VERSION = {"ApiVersion": "1.41", "Version": "20.10.24", "Os": "linux"}
INFO = {
    "SecurityOptions": ["name=seccomp,profile=default"],
    "DockerRootDir": "/",
    **dict.fromkeys(("MemoryLimit", "SwapLimit", "CpuCfsQuota", "PidsLimit"), True),
}

LACKING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "version": ({"ApiVersion": "1.40", "Version": "19.03"}, {}),
    "seccomp": ({}, {"SecurityOptions": ["name=apparmor"]}),
    "memory": ({}, {"MemoryLimit": False}),
    "swap": ({}, {"SwapLimit": False}),
    "cpus": ({}, {"CpuCfsQuota": False}),
    "pids": ({}, {"PidsLimit": False}),
    "disk": ({}, {"DockerRootDir": "/nonexistent/docker"}),
}


@pytest.mark.parametrize("promise", fitness.PROMISES)
def test_a_lost_promise_is_refused_unless_waived(promise) -> None:
    """The refusal names the promise and the waiver; waiving another one does not help."""
    version, info = ({**VERSION, **LACKING[promise][0]}, {**INFO, **LACKING[promise][1]})
    others = [one for one in fitness.PROMISES if one != promise]
    with pytest.raises(Unfit, match=rf"{promise}: .*waive: \[.*{promise}") as refused:
        fitness.require(version, info, others)
    assert refused.value.exit_code == 3
    assert fitness.require(version, info, fitness.PROMISES) == (promise,)


def test_a_fit_engine_loses_nothing() -> None:
    """What the engine can do is not waived, whatever the project says."""
    assert fitness.require(VERSION, INFO, fitness.PROMISES) == ()


def test_a_rootless_engine_says_so() -> None:
    """Its volumes are not ours to measure."""
    info = {**INFO, "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}
    assert set(fitness.lost(VERSION, info)) == {"disk"}


def test_what_is_waived_is_not_asked_for() -> None:
    """Engines refuse to make what they cannot do; everything else stays."""
    whole, less = (
        hardening.container_config(
            BoxSpec("x", LIMITS, waive=waive), argv=[], volume="v", labels={}
        )["HostConfig"]
        for waive in ((), fitness.PROMISES)
    )
    assert set(whole) - set(less) == {"Memory", "MemorySwap", "NanoCpus", "PidsLimit"}
    assert less["SecurityOpt"] == ["no-new-privileges"]
    assert len(whole["SecurityOpt"]) == 2


async def test_a_waiver_is_on_record(tmp_path) -> None:
    """What the project does without stands in the journal, beside the box that lacks it."""
    small = Small(tmp_path, notes(), rate=0.0, extra={"box": {"waive": ["seccomp", "disk"]}})
    await small.live(small.new())
    (started,) = small.events("box.started")
    assert started.waived == ["seccomp", "disk"]


class Lesser(Engine):
    """An engine that says that it can do less than it can."""

    async def info(self) -> dict[str, Any]:
        """Return less."""
        return {**await super().info(), "SecurityOptions": []}


async def test_a_box_is_refused_or_its_waiver_told(image) -> None:
    """The box's facts, and through them the record, hold what was waived in fact."""
    from monastery.runtime.records import RunId
    from monastery.sandbox.box import DockerSandbox

    sandbox, run = DockerSandbox(Lesser()), RunId("containment-waived")
    try:
        with pytest.raises(Unfit, match="seccomp"):
            async with sandbox.open(run, BoxSpec(image, LIMITS)):
                pass
        async with sandbox.open(run, BoxSpec(image, LIMITS, waive=("seccomp", "disk"))) as box:
            assert box.facts.waived == ("seccomp",)
            told = await box.run(["grep", "Seccomp:", "/proc/self/status"])
            assert told.stdout == b"Seccomp:\t2\n"  # this engine filters by its own list then
    finally:
        await sandbox.forget(run)
