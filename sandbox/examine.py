"""Examining this machine: the engine, and whether a real box holds what it promises.

A handful of probes, each a question with an expected answer; `CONTAINMENT` lists those that are
asked inside a box. The containment suite asks many more.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import docker
import docker.errors
import requests
import trio

from monastery.runtime.errors import EngineUnavailable
from monastery.runtime.ports import Box

Verdict = Literal["holds", "fails", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one probe expected, what it saw, and whether that holds."""

    probe: str
    expected: str
    seen: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Probe:
    """A question to the facts that a box tells of itself.

    Attributes:
        look: Returns what was seen, and whether it is as expected; None when nobody can tell.
    """

    name: str
    expected: str
    look: Callable[[Mapping[str, Any]], tuple[str, bool | None]]

    def ask(self, facts: Mapping[str, Any]) -> Finding:
        """Return what the facts say; facts that are missing prove nothing."""
        try:
            seen, holds = self.look(facts)
        except (KeyError, TypeError, ValueError) as exc:
            seen, holds = f"cannot be told: {exc!r}", None
        return Finding(self.name, self.expected, seen, _verdict(holds))


async def examine_engine(image: str) -> list[Finding]:
    """Ask the engine about itself.

    Raises:
        EngineUnavailable: None answers.
    """

    def ask() -> tuple[dict[str, Any], dict[str, Any], str | None]:
        client = docker.from_env(timeout=10)
        try:
            digest = client.images.get(image).id
        except docker.errors.ImageNotFound:
            digest = None
        try:
            return client.version(), client.info(), digest
        finally:
            client.close()

    try:
        version, info, digest = await trio.to_thread.run_sync(ask, abandon_on_cancel=True)
    except (docker.errors.DockerException, requests.exceptions.RequestException) as exc:
        raise EngineUnavailable(
            f"no Docker engine answers ({exc}); start it (`make setup` on a bare Debian), or name"
            " it with DOCKER_HOST"
        ) from exc
    facts = {"version": version, "info": info, "digest": digest, "image": image}
    return [probe.ask(facts) for probe in ENGINE]


async def examine_box(box: Box) -> list[Finding]:
    """Ask a fresh box, from the inside, whether it holds."""
    result = await box.run(["python3", "-c", _INSIDE], timeout_seconds=30.0)
    try:
        facts = json.loads(result.stdout)
    except ValueError:
        facts = {}
    findings = [probe.ask(facts) for probe in CONTAINMENT]
    findings.append(
        Finding("freezer", "cgroup-v1, cgroup-v2 or engine", box.facts.freezer, "holds")
        if box.facts.freezer in ("cgroup-v1", "cgroup-v2", "engine")
        else Finding("freezer", "cgroup or engine", box.facts.freezer, "fails")
    )
    return [*findings, await _freeze(box)]


