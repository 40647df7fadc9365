"""What the box's processes are, and how much they may use."""

from __future__ import annotations

import errno
import mmap
import os
import resource
import signal
import time
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


def _priority(given: dict[str, Any]) -> Seen:
    """Take a better place in the queue than we were given."""
    try:
        os.nice(-1)
    except OSError as exc:
        return closed(refused(exc))
    return opened("the priority was raised")


def _real_time(given: dict[str, Any]) -> Seen:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError as exc:
        return closed(refused(exc))
    return opened("real-time scheduling was had")


def _processes(given: dict[str, Any]) -> Seen:
    """Fork more often than the limit allows, and take all back: the next probe forks too."""
    most = given["limits"]["pids"] + 64
    made: list[int] = []
    try:
        while len(made) < most:
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            made.append(child)
    except OSError as exc:
        return closed(f"{refused(exc)} after {len(made)}")
    finally:
        for child in made:
            os.kill(child, signal.SIGKILL)
        for child in made:
            os.waitpid(child, 0)
    return opened(f"{most} were made")


def _memory(given: dict[str, Any]) -> Seen:
    """Touch more memory than the limit allows, in a child that the kernel should kill."""
    wanted = given["limits"]["memory_bytes"] + (64 << 20)
    child = os.fork()
    if child == 0:
        pages = mmap.mmap(-1, wanted)
        for at in range(0, wanted, 4096):
            pages[at] = 1
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return closed("killed")
    return Seen(f"{wanted} bytes were touched", os.WIFEXITED(status) and not os.WEXITSTATUS(status))


def _throttled() -> int | None:
    """Return how often this cgroup was held back; None where it is not told."""
    for folder in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"):
        try:
            with open(f"{folder}/cpu.stat") as file:
                lines = dict(line.split() for line in file)
        except OSError:
            continue
        if "nr_throttled" in lines:
            return int(lines["nr_throttled"])
    return None


def _quota() -> float | None:
    """Return how many CPUs the kernel says that we may use; infinite without a limit."""
    for path in (
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us",
        "/sys/fs/cgroup/cpu.max",
    ):
        try:
            with open(path) as file:
                words = file.read().split()
            if len(words) == 1:
                with open(path.replace("quota", "period")) as file:
                    words += file.read().split()
        except OSError:
            continue
        return float("inf") if words[0] in ("max", "-1") else int(words[0]) / int(words[1])
    return None


def _cpu(given: dict[str, Any]) -> Seen:
    """Compute on twice as many CPUs as there are to have, until we are held back or have more.

    On a busy machine we get less than the limit and are never held back; then the kernel's own
    word must do.
    """
    limit = given["limits"]["cpus"]
    before = _throttled()
    for _ in range(6):
        cpus = _spin(2 * max(1, round(limit)))
        after = _throttled()
        told = f"{cpus:.2f} CPUs used of {limit:g}"
        if before is not None and after is not None and after > before:
            return closed(f"{told}, held back {after - before} times")
        if cpus > 1.5 * limit:
            return opened(told)
    quota = _quota()
    if quota is None:
        return Seen(told, None)
    return Seen(f"{told}; the kernel allows {quota:g}", quota > 1.01 * limit)


def _spin(count: int) -> float:
    """Compute for a while in so many processes; return how many CPUs they had."""
    began, used_before = time.monotonic(), _used_by_children()
    for _ in range(count):
        if os.fork() == 0:
            while time.monotonic() < began + 0.4:
                pass
            os._exit(0)
    for _ in range(count):
        os.wait()
    return (_used_by_children() - used_before) / (time.monotonic() - began)


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _files(given: dict[str, Any]) -> Seen:
    """Open more files than the limit allows, with all of it that can be had."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    wanted = 8192
    for count in range(wanted):
        try:
            os.open("/dev/null", os.O_RDONLY)
        except OSError as exc:
            return closed(f"{refused(exc)} after {count}")
    return opened(f"{wanted} were opened")


def _long_file(given: dict[str, Any]) -> Seen:
    """Write one byte past the longest file, sparsely."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = "/work/.monastery-probe-long" if os.path.isdir("/work") else "/tmp/long"  # noqa: S108
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.unlink(path)
    try:
        os.pwrite(fd, b"x", given["limits"]["disk_bytes"] + 1)
    except OSError as exc:
        return closed(refused(exc))
    return opened("a longer file was made")


