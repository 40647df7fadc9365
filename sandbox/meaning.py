"""What a finding means on an engine of another kind than the probes were written for."""

from dataclasses import replace

from monastery.sandbox.conformance import LIMITS
from monastery.sandbox.finding import Finding
from monastery.sandbox.probes import kernelfiles, namespaces

GVISOR_LIMITS = replace(LIMITS, memory_bytes=512 << 20, pids=512, cpus=1.0)
"""Of gVisor's boxes: its own kernel is a program whose memory and threads are counted too."""

EXPLOSIVE = ("processes", "memory")
"""Where gVisor's whole box ends when the limit is reached: tried in boxes of their own."""

BY_GVISOR = frozenset(
    [
        *(f"setns {name}" for name in namespaces.NAMESPACES),
        *(f"unshare {name}" for name in namespaces.NAMESPACES if name != "network"),
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

BY_NAMESPACE = ("release_agent", "devices.allow", "cgroup.procs", "cgroup limits")
"""Control files of cgroups, which engines with user namespaces mount writable: their owner is the
host's root, a user that does not exist in the box. Not even its root may write them."""

_READ_ONLY = ("root file system", "/sys", "settings of the kernel")
"""gVisor asks for rights before it says that a mount is read-only: only a real door counts."""
_KEPT = (kernelfiles.RIGHTS, kernelfiles.NAMESPACE)


def by_gvisor(finding: Finding) -> Finding:
    """Return what a finding means under gVisor: a door into its own kernel is not one out of it."""
    if finding.verdict == "holds" or finding.probe not in BY_GVISOR:
        return finding
    doors = finding.seen.split(", ")
    if finding.probe in _READ_ONLY and not all(door.startswith(_KEPT) for door in doors):
        return finding
    return replace(finding, seen=f"gVisor's kernel answers: {finding.seen}", verdict="unknown")


def by_user_namespace(finding: Finding) -> Finding:
    """Return what a finding means where the box's users are not the host's."""
    doors = finding.seen.split(", ")
    kept = all(door.startswith(kernelfiles.NAMESPACE) for door in doors)
    if finding.verdict != "fails" or finding.probe not in BY_NAMESPACE or not kept:
        return finding
    return replace(
        finding, seen="mounted writable, and kept by the user namespace", verdict="holds"
    )