async def _freeze(box: Box) -> Finding:
    """Freeze the box while a program in it watches the clock: it must miss the time."""
    gaps: list[float] = []

    async def watch() -> None:
        result = await box.run(["python3", "-c", _TICKING], timeout_seconds=30.0)
        gaps.append(float(result.stdout or b"0"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await trio.sleep(0.4)
        took = await box.freeze()
        await trio.sleep(_HELD_SECONDS)
        await box.thaw()
    seen = f"confirmed in {took * 1000:.2f} ms; a program in it missed {gaps[0]:.2f} s"
    return Finding(
        "freeze",
        f"confirmed, and no instruction for {_HELD_SECONDS} s",
        seen,
        _verdict(gaps[0] >= 0.95 * _HELD_SECONDS),
    )


def _verdict(holds: bool | None) -> Verdict:
    return "unknown" if holds is None else "holds" if holds else "fails"


_HELD_SECONDS = 0.3

_TICKING = """
import time
began = last = time.monotonic()
most = 0.0
while last < began + 1.5:
    time.sleep(0.005)
    now = time.monotonic()
    most, last = max(most, now - last), now
print(most)
"""

_INSIDE = """
import json, os, socket
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines()
              if ":\\t" in line)
def writable(folder):
    path = os.path.join(folder, ".probe")
    try:
        open(path, "w").close()
        os.unlink(path)
        return True
    except OSError:
        return False
def reaches(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.settimeout(2)
        try:
            door.connect(address)
        except socket.timeout:
            return "no answer"
        except OSError as exc:
            return os.strerror(exc.errno) if exc.errno else str(exc)
        return "connected"
sockets = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
           "/run/podman/podman.sock", "/run/crio/crio.sock"]
print(json.dumps({
    "devices": sorted(name for _, name in socket.if_nameindex()),
    "outside": reaches(socket.AF_INET, ("192.0.2.1", 80)),
    "caps": {name: int(status[name], 16) for name in status if name.startswith("Cap")},
    "nnp": int(status["NoNewPrivs"]), "seccomp": int(status["Seccomp"]),
    "uids": sorted(set(status["Uid"].split())), "gids": sorted(set(status["Gid"].split())),
    "writable": [f for f in ("/", "/etc", "/usr", "/usr/bin", "/var", "/root") if writable(f)],
    "sockets": [path for path in sockets if os.path.exists(path)],
}))
"""


def _engine_version(facts: Mapping[str, Any]) -> tuple[str, bool | None]:
    version = facts["version"]
    return f"{version['Version']}, API {version['ApiVersion']}, {version['Os']}", None


def _security(facts: Mapping[str, Any], name: str) -> bool:
    return any(f"name={name}" in option for option in facts["info"]["SecurityOptions"] or ())


def _live_restore(facts: Mapping[str, Any]) -> tuple[str, bool | None]:
    if facts["info"]["LiveRestoreEnabled"]:
        return "on", True
    return 'off: write {"live-restore": true} into /etc/docker/daemon.json', False


def _image(facts: Mapping[str, Any]) -> tuple[str, bool | None]:
    if facts["digest"]:
        return str(facts["digest"])[:19], True
    return f"{facts['image']!r} is missing: make it with `make setup`", False


def _gvisor(facts: Mapping[str, Any]) -> tuple[str, bool | None]:
    runtimes = sorted(facts["info"]["Runtimes"])
    if "runsc" in runtimes:
        return "runsc", True
    return "not there (optional: box.runtime: runsc)", None


ENGINE = (
    Probe("engine", "answers", lambda f: (_engine_version(f)[0], True)),
    Probe(
        "cgroup version",
        "1 or 2",
        lambda f: (str(f["info"]["CgroupVersion"]), f["info"]["CgroupVersion"] in ("1", "2")),
    ),
    Probe(
        "storage driver",
        "overlay2 or overlayfs",
        lambda f: (f["info"]["Driver"], f["info"]["Driver"] in ("overlay2", "overlayfs") or None),
    ),
    Probe("live-restore", "on", _live_restore),
    Probe(
        "seccomp",
        "on",
        lambda f: ("on" if _security(f, "seccomp") else "off", _security(f, "seccomp")),
    ),
    Probe(
        "user namespaces",
        "on or off",
        lambda f: ("on" if _security(f, "userns") else "off, boxes run as another user", True),
    ),
    Probe("gVisor", "runsc", _gvisor),
    Probe("image", "there", _image),
)
"""What is asked of the engine."""


def _caps(facts: Mapping[str, Any]) -> tuple[str, bool]:
    held = {name: value for name, value in facts["caps"].items() if value}
    told = ", ".join(f"{name}={value:x}" for name, value in held.items())
    return told or "none", len(facts["caps"]) >= 4 and not held


CONTAINMENT = (
    Probe(
        "network devices",
        "only lo",
        lambda f: (", ".join(f["devices"]) or "none", set(f["devices"]) <= {"lo"}),
    ),
    Probe(
        "way out",
        "unreachable",
        lambda f: (f["outside"], "unreachable" in f["outside"].lower()),
    ),
    Probe("capabilities", "none", _caps),
    Probe("new privileges", "never", lambda f: (f"NoNewPrivs={f['nnp']}", f["nnp"] == 1)),
    Probe("system calls", "filtered", lambda f: (f"Seccomp={f['seccomp']}", f["seccomp"] == 2)),
    Probe(
        "user",
        "not root",
        lambda f: (
            f"uid {'/'.join(f['uids'])}, gid {'/'.join(f['gids'])}",
            "0" not in f["uids"] + f["gids"],
        ),
    ),
    Probe(
        "root file system",
        "read-only",
        lambda f: (
            f"writable: {', '.join(f['writable'])}" if f["writable"] else "read-only",
            not f["writable"],
        ),
    ),
    Probe(
        "engine socket",
        "none",
        lambda f: (", ".join(f["sockets"]) or "none", not f["sockets"]),
    ),
)
"""What is asked inside a box."""
