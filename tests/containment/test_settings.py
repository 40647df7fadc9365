"""A box is what was asked for, in every line of its configuration, and nothing more."""

from typing import Any

import pytest

from monastery.runtime.records import BoxSpec
from monastery.sandbox import hardening, settings
from monastery.sandbox.conformance import LIMITS
from monastery.sandbox.engine import Engine
from monastery.sandbox.finding import Finding
from tests.containment.conftest import Mutate, Mutating
from tests.containment.test_mutations import hosts, own

OTHERWISE: dict[str, Any] = {
    "Cmd": ["--bad"],
    "Entrypoint": ["sh"],
    "WorkingDir": "/tmp",
    "User": "0:0",
    "Hostname": "other",
    "Healthcheck": {"Test": ["CMD-SHELL", "true"]},
    "OpenStdin": False,
    "StdinOnce": False,
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": True,
}
WEAKER: dict[str, Any] = {
    "NetworkMode": "bridge",
    "Dns": [],
    "DnsSearch": [],
    "IpcMode": "shareable",
    "CgroupnsMode": "host",
    "CapDrop": [],
    "SecurityOpt": [],
    "ReadonlyRootfs": False,
    "MaskedPaths": [],
    "ReadonlyPaths": [],
    "LogConfig": {"Type": "json-file", "Config": {}},
    "Init": True,
    "RestartPolicy": {"Name": "always"},
    "Tmpfs": {},
    "ShmSize": 1 << 30,
    "Mounts": [],
    "Memory": 0,
    "MemorySwap": -1,
    "NanoCpus": 0,
    "PidsLimit": 0,
    "Ulimits": [],
}
NOBODY_ASKED: dict[str, Any] = {
    "Privileged": True,
    "CapAdd": ["NET_RAW"],
    "Binds": ["/:/host"],
    "Devices": [{"PathOnHost": "/dev/kmsg", "PathInContainer": "/x", "CgroupPermissions": "r"}],
    "PidMode": "host",
    "GroupAdd": ["0"],
    "ExtraHosts": ["host:172.17.0.1"],
    "Sysctls": {"net.ipv4.ip_forward": "1"},
    "OomKillDisable": True,
}
"""Lines that a box has not, and what would weaken it."""


@pytest.mark.parametrize("line", [*OTHERWISE, *(f"HostConfig.{key}" for key in WEAKER)])
async def test_every_line_is_compared(image, line) -> None:
    """What the engine made otherwise than it was asked is told by name: each line of all."""
    key = line.removeprefix("HostConfig.")
    changes = {"Memory": {"Memory": 0, "MemorySwap": 0}}.get(key, {key: WEAKER.get(key)})
    mutate = own(**{key: OTHERWISE[key]}) if key in OTHERWISE else hosts(**changes)
    found = await _compared(image, mutate)
    assert found.verdict == "fails", found
    assert line in found.seen


@pytest.mark.parametrize("line", NOBODY_ASKED)
async def test_what_nobody_asked_for_is_told(image, line) -> None:
    """An engine, or a plug-in of it, that adds to a box is found."""
    found = await _compared(image, hosts(**{line: NOBODY_ASKED[line]}))
    assert (found.verdict, line in found.seen) == ("fails", True), found


async def test_what_is_made_as_asked_is_no_difference(image) -> None:
    """And every line of the configuration has its turn above."""
    assert (await _compared(image, lambda config: None)).verdict == "holds"
    config = hardening.container_config(BoxSpec("x", LIMITS), argv=[], volume="v", labels={})
    assert set(config) - set(OTHERWISE) == {"Image", "Env", "Labels", "HostConfig"}
    assert set(config["HostConfig"]) == set(WEAKER)


async def _compared(image: str, mutate: Mutate) -> Finding:
    """Let an engine make something else than it is asked, without starting it, and compare."""
    engine = Mutating(mutate)
    await engine.connect()
    volume = await engine.create_volume("monastery-containment-lines", {"monastery.run": "lines"})
    config = hardening.container_config(
        BoxSpec(image, LIMITS), argv=["-c", ""], volume=volume["Name"], labels={"a": "b"}
    )
    container = await engine.create(config)
    try:
        made = await engine.inspect(container)
        assert made is not None
        return settings.compare(config, made)
    finally:
        await engine.remove(container)
        await engine.remove_volume(volume["Name"])


@pytest.mark.parametrize("more_bytes", [-1, 2 * LIMITS.memory_bytes], ids=["any", "twice"])
async def test_swap_beyond_memory_is_found(opened, more_bytes) -> None:
    """By the kernel's own word, so without any swap too; 'twice' is what engines do by default."""
    engine = Engine()
    await engine.connect()
    verdicts = []
    for mutate in (None, hosts(MemorySwap=more_bytes)):
        async with opened(mutate) as box:
            made = await engine.inspect(box.facts.box)
            assert made is not None
            pid = made["State"]["Pid"]
            verdicts.append(settings.swap(pid, box.facts.box, LIMITS.memory_bytes).verdict)
    assert verdicts == ["holds", "fails"]


@pytest.mark.parametrize(("policy", "again"), [("no", False), ("always", True)])
async def test_a_box_that_ended_stays_so(image, policy, again) -> None:
    """An engine that may start a box again does, with nobody to speak to it; and only then."""
    engine = Mutating(hosts(RestartPolicy={"Name": policy}))
    await engine.connect()
    volume = await engine.create_volume("monastery-containment-again", {"monastery.run": "again"})
    config = hardening.container_config(
        BoxSpec(image, LIMITS), argv=["-c", ""], volume=volume["Name"],
        labels={"monastery.run": "again"},
    )  # fmt: skip
    container = await engine.create(config)
    try:
        await engine.start(container)
        while True:
            made = await engine.inspect(container)
            assert made is not None
            if made["State"]["Status"] == "exited" or made["RestartCount"]:
                break
        assert bool(made["RestartCount"]) is again
    finally:
        await engine.remove(container)
        await engine.remove_volume(volume["Name"])
