"""Every probe holds in a box, and comes out open in a container that is weak on purpose."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from monastery.runtime.records import BoxSpec
from monastery.sandbox import bait as baits
from monastery.sandbox import conformance, control, examine, meaning
from monastery.sandbox.bait import Bait
from monastery.sandbox.conformance import LIMITS
from monastery.sandbox.engine import Engine
from monastery.sandbox.finding import Finding
from monastery.sandbox.probes.attempt import BARE, HOST, WEAK, Probe

PROBES = {probe.name: probe for probe in conformance.probes()}

NO_CONTROL = {
    "capabilities inheritable": "engines since 20.10.14 give none to anybody",
    "capabilities ambient": "engines give none to anybody",
}
"""Probes that no configuration of the engine makes come out open."""


def test_there_are_many_probes_with_names_of_their_own() -> None:
    """A name stands for one probe, in the table, in the documentation and in the JSON."""
    names = [probe.name for probe in conformance.probes()]
    assert len(names) == len(set(names)) >= 60


async def test_every_probe_holds_in_a_box(opened, image) -> None:
    """No door, with another box beside it and the host's baits out; unknown is not good enough."""
    engine = Engine()
    await engine.connect()
    with baits.bait(await engine.gateways()) as known:
        async with opened() as box, opened() as other:
            async with baits.listening(other, known) as bait:
                found = await conformance.ask(box, bait)
            found += [await examine.no_log(box, engine), await examine.freeze(box)]
            found += await examine.as_asked(box, engine, BoxSpec(image, LIMITS))
    assert not [one for one in found if one.verdict != "holds"]
    assert {one.probe for one in found} >= set(PROBES)


@contextmanager
def _another(image: str) -> Iterator[dict[str, Any]]:
    """A weak container that listens on the engine's network."""
    client = docker.from_env()
    text = "import socket, time; d = socket.create_server(('0.0.0.0', 4711)); time.sleep(60)"
    container = client.containers.run(image, ["python3", "-c", text], detach=True, user="0:0")
    try:
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        yield {"abstract": "none", "addresses": [address], "port": 4711}
    finally:
        container.remove(force=True)
        client.close()


@pytest.mark.parametrize("level", [WEAK, BARE, HOST])
async def test_every_probe_comes_out_open_in_a_weak_container(image, level) -> None:
    """What is closed there too proves nothing, unless this kernel or engine has no such door."""
    with baits.bait(["172.17.0.1"]) as known, _another(image) as other:
        bait = Bait(known.abstract, known.shared_memory, other, known.gateways)
        found = await control.ask_control(level, image, bait)
    assert found
    assert not [one for one in found if one.verdict != "fails" and not _no_such_door(one)]


def _no_such_door(seen: Finding) -> bool:
    """Whether this machine has no control for a probe, for the reason that is declared."""
    probe: Probe = PROBES[seen.probe]
    if seen.verdict == "unknown":
        return False
    if probe.needs.startswith("CONFIG_"):
        return not _kernel_has(probe.needs)
    if probe.needs == "CAP_SYS_RESOURCE":
        bounding = Path("/proc/self/status").read_text().partition("CapBnd:")[2].split()[0]
        return not int(bounding, 16) >> 24 & 1
    return probe.name in NO_CONTROL and NO_CONTROL[probe.name] == probe.needs


def _kernel_has(option: str) -> bool:
    """Whether this kernel was built with an option; ``=n`` asks for its absence."""
    name, _, wanted = option.partition("=")
    config = Path("/proc/config.gz")
    assert config.exists(), "this kernel does not say how it was built"
    built = any(
        line.startswith((f"{name}=y", f"{name}=m"))
        for line in gzip.decompress(config.read_bytes()).decode().splitlines()
    )
    return not built if wanted == "n" else built


async def test_a_probe_that_crashes_is_unknown(opened) -> None:
    """Silence, nonsense and a crash never hold."""
    async with opened() as box:
        result = await box.run(["python3", "-c", "raise SystemExit(3)"])
    found = conformance.judge(list(PROBES.values()), result)
    assert {one.verdict for one in found} == {"unknown"}
    from monastery.sandbox.probes import attempt

    def crash(given: Any) -> attempt.Seen:
        raise ZeroDivisionError

    def die(given: Any) -> attempt.Seen:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    probes = [Probe("crash", "", WEAK, crash), Probe("die", "", WEAK, die)]
    assert [one["open"] for one in attempt.run_all(probes, {})] == [None, None]


def test_what_other_kernels_answer_names_probes() -> None:
    """What is judged otherwise under gVisor or with user namespaces are probes that there are."""
    named = {*meaning.BY_GVISOR, *meaning.BY_NAMESPACE, *meaning.EXPLOSIVE, *meaning._READ_ONLY}
    assert named <= set(PROBES)