def _room(folder: str, most_bytes: str) -> Any:
    """Return an attempt to write more into a folder than it may hold, in files of 16 MiB."""

    def attempt(given: dict[str, Any]) -> Seen:
        limit = min(given["limits"]["memory_bytes"], given["limits"][most_bytes])
        piece, written = bytes(1 << 20), 0
        try:
            while written <= limit:
                if written % (16 << 20) == 0:
                    path = f"{folder}/.monastery-probe"
                    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
                    os.unlink(path)  # the space is ours until this process ends
                written += os.write(fd, piece)
        except OSError as exc:
            return closed(f"{refused(exc)} after {written >> 20} MiB")
        return opened(f"{written >> 20} MiB were written")

    return attempt


def _inodes(folder: str) -> Any:
    """Return an attempt to use up inodes that nothing but memory would bound."""

    def attempt(given: dict[str, Any]) -> Seen:
        disk = os.statvfs(folder)
        if disk.f_files == 0 or disk.f_files > 70000:
            return opened(f"room for {disk.f_files or 'any number of'} files")
        return closed(f"room for {disk.f_files}")

    return attempt


def _mount_flags(given: dict[str, Any]) -> Seen:
    """Look for a writable mount on which devices or setuid programs would work."""
    loose = []
    for folder in ("/tmp", "/run", "/dev/shm"):  # noqa: S108 - the box's own
        flags = os.statvfs(folder).f_flag
        loose += [f"{folder} allows setuid"] if not flags & os.ST_NOSUID else []
        loose += [f"{folder} allows devices"] if not flags & os.ST_NODEV else []
    return found(loose, "none")


def _locked(given: dict[str, Any]) -> Seen:
    """Lock memory without a bound."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    if limit == resource.RLIM_INFINITY:
        return opened("without a bound")
    return closed(f"at most {limit} bytes")


def _out_of_memory_score(given: dict[str, Any]) -> Seen:
    """Hide from the kernel's choice of whom to kill for memory."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("-1000")
    except OSError as exc:
        code = exc.errno or errno.EIO
        return closed(errno.errorcode.get(code, str(code)))
    return opened("we would be killed last")


PROBES = (
    Probe("higher priority", "refused", BARE, _priority),
    Probe("real-time scheduling", "refused", BARE, _real_time, "CONFIG_RT_GROUP_SCHED=n"),
    Probe("out-of-memory score", "refused", BARE, _out_of_memory_score, "CAP_SYS_RESOURCE"),
    Probe("processes", "bounded", WEAK, _processes),
    Probe("memory", "bounded", WEAK, _memory),
    Probe("CPU", "bounded", WEAK, _cpu),
    Probe("open files", "bounded", WEAK, _files),
    Probe("length of a file", "bounded", WEAK, _long_file),
    Probe("size of /tmp", "bounded", WEAK, _room("/tmp", "tmp_bytes")),  # noqa: S108
    Probe("size of /run", "bounded", WEAK, _room("/run", "run_bytes")),
    Probe("size of /dev/shm", "bounded", HOST, _room("/dev/shm", "shm_bytes")),  # noqa: S108
    Probe("files in /tmp", "bounded", WEAK, _inodes("/tmp")),  # noqa: S108 - the box's own
    Probe("files in /run", "bounded", WEAK, _inodes("/run")),
    Probe("mounts that are writable", "nosuid, nodev", WEAK, _mount_flags),
    Probe("locked memory", "bounded", BARE, _locked, "CAP_SYS_RESOURCE"),
)
"""What is tried with the limits."""
