"""Files that lead out of a box, or that tell of its host."""

from __future__ import annotations

import errno
import os
import resource
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
    refused,
)

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
    [
        "console",
        "core",
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
        "net",
    ]
)
"""What may lie in /dev; `net` is an empty folder of gVisor's."""
PROC = frozenset(
    [
        "cgroups",
        "consoles",
        "cpuinfo",
        "crypto",
        "devices",
        "filesystems",
        "kpageflags",
        "meminfo",
        "misc",
        "mounts",
        "mtrr",
        "net",
        "self",
        "sys",
        "sysvipc",
        "thread-self",
        "tty",
        "version",
    ]
)
"""What of /proc may say something: how the machine is made, and not what it does."""
SYS = ("/sys/fs/cgroup", "/sys/devices/system/cpu")
"""What of /sys may say something."""
WRITABLE = ("/work", "/tmp", "/run", "/dev/shm", "/dev/mqueue")  # noqa: S108 - the box's own
_MOST_FILES = 20000


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


def tells(path: str) -> str:
    """Return how much a file or a folder tells; nothing where it is masked or may not be read."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            count = len(os.listdir(path))
            return f"{count} entries" if count else ""
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return "readable" if os.read(fd, 4096) else ""
    except OSError as exc:
        return "" if exc.errno in (errno.EPERM, errno.EACCES, errno.EINVAL) else "readable"
    finally:
        os.close(fd)


def _masked(given: dict[str, Any]) -> Seen:
    """Read each kernel file that is to be masked; write none of them."""
    there = [path for path in given["masked"] if os.path.lexists(path)]
    told = [path for path in there if tells(path)]
    return found(told, f"all {len(there)} that this kernel has", most=200)


def _not_masked(given: dict[str, Any]) -> Seen:
    """Look for files that say something, and of which we did not know."""
    more = [
        f"/proc/{name}"
        for name in os.listdir("/proc")
        if not name.isdigit() and name not in PROC and tells(f"/proc/{name}")
    ]
    for folder, _, names in os.walk("/sys"):
        if not folder.startswith(SYS):
            paths = [os.path.join(folder, name) for name in names]
            more += [path for path in paths if not os.path.islink(path) and tells(path)]
        if len(more) > 100:
            break
    return found(more, "none")


def _writes(path: str) -> str:
    """Return how a file or folder could be changed; nothing where the mount forbids it.

    Setting the mode that it has changes nothing, and asks the mount before it asks for rights.
    """
    try:
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))
    except OSError as exc:
        return f"kept by rights only: {path}" if exc.errno == errno.EPERM else ""
    return path


def _masked_by_null(path: str) -> bool:
    """Whether /dev/null was put over a file, to mask it."""
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


def _read_only(*tops: str, deep: bool) -> Any:
    """Return an attempt to change everything below some folders."""

    def attempt(given: dict[str, Any]) -> Seen:
        doors: list[str] = []
        count = 0
        for top in tops:
            for folder, _, names in os.walk(top):
                if folder.startswith(WRITABLE):
                    continue
                for path in [folder, *(os.path.join(folder, name) for name in names)]:
                    if not os.path.islink(path) and not _masked_by_null(path):
                        count += 1
                        doors += [path for path in (_writes(path),) if path]
                if not deep or count > _MOST_FILES or len(doors) > 20:
                    break
        return found(doors, f"none of {count} can be")

    return attempt


def _switches(given: dict[str, Any]) -> Seen:
    """Open for writing what would run a program outside or change the whole machine."""
    paths = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hotplug",
        "/proc/sys/kernel/sysrq",
        "/proc/sys/kernel/panic",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/vm/drop_caches",
        "/proc/sysrq-trigger",
        "/proc/acpi/wakeup",
        "/sys/kernel/uevent_helper",
        "/sys/kernel/uevent_seqnum",
        "/sys/power/state",
        "/sys/kernel/security/apparmor/.load",
    ]
    return found([path for path in paths if _opens(path)], "none")


def _opens(path: str, flags: int = os.O_WRONLY) -> bool:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _cgroup(*names: str) -> Any:
    """Return an attempt to open control files of every cgroup for writing."""

    def attempt(given: dict[str, Any]) -> Seen:
        doors = []
        for folder, _, there in os.walk("/sys/fs/cgroup"):
            paths = [os.path.join(folder, name) for name in names if name in there]
            for path in paths:
                if _opens(path):
                    doors.append(path)
                elif _writes(path):
                    doors.append(_writes(path))
        return found(doors, "none")

    return attempt


def _cgroup_made(given: dict[str, Any]) -> Seen:
    for folder, _, _ in os.walk("/sys/fs/cgroup"):
        path = os.path.join(folder, "monastery-probe")
        try:
            os.mkdir(path)
            os.rmdir(path)
        except OSError:
            continue
        return opened(f"{path} could be made")
    return closed("none")


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
            if (stat.S_ISBLK(mode) or deep) and _opens(path, os.O_RDONLY):
                doors.append(path)
    return found(doors, "none")


def _core(given: dict[str, Any]) -> Seen:
    """Crash, with all the core limit that can be had."""
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    child = os.fork()
    if child == 0:
        try:
            os.chdir("/tmp")  # noqa: S108 - the box's own
        finally:
            os.abort()
    status = os.waitpid(child, 0)[1]
    if os.WCOREDUMP(status):
        return opened("a core was written")
    return closed("none was written") if most == 0 else opened(f"allowed up to {most}")


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
    with open("/proc/sysvipc/shm") as file:
        keys = {int(line.split()[0]) for line in file.readlines()[1:]}
    if given["shared_memory"] in keys:
        return opened("the host's shared memory is seen")
    return closed("not seen")


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
    Probe("kernel files", "masked", BARE, _masked),
    Probe("other kernel files", "none", BARE, _not_masked),
    Probe("switches of the machine", "none opens", BARE, _switches),
    Probe("settings of the kernel", "read-only", BARE, _read_only("/proc/sys", deep=True)),
    Probe(
        "read-only /proc",
        "read-only",
        BARE,
        _read_only("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger", deep=False),
    ),
    Probe("/sys", "read-only", BARE, _read_only("/sys/devices", "/sys/kernel", deep=True)),
    Probe("release_agent", "refused", BARE, _cgroup("release_agent", "notify_on_release")),
    Probe("devices.allow", "refused", BARE, _cgroup("devices.allow", "devices.deny")),
    Probe("cgroup.procs", "refused", BARE, _cgroup("cgroup.procs", "tasks", "freezer.state")),
    Probe("cgroup limits", "refused", BARE, _cgroup("memory.limit_in_bytes", "memory.max")),
    Probe("new cgroups", "refused", BARE, _cgroup_made),
    Probe("device nodes", "none but the usual", BARE, _devices),
    Probe("raw devices", "none opens", BARE, _raw_devices),
    Probe("core dumps", "none", WEAK, _core),
    Probe("root file system", "read-only", WEAK, _read_only("/etc", "/usr/bin", deep=False)),
    Probe("writable folders", "none but its own", WEAK, _writable),
    Probe("host's processes", "none", HOST, _processes),
    Probe("host's shared memory", "none", HOST, _host_ipc),
    Probe("host's names", "none", HOST, _names),
    Probe("container's name", "none", WEAK, _container_id),
    Probe("environment", "nothing but its own", WEAK, _environment),
)
"""What is tried with files."""
