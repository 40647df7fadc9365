"""Whether a box holds: the probes are sent into it, and what they saw is judged.

A probe that crashed, or did not answer, is unknown: never "holds". Its positive control is a
container that is weak on purpose, where the same attempt must succeed.
"""

import ctypes
import json
import secrets
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from monastery.runtime.errors import BadInput, BoxError
from monastery.runtime.ports import Cell
from monastery.runtime.records import BoxLimits, CommandResult, RunId
from monastery.sandbox import hardening, seccomp
from monastery.sandbox.finding import Finding, Verdict
from monastery.sandbox.probes import attempt, egress, files, kernel, rights
from monastery.sandbox.probes.attempt import BARE, HOST, WEAK, Probe
from monastery.sandbox.weak import run_weak

GROUPS: dict[str, tuple[Probe, ...]] = {
    "egress": egress.PROBES,
    "kernel": kernel.PROBES,
    "files": files.PROBES,
    "rights and limits": rights.PROBES,
}
"""Every probe that runs inside a box, by what it is about."""

LIMITS = BoxLimits(memory_bytes=128 << 20, cpus=0.5, pids=96, disk_bytes=64 << 20)
"""Of the boxes that are tried: small, so that reaching a limit costs little."""

GVISOR_LIMITS = replace(LIMITS, memory_bytes=512 << 20, pids=512, cpus=1.0)
"""Of gVisor's boxes: its own kernel is a program whose memory and threads are counted too."""

EXPLOSIVE = ("processes", "memory")
"""Where gVisor's whole box ends when the limit is reached: tried in boxes of their own."""

BY_GVISOR = frozenset(
    [
        *(f"{verb} {name}" for verb in ("unshare", "setns") for name in kernel.NAMESPACES),
        *("netlink socket", "other socket families", "other protocols", "clone into a namespace"),
        *("ptrace", "perf_event_open", "io_uring", "asynchronous I/O", "open_by_handle_at"),
        *("syslog", "setdomainname", "memory placement", "flush of all disks", "SysV messages"),
        *("address randomisation off", "every call not on the list", "system call filter"),
        *("block device made", "character device made", "device nodes", "raw devices"),
        *("kernel files", "other kernel files", "settings of the kernel", "/sys"),
        *("root file system", "host's shared memory", "capabilities ambient", "new privileges"),
        *("higher priority", "out-of-memory score", "mounts that are writable"),
        *("files in /tmp", "files in /run", "CPU"),
    ]
)
"""What gVisor's own kernel answers, and not the host's: our list of system calls, and what a kernel
does not mask or has not, mean nothing there. A door in it leads into the sentry, a process that is
itself in a sandbox."""

_READ_ONLY = ("root file system", "/sys", "settings of the kernel")
"""gVisor asks for rights before it says that a mount is read-only: only a real door counts."""

_SECONDS = 60.0
_MODULES = (attempt, egress, kernel, files, rights)


@dataclass(frozen=True, slots=True)
class Bait:
    """What the host puts out for probes to find.

    Attributes:
        abstract: An abstract socket's name on which we listen.
        shared_memory: The key of a piece of shared memory; both are None where the engine is not on
            this machine.
        neighbour: Another box that listens: `abstract`, `addresses`, `port`.
    """

    abstract: str | None = None
    shared_memory: int | None = None
    neighbour: Mapping[str, Any] | None = None
    gateways: Sequence[str] = ()


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
            timeout_seconds=_SECONDS,
        )
    except (BoxError, BadInput) as exc:
        return [_unanswered(probe, f"the box broke: {exc}") for probe in wanted]
    return judge(wanted, result)


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
    with _control(level) as config:
        result = await run_weak(
            RunId(f"control-{secrets.token_hex(4)}"),
            image,
            ["python3", "-I", "-c", _AS_CHILD],
            stdin=program(bait, limits, [probe.name for probe in wanted]),
            timeout_seconds=_SECONDS,
            weaker={**config, **(weaker or {})},
        )
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


def is_gvisor(runtime: str | None) -> bool:
    """Whether a runtime of this name is gVisor."""
    return "runsc" in (runtime or "")


def by_gvisor(finding: Finding) -> Finding:
    """Return what a finding means under gVisor: a door into its own kernel is not one out of it."""
    if finding.verdict == "holds" or finding.probe not in BY_GVISOR:
        return finding
    if finding.probe in _READ_ONLY and any(
        "kept by rights only" not in door and not door.endswith(" more")
        for door in finding.seen.split(", ")
    ):
        return finding
    return replace(finding, seen=f"gVisor's kernel answers: {finding.seen}", verdict="unknown")


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
def bait(gateways: Sequence[str] = (), *, local: bool = True) -> Iterator[Bait]:
    """Put out what probes are to find: an abstract socket, and a piece of shared memory."""
    with ExitStack() as stack:
        if not local or sys.platform != "linux":
            yield Bait(gateways=gateways)
            return
        name = f"monastery-{secrets.token_hex(8)}"
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind("\0" + name)
        listener.listen(16)
        key = secrets.randbelow(1 << 30) + 1
        libc = ctypes.CDLL(None, use_errno=True)
        number = libc.shmget(key, 4096, 0o1600)
        if number >= 0:
            stack.callback(libc.shmctl, number, 0, None)
        yield Bait(name, key if number >= 0 else None, None, gateways)


@asynccontextmanager
async def listening(box: Cell, known: Bait) -> AsyncIterator[Bait]:
    """Let another box listen while the block runs; add it to the bait."""
    name = f"monastery-{secrets.token_hex(8)}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(box.run, ["python3", "-c", _LISTENER, name], timeout_seconds=60))
        while True:
            try:
                ready = json.loads(await box.read_file(f"/tmp/{name}"))  # noqa: S108
                break
            except (BadInput, ValueError):
                await trio.sleep(0.01)
        yield replace(known, neighbour={"abstract": name, **ready})
        nursery.cancel_scope.cancel()


_LISTENER = """
import json, os, socket, sys, time
name = sys.argv[1]
door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
door.bind("\\0" + name)
door.listen(8)
tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
tcp.bind(("0.0.0.0", 0))
tcp.listen(8)
try:
    addresses = [a for a in socket.gethostbyname_ex(socket.gethostname())[2] if a[:4] != "127."]
except OSError:
    addresses = []
with open("/tmp/." + name, "w") as file:
    json.dump({"port": tcp.getsockname()[1], "addresses": addresses or ["10.0.0.1"]}, file)
os.rename("/tmp/." + name, "/tmp/" + name)
time.sleep(120)
"""


@contextmanager
def _control(level: str) -> Iterator[dict[str, Any]]:
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
