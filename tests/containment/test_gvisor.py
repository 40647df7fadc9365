"""The same suite under gVisor, on a second engine that the tests start and end."""

import pytest
import trio

from monastery.runtime.errors import GuestMisbehaved
from monastery.runtime.records import BoxSpec, RunId
from monastery.sandbox import meaning
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.examine import examine

GUEST = {
    *("guest's stdout", "guest's stdin", "guest's environment", "guest's memory map"),
    "guest's descriptors listed",
}
"""Open under gVisor and not under runc: it takes PR_SET_DUMPABLE and gives these all the same."""


async def test_what_holds_under_gvisor(gvisor, image, monkeypatch) -> None:
    """Nothing leads out of it; what fails is known: the guest's descriptors can be opened."""
    monkeypatch.setenv("DOCKER_HOST", gvisor)
    found = await examine(image, runtime="runsc")
    fails = {one.probe for group in found.values() for one in group if one.verdict == "fails"}
    assert fails <= GUEST
    for one in found["egress"]:
        assert one.verdict == "holds" or "gVisor's kernel answers" in one.seen, one
    unknown = [one for group in found.values() for one in group if one.verdict == "unknown"]
    surprises = [one for one in unknown if "gVisor's kernel answers" not in one.seen]
    assert {one.probe for one in surprises} <= {"user namespaces", "storage driver", "live-restore"}
    assert {one.probe: one.verdict for one in found["from outside"]}["freeze"] == "holds"


FORGES = """
import os
channel = os.open("/proc/1/fd/1", os.O_WRONLY)
os.write(channel, b'{"op":"print","data":"Zm9yZ2Vk"}\\n')
import time; time.sleep(98731)
"""


async def test_a_forged_line_is_told_and_ends_the_box(gvisor, image, monkeypatch) -> None:
    """The agent can write on the guest's stream there; it cannot speak for it."""
    monkeypatch.setenv("DOCKER_HOST", gvisor)
    run, sandbox = RunId("containment-forged"), DockerSandbox()
    spec = BoxSpec(image, meaning.GVISOR_LIMITS, engine_runtime="runsc")
    try:
        async with sandbox.open(run, spec) as box:
            assert (await box.run(["echo", "well"])).stdout == b"well\n"
            await box.write_file("agent.py", FORGES.encode())
            await box.start_agent(["python3", "agent.py"], env={}, history=b"[]")
            with pytest.raises(GuestMisbehaved, match="forged"):
                await box.receive()
            assert b"forged" not in box.take_transcript().text
    finally:
        with trio.CancelScope(shield=True):
            await sandbox.forget(run)


async def test_a_runtime_that_is_not_there_is_said(image) -> None:
    """`doctor --runtime` names those that the engine has."""
    found = await examine(image, runtime="nonesuch")
    assert found["engine"][-1].verdict == "fails"
    assert "runc" in found["engine"][-1].seen
    assert set(found) == {"engine"}
