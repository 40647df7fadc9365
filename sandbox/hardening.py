"""What makes a container a box: the whole of its configuration, in one place.

Each line answers something that was seen to be open without it, and a test takes each away and
sees a probe fail (docs/containment.md).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from monastery.runtime.ports import WORK
from monastery.runtime.records import BoxLimits, BoxSpec
from monastery.sandbox.seccomp import profile_text

RUN_FOLDER = "/run/monastery"
"""The guest's own folder, on a tmpfs."""

RUN_BYTES = 16 << 20
"""How large the tmpfs is on which it lies."""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",  # noqa: S108 - the box's own
    "LANG": "C.UTF-8",
}
"""What commands and the agent find, beside what the image and the project add."""

# The engine's own list, which naming one replaces, and then what tells of the host: how busy it is,
# since when, with which disks; what would tell a box that it was frozen, or another what this does.
MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/buddyinfo",
    "/proc/bus",
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/diskstats",
    "/proc/dma",
    "/proc/driver",
    "/proc/execdomains",
    "/proc/fb",
    "/proc/fs",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/irq",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/loadavg",
    "/proc/locks",
    "/proc/mdstat",
    "/proc/modules",
    "/proc/pagetypeinfo",
    "/proc/partitions",
    "/proc/pressure",
    "/proc/sched_debug",
    "/proc/schedstat",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/softirqs",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/kernel/random/boot_id",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/uptime",
    "/proc/vmallocinfo",
    "/proc/vmstat",
    "/proc/zoneinfo",
    "/sys/block",
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/firmware",
    "/sys/hypervisor",
    "/sys/kernel",
    "/sys/module",
    "/sys/power",
    "/sys/devices/LNXSYSTM:00",
    "/sys/devices/breakpoint",
    "/sys/devices/faux",
    "/sys/devices/intel_pt",
    "/sys/devices/isa",
    "/sys/devices/kprobe",
    "/sys/devices/msr",
    "/sys/devices/pci0000:00",
    "/sys/devices/platform",
    "/sys/devices/pnp0",
    "/sys/devices/power",
    "/sys/devices/software",
    "/sys/devices/tracepoint",
    "/sys/devices/uncore_imc",
    "/sys/devices/uprobe",
    "/sys/devices/virtual",
    "/sys/devices/system/clockevents",
    "/sys/devices/system/clocksource",
    "/sys/devices/system/container",
    "/sys/devices/system/machinecheck",
    "/sys/devices/system/memory",
    "/sys/devices/system/node",
    "/sys/fs/bpf",
    "/sys/fs/btrfs",
    "/sys/fs/erofs",
    "/sys/fs/ext4",
    "/sys/fs/f2fs",
    "/sys/fs/fuse",
    "/sys/fs/pstore",
    "/sys/fs/smackfs",
    "/sys/fs/selinux",
    "/sys/fs/tmpfs",
    "/sys/fs/xfs",
]

_OF_PROMISE = {
    "memory": ("Memory", "MemorySwap"),
    "cpus": ("NanoCpus",),
    "pids": ("PidsLimit",),
}
"""What is left out for a waived promise."""

READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def container_config(
    spec: BoxSpec,
    *,
    argv: Sequence[str],
    volume: str,
    labels: Mapping[str, str],
    image_volumes: Sequence[str] = (),
    stays: bool = False,
) -> dict[str, Any]:
    """Return the body of the Engine API's "create a container".

    The body and not the SDK's parameters, since some of this has none.

    Args:
        argv: The guest's arguments after `python3`.
        image_volumes: Folders for which the image asks volumes; each would be an unbounded disk.
        stays: Whether the guest may outlive its runtime.
    """
    return {
        "Image": spec.image,
        "Entrypoint": ["python3", *argv],
        "Cmd": [],
        "WorkingDir": "/",
        "User": "1000:1000",
        "Hostname": "box",
        "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
        "Labels": dict(labels),
        "Healthcheck": {"Test": ["NONE"]},
        "OpenStdin": True,
        "StdinOnce": not stays,  # when the runtime is gone the guest hears it, and ends
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": _host_config(spec, volume, image_volumes),
    }


def _host_config(spec: BoxSpec, volume: str, image_volumes: Sequence[str]) -> dict[str, Any]:
    limits = spec.limits
    config: dict[str, Any] = {
        "NetworkMode": "none",
        "Dns": ["127.0.0.1"],  # else the host's name servers are told
        "DnsSearch": ["."],
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={profile_text()}"],
        "ReadonlyRootfs": True,
        "MaskedPaths": MASKED,
        "ReadonlyPaths": READ_ONLY,
        "LogConfig": {"Type": "none", "Config": {}},  # else /proc/1/fd/1 fills the host's disk
        "Init": False,  # the guest is
        "RestartPolicy": {"Name": "no"},
        "Tmpfs": _tmpfs(limits, image_volumes),
        "ShmSize": shm_bytes(limits),
        "Mounts": [
            {
                "Type": "volume",
                "Source": volume,
                "Target": WORK,
                "VolumeOptions": {"NoCopy": True},
            }
        ],
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "NanoCpus": int(limits.cpus * 1e9),
        "PidsLimit": limits.pids,
        "Ulimits": [
            {"Name": "nofile", "Soft": 1024, "Hard": 4096},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": limits.disk_bytes, "Hard": limits.disk_bytes},
        ],
    }
    if spec.engine_runtime is not None:
        config["Runtime"] = spec.engine_runtime
    for promise in spec.waive:  # engines refuse to make what they cannot do
        for key in _OF_PROMISE.get(promise, ()):
            config.pop(key)
    if "seccomp" in spec.waive:
        config["SecurityOpt"] = ["no-new-privileges"]
    return config


def shm_bytes(limits: BoxLimits) -> int:
    """Return the size of /dev/shm; it counts as memory."""
    return min(limits.memory_bytes // 4, 64 << 20)


def tmp_bytes(limits: BoxLimits) -> int:
    """Return the size of /tmp; it counts as memory."""
    return min(limits.memory_bytes // 2, 512 << 20)


def _tmpfs(limits: BoxLimits, image_volumes: Sequence[str]) -> dict[str, str]:
    """Return the folders that are writable beside the work folder; they count as memory."""
    options = "rw,exec,nosuid,nodev,nr_inodes=65536"
    large = f"{options},mode=1777,size={tmp_bytes(limits)}"
    found = {"/tmp": large}  # noqa: S108 - the box's own
    found["/run"] = f"{options},uid=1000,gid=1000,mode=0755,size={RUN_BYTES}"
    found.update({folder: large for folder in image_volumes if folder not in (WORK, "/run")})
    return found
