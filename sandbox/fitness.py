"""Whether an engine is fit: what a box needs of it, and what the machine has besides.

A promise that the engine cannot keep is said, and nothing is run, unless the project waives that
promise by name; the waiver is in the run's record.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from monastery.runtime.errors import Unfit
from monastery.runtime.records import Promise
from monastery.sandbox import disk
from monastery.sandbox.finding import Finding, Verdict

MIN_API = (1, 41)
"""Docker 20.10: private cgroup namespaces, and filters that can answer ENOSYS."""

PROMISES: tuple[Promise, ...] = get_args(Promise)

_KEPT: Mapping[Promise, str] = {
    "version": "Docker 20.10 or later",
    "seccomp": "our list of system calls is applied",
    "memory": "bounded",
    "swap": "counts as memory",
    "cpus": "bounded",
    "pids": "bounded",
    "disk": "the work folder is a file system of its own",
}
_CGROUPS = "mount that cgroup, or delegate it to the engine's user (rootless engines need cgroup 2)"
_LIMITS: Sequence[tuple[Promise, str, str]] = (
    ("memory", "MemoryLimit", f"no memory limits; {_CGROUPS}"),
    ("swap", "SwapLimit", "swap is not limited; boot with swapaccount=1, or swapoff -a"),
    ("cpus", "CpuCfsQuota", f"no CPU limits; {_CGROUPS}"),
    ("pids", "PidsLimit", f"no limit on processes; {_CGROUPS}"),
)


def lost(version: Mapping[str, Any], info: Mapping[str, Any]) -> dict[Promise, str]:
    """Return the promises that an engine cannot keep: why, and the mend.

    Args:
        version, info: What the engine says of itself.
    """
    found: dict[Promise, str] = {}
    api = tuple(int(part) for part in str(version["ApiVersion"]).split("."))
    if api < MIN_API:
        found["version"] = f"the engine is {version['Version']}; install Docker 20.10 or later"
    if not has(info, "seccomp"):
        found["seccomp"] = "the engine filters no system calls; take one with seccomp (Linux)"
    for promise, key, why in _LIMITS:
        if info.get(key) is False or key not in info:
            found[promise] = why
    unbounded = disk.why_not(info)
    if unbounded is not None:
        found["disk"] = unbounded
    return found


def require(
    version: Mapping[str, Any], info: Mapping[str, Any], waive: Sequence[str]
) -> tuple[Promise, ...]:
    """Return the lost promises that are waived.

    Raises:
        Unfit: One is lost and not waived.
    """
    missing = lost(version, info)
    wanted = {promise: why for promise, why in missing.items() if promise not in waive}
    if wanted:
        told = "; ".join(f"{promise}: {why}" for promise, why in wanted.items())
        raise Unfit(
            f"this engine cannot keep what a box promises: {told}; or do without, and have that"
            f" on record: write `waive: [{', '.join(sorted({*wanted, *waive}))}]` under `box:`"
        )
    return tuple(missing)


def has(info: Mapping[str, Any], name: str) -> bool:
    """Whether the engine has a security option, such as ``seccomp`` or ``userns``."""
    options = [option.split(",")[0] for option in info.get("SecurityOptions") or ()]
    return f"name={name}" in options or name in options


def is_gvisor(runtime: str | None) -> bool:
    """Whether a runtime of this name is gVisor."""
    return "runsc" in (runtime or "")


def is_elsewhere(info: Mapping[str, Any]) -> bool:
    """Whether the engine's own folder is not on this machine."""
    folder = info.get("DockerRootDir")
    return folder is None or not Path(folder).exists()


def examine(
    version: Mapping[str, Any], info: Mapping[str, Any], image: str, digest: str | None
) -> list[Finding]:
    """Return what is to be said of an engine, beginning with what it is."""
    told = f"{version['Version']}, API {version['ApiVersion']}, {version['Os']}"
    found = [Finding("engine", "answers", told, "holds")]
    missing = lost(version, info)
    for promise in PROMISES:
        verdict: Verdict = "fails" if promise in missing else "holds"
        found.append(
            Finding(f"engine: {promise}", _KEPT[promise], missing.get(promise, "kept"), verdict)
        )
    cgroup, driver = str(info["CgroupVersion"]), str(info["Driver"])
    quick = driver in ("overlay2", "overlayfs", "overlay")
    found.append(Finding("cgroup version", "1 or 2", cgroup, _known(cgroup in ("1", "2"))))
    found.append(Finding("storage driver", "overlay2 or overlayfs", driver, _known(quick)))
    found += [_live_restore(info), _user_namespaces(info), _gvisor(info)]
    missing_image = f"{image!r} is missing: make it with `make setup`"
    found.append(
        Finding("image", "there", digest[:19], "holds")
        if digest
        else Finding("image", "there", missing_image, "fails")
    )
    return found


def _known(holds: bool) -> Verdict:
    return "holds" if holds else "unknown"


def _live_restore(info: Mapping[str, Any]) -> Finding:
    """Say what becomes of boxes when the engine restarts; runs go on after it in either case."""
    off = 'off (optional): boxes end with the engine; {"live-restore": true} in daemon.json'
    on = bool(info["LiveRestoreEnabled"])
    return Finding("live-restore", "on, where it is wanted", "on" if on else off, _known(on))


def _user_namespaces(info: Mapping[str, Any]) -> Finding:
    on = has(info, "userns") or has(info, "rootless")
    seen = "on" if on else "off (optional: userns-remap); boxes run as a user that is not root"
    return Finding("user namespaces", "on, where there are any", seen, _known(on))


def _gvisor(info: Mapping[str, Any]) -> Finding:
    there = "runsc" in info["Runtimes"]
    seen = "there: `box: {runtime: runsc}`" if there else "not there (optional)"
    return Finding("gVisor", "runsc, where there is any", seen, _known(there))
