"""Files that lead out of a box, or that tell of its host."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
from typing import Any

from monastery.sandbox.probes.attempt import (
    BARE,
    HOST,
    WEAK,
    Probe,
    Seen,
    closed,
    found,
    opened,
    opens,
    refused,
)
from monastery.sandbox.probes.kernelfiles import read_only

ENGINES = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/docker/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/run/user/1000/docker.sock",
    "/run/systemd/private",
    "/run/dbus/system_bus_socket",
)
DEVICES = frozenset(
    """
    console core fd full mqueue net null ptmx pts random shm stderr stdin stdout tty urandom zero
    """.split()  # noqa: SIM905 - a list to be read
)
"""What may lie in /dev; `net` is an empty folder of gVisor's."""
WRITABLE = ("/work", "/tmp", "/run", "/dev/shm", "/dev/mqueue")  # noqa: S108 - the box's own


def _engine_sockets(given: dict[str, Any]) -> Seen:
    answers = []
    for path in ENGINES:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(1.0)
            try:
                door.connect(path)
            except OSError as exc:
                if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
                    answers.append(f"{path} ({refused(exc)})")
            else:
                answers.append(f"{path} (answers)")
    return found(answers, "none")


def _of_guest(name: str, flags: int) -> Any:
    """Return an attempt to open something of process 1's."""

    def attempt(given: dict[str, Any]) -> Seen:
        path = f"/proc/1/{name}"
        try:
            fd = os.open(path, flags)
        except OSError as exc:
            return closed(refused(exc))
        os.close(fd)
        return opened(f"{path} can be opened")

    return attempt


def _devices(given: dict[str, Any]) -> Seen:
    return found([f"/dev/{name}" for name in sorted(set(os.listdir("/dev")) - DEVICES)], "none")


def _raw_devices(given: dict[str, Any]) -> Seen:
    """Open each block device, and the character devices that are as good, for reading."""
    doors = []
    for folder, _, names in os.walk("/dev"):
        for name in names:
            path = os.path.join(folder, name)
            try:
                mode = os.stat(path).st_mode
            except OSError:
                continue
            deep = name in ("mem", "kmem", "port", "kmsg", "kvm", "fuse", "tun", "loop-control")
            if (stat.S_ISBLK(mode) or deep) and opens(path, os.O_RDONLY):
                doors.append(path)
    return found(doors, "none")


def _writable(given: dict[str, Any]) -> Seen:
    """Make a file in every folder that there is."""
    doors = []
    for folder, below, _ in os.walk("/"):
        if folder.startswith(("/proc", *WRITABLE)):
            below.clear()
            continue
        path = os.path.join(folder, ".monastery-probe")
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.unlink(path)
        except OSError:
            continue
        doors.append(folder)
        if len(doors) > 20:
            break
    return found(doors, f"none but {' '.join(WRITABLE)}")


def _processes(given: dict[str, Any]) -> Seen:
    """Look for processes that are none of a box's."""
    strangers = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/comm") as file:
                    comm = file.read().strip()
            except OSError:
                continue
            if not comm.startswith(("python", "pytest")):
                strangers.append(f"{name} {comm}")
    return found(strangers, "only this box's")


def _host_ipc(given: dict[str, Any]) -> Seen:
    """Find a piece of shared memory that the host made for us to find."""
    if given["shared_memory"] is None:
        return Seen("the engine is not on this machine: nothing is shared", None)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.shmget(given["shared_memory"], 0, 0) >= 0:
        return opened("the host's shared memory is there")
    return closed(errno.errorcode.get(ctypes.get_errno(), "not there"))


def _names(given: dict[str, Any]) -> Seen:
    """Look for the host's name, and for its name servers."""
    texts = {"environment": "\n".join(f"{k}={v}" for k, v in os.environ.items())}
    texts["host name"] = os.uname().nodename
    for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/proc/version"):
        try:
            with open(path) as file:
                texts[path] = file.read()
        except OSError:
            continue
    names = [name for name in given["host_names"] if name]
    leaks = [
        f"{name} in {where}"
        for where, text in texts.items()
        for name in names
        if name in text.replace("=", " ").split() or (len(name) > 6 and name in text)
    ]
    servers = [line.split() for line in texts.get("/etc/resolv.conf", "").splitlines()]
    leaks += [
        f"name server {words[1]}"
        for words in servers
        if words[:1] == ["nameserver"] and len(words) > 1 and not words[1].startswith("127.")
    ]
    leaks += [f"domain {' '.join(words[1:])}" for words in servers if words[:1] == ["search"]]
    return found(leaks, "none")


def _container_id(given: dict[str, Any]) -> Seen:
    """Look for the container's own name where programs look for it."""
    leaks = []
    with open("/proc/self/cgroup") as file:
        if any(len(part) >= 32 for part in file.read().replace("\n", "/").split("/")):
            leaks.append("/proc/self/cgroup")
    name = os.uname().nodename
    if len(name) == 12 and not set(name) - set("0123456789abcdef"):
        leaks.append("host name")
    return found(leaks, "not in cgroup or host name")


def _environment(given: dict[str, Any]) -> Seen:
    known = [
        "HOME",
        "LANG",
        "LC_CTYPE",
        "MONASTERY_JOB",
        "MONASTERY_SOCKET",
        "PATH",
        "PYTHONPATH",
        "PWD",
    ]
    return found(sorted(set(os.environ) - set(known)), "nothing but its own")


_READ, _WRITE = os.O_RDONLY, os.O_WRONLY

PROBES = (
    Probe("engine sockets", "none", HOST, _engine_sockets),
    Probe("guest's stdout", "refused", BARE, _of_guest("fd/1", _WRITE)),
    Probe("guest's stdin", "refused", BARE, _of_guest("fd/0", _READ)),
    Probe("guest's memory file", "refused", BARE, _of_guest("mem", _READ)),
    Probe("guest's environment", "refused", BARE, _of_guest("environ", _READ)),
    Probe("guest's root folder", "refused", BARE, _of_guest("root", _READ)),
    Probe("guest's working folder", "refused", BARE, _of_guest("cwd", _READ)),
    Probe("guest's memory map", "refused", BARE, _of_guest("maps", _READ)),
    Probe("guest's namespaces", "refused", BARE, _of_guest("ns/mnt", _READ)),
    Probe("guest's descriptors listed", "refused", BARE, _of_guest("fd", _READ)),
    Probe("device nodes", "none but the usual", BARE, _devices),
    Probe("raw devices", "none opens", BARE, _raw_devices),
    Probe("root file system", "read-only", WEAK, read_only("/etc", "/usr/bin", deep=False)),
    Probe("writable folders", "none but its own", WEAK, _writable),
    Probe("host's processes", "none", HOST, _processes),
    Probe("host's shared memory", "none", HOST, _host_ipc),
    Probe("host's names", "none", HOST, _names),
    Probe("container's name", "none", WEAK, _container_id),
    Probe("environment", "nothing but its own", WEAK, _environment),
)
"""What is tried with files."""
