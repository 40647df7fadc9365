"""The positive controls: containers that are weak on purpose, where the same attempts succeed."""

import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from monastery.runtime.records import BoxLimits, RunId
from monastery.sandbox.bait import Bait
from monastery.sandbox.conformance import LIMITS, PROBES_SECONDS, judge, probes, program
from monastery.sandbox.finding import Finding
from monastery.sandbox.probes.attempt import BARE, HOST, WEAK
from monastery.sandbox.weak import run_weak


async def ask_control(
    level: str,
    image: str,
    bait: Bait,
    *,
    limits: BoxLimits = LIMITS,
    weaker: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Try in a weak container all probes of which that is the control; each should fail."""
    wanted = [probe for probe in probes() if probe.control == level]
    with _weakness(level) as config:
        result = await run_weak(
            RunId(f"control-{secrets.token_hex(4)}"),
            image,
            ["python3", "-I", "-c", _AS_CHILD],
            stdin=program(bait, limits, [probe.name for probe in wanted]),
            timeout_seconds=PROBES_SECONDS,
            weaker={**config, **(weaker or {})},
        )
    return judge(wanted, result)


_AS_CHILD = """
import os, sys
text = sys.stdin.buffer.read()
child = os.fork()
if child == 0:
    exec(compile(text, "probes", "exec"), {"__name__": "__main__"})
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
"""
"""Runs the program below process 1, as a guest does."""


@contextmanager
def _weakness(level: str) -> Iterator[dict[str, Any]]:
    """Make a weak container's configuration, and the harmless things that it mounts."""
    weak = {
        "Sysctls": {
            "net.ipv6.conf.all.disable_ipv6": "0",
            "net.ipv6.conf.default.disable_ipv6": "0",
            "net.ipv6.conf.default.accept_dad": "0",
        }
    }
    bare: dict[str, Any] = {
        "CapAdd": _capabilities(),
        "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "Binds": ["/sys:/sys:rw"],
        "Devices": [
            {"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/kmsg", "CgroupPermissions": "r"}
        ],
    }
    if "CAP_SYS_RESOURCE" in bare["CapAdd"]:
        bare["Ulimits"] = [{"Name": "memlock", "Soft": -1, "Hard": -1}]
    if level != HOST:
        yield {WEAK: weak, BARE: bare}[level]
        return
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        door = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        door.bind(f"{folder}/harmless.sock")
        door.listen(8)
        program = Path(folder, "setuid")
        program.write_bytes(b"#!/bin/true\n")
        program.chmod(0o4755)
        shared = {f"{name}Mode": "host" for name in ("Network", "Pid", "Ipc", "UTS")}
        yield {
            **bare,
            **shared,
            "Binds": [f"{folder}/harmless.sock:/run/docker.sock", f"{folder}:/mnt"],
        }


def _capabilities() -> list[str]:
    """Return all capabilities that this process could have; an engine need not have the others."""
    text = Path("/proc/self/status").read_text()
    bounding = int(text.partition("CapBnd:")[2].split()[0], 16)
    return [f"CAP_{name}" for n, name in enumerate(_CAPABILITIES.split()) if bounding >> n & 1]


_CAPABILITIES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
    WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
"""
"""In the order of their numbers. Source: linux/capability.h."""
