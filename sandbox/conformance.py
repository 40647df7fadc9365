"""Whether a box holds: the probes are sent into it, and what they saw is judged.

A probe that crashed, or did not answer, is unknown: never "holds". Its positive control is a
container that is weak on purpose (`control`), where the same attempt must succeed.
"""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monastery.runtime.errors import BadInput, BoxError
from monastery.runtime.ports import Cell
from monastery.runtime.records import BoxLimits, CommandResult
from monastery.sandbox import hardening, seccomp
from monastery.sandbox.bait import Bait
from monastery.sandbox.finding import Finding, Verdict
from monastery.sandbox.probes import (
    attempt,
    egress,
    files,
    identity,
    kernel,
    kernelfiles,
    limits,
    namespaces,
)
from monastery.sandbox.probes.attempt import Probe

GROUPS: dict[str, tuple[Probe, ...]] = {
    "egress": egress.PROBES,
    "namespaces and mounts": namespaces.PROBES,
    "kernel": kernel.PROBES,
    "kernel's files": kernelfiles.PROBES,
    "files": files.PROBES,
    "identity": identity.PROBES,
    "limits": limits.PROBES,
}
"""Every probe that runs inside a box, by what it is about."""

LIMITS = BoxLimits(memory_bytes=128 << 20, cpus=0.5, pids=96, disk_bytes=64 << 20)
"""Of the boxes that are tried: small, so that reaching a limit costs little."""

PROBES_SECONDS = 240.0
"""How long all attempts together may take: 1 s is usual, 9 s under gVisor; the rest is for machines
on which much else runs."""

_MODULES = (attempt, egress, namespaces, kernel, kernelfiles, files, identity, limits)


def probes() -> Iterator[Probe]:
    """Yield every probe that runs inside a box."""
    for group in GROUPS.values():
        yield from group


async def ask(
    cell: Cell, bait: Bait, *, limits: BoxLimits = LIMITS, only: Sequence[str] = ()
) -> list[Finding]:
    """Try everything in a box, and judge it.

    Args:
        limits: Those that the box was made with.
        only: The names of the probes to try; all, if it is empty.
    """
    wanted = [probe for probe in probes() if not only or probe.name in only]
    try:
        result = await cell.run(
            ["python3", "-I", "-"],
            stdin=program(bait, limits, [probe.name for probe in wanted]),
            timeout_seconds=PROBES_SECONDS,
        )
    except (BoxError, BadInput) as exc:
        return [_unanswered(probe, f"the box broke: {exc}") for probe in wanted]
    return judge(wanted, result)


def judge(wanted: Sequence[Probe], result: CommandResult) -> list[Finding]:
    """Return what a run of the program found; silence is unknown."""
    try:
        said = {one["probe"]: one for one in json.loads(result.stdout)}
    except (ValueError, TypeError, KeyError):
        words = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["nothing"]
        return [_unanswered(probe, f"the probes did not answer: {words[0]}") for probe in wanted]
    return [
        Finding(probe.name, probe.expected, said[probe.name]["seen"], _verdict(said[probe.name]))
        if probe.name in said
        else _unanswered(probe, "not answered")
        for probe in wanted
    ]


def _verdict(said: Mapping[str, Any]) -> Verdict:
    is_open = said["open"]
    return "fails" if is_open is True else "holds" if is_open is False else "unknown"


def _unanswered(probe: Probe, why: str) -> Finding:
    return Finding(probe.name, probe.expected, why, "unknown")


def program(bait: Bait, limits: BoxLimits, names: Sequence[str]) -> bytes:
    """Return the one program that makes the attempts with these names and prints what it saw."""
    sent = {
        "modules": [
            (module.__name__, Path(str(module.__file__)).read_text()) for module in _MODULES
        ],
        "names": list(names),
        "given": {
            "numbers": seccomp.numbers(),
            "allowed": seccomp.allowed(),
            "masked": list(hardening.MASKED),
            "limits": {
                **asdict(limits),
                "tmp_bytes": hardening.tmp_bytes(limits),
                "run_bytes": hardening.RUN_BYTES,
                "shm_bytes": hardening.shm_bytes(limits),
            },
            "abstract": bait.abstract,
            "shared_memory": bait.shared_memory,
            "neighbour": bait.neighbour,
            "gateways": list(bait.gateways) or ["172.17.0.1"],
            "host_names": [socket.gethostname()],
        },
    }
    return _PROGRAM.format(sent=json.dumps(sent)).encode()


_PROGRAM = """
import json, sys, types
sent = json.loads({sent!r})
for name, text in sent["modules"]:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
rooms = [sys.modules[name] for name, _ in sent["modules"]]
probes = [probe for room in rooms for probe in getattr(room, "PROBES", ())]
wanted = [probe for probe in probes if probe.name in sent["names"]]
json.dump(rooms[0].run_all(wanted, sent["given"]), sys.stdout)
"""
