"""The kernel's own files, /proc, /sys and cgroups: what they tell, and what they would change."""

from __future__ import annotations

import errno
import os
import resource
import stat
from typing import Any

from monastery.sandbox.probes.attempt import (
    BARE,
    WEAK,
    Probe,
    Seen,
    closed,
    found,
    opened,
    opens,
)

PROC = frozenset(
    """
    cgroups consoles cpuinfo crypto devices filesystems kpageflags meminfo misc mounts mtrr net self
    sys sysvipc thread-self tty version
    """.split()  # noqa: SIM905 - a list to be read
)
"""What of /proc may say something: how the machine is made, and not what it does."""
SYS = ("/sys/fs/cgroup", "/sys/devices/system/cpu")
"""What of /sys may say something."""
_MOST_FILES = 20000


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


RIGHTS = "kept by rights only: "
"""What begins a door through which nobody goes who has no rights: the mount would let them pass."""
NAMESPACE = "kept by a user who is not here: "
"""The same, where the owner is none of this user namespace's: not even its root has that right."""
_NOT_HERE = 65534


def _writes(path: str) -> str:
    """Return how a file or folder could be changed; nothing where the mount forbids it.

    Setting the mode that it has changes nothing, and asks the mount before it asks for rights.
    """
    try:
        state = os.stat(path)
        os.chmod(path, stat.S_IMODE(state.st_mode))
    except OSError as exc:
        if exc.errno != errno.EPERM:
            return ""
        return (NAMESPACE if state.st_uid == _NOT_HERE else RIGHTS) + path
    return path


def _by_weight(doors: list[str]) -> list[str]:
    """Put doors that are open before those that rights keep: a long list is cut at its end."""
    return sorted(doors, key=lambda door: door.startswith((RIGHTS, NAMESPACE)))


def _masked_by_null(path: str) -> bool:
    """Whether /dev/null was put over a file, to mask it."""
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


def read_only(*tops: str, deep: bool) -> Any:
    """Return an attempt to change everything below some folders."""

    def attempt(given: dict[str, Any]) -> Seen:
        doors: list[str] = []
        count = 0
        for top in tops:
            for folder, _, names in os.walk(top):
                for path in [folder, *(os.path.join(folder, name) for name in names)]:
                    if not os.path.islink(path) and not _masked_by_null(path):
                        count += 1
                        doors += [path for path in (_writes(path),) if path]
                if not deep or count > _MOST_FILES or len(doors) > 20:
                    break
        return found(_by_weight(doors), f"none of {count} can be")

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
    return found([path for path in paths if opens(path)], "none")


def _cgroup(*names: str) -> Any:
    """Return an attempt to open control files of every cgroup for writing."""

    def attempt(given: dict[str, Any]) -> Seen:
        doors = []
        for folder, _, there in os.walk("/sys/fs/cgroup"):
            paths = [os.path.join(folder, name) for name in names if name in there]
            for path in paths:
                if opens(path):
                    doors.append(path)
                elif door := _writes(path):
                    doors.append(door)
        return found(_by_weight(doors), "none")

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


PROBES = (
    Probe("kernel files", "masked", BARE, _masked),
    Probe("other kernel files", "none", BARE, _not_masked),
    Probe("switches of the machine", "none opens", BARE, _switches),
    Probe("settings of the kernel", "read-only", BARE, read_only("/proc/sys", deep=True)),
    Probe(
        "read-only /proc",
        "read-only",
        BARE,
        read_only("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger", deep=False),
    ),
    Probe("/sys", "read-only", BARE, read_only("/sys/devices", "/sys/kernel", deep=True)),
    Probe("release_agent", "refused", BARE, _cgroup("release_agent", "notify_on_release")),
    Probe("devices.allow", "refused", BARE, _cgroup("devices.allow", "devices.deny")),
    Probe("cgroup.procs", "refused", BARE, _cgroup("cgroup.procs", "tasks", "freezer.state")),
    Probe("cgroup limits", "refused", BARE, _cgroup("memory.limit_in_bytes", "memory.max")),
    Probe("new cgroups", "refused", BARE, _cgroup_made),
    Probe("core dumps", "none", WEAK, _core),
)
"""What is tried with the kernel's files."""
