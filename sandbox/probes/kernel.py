"""System calls that lead out of a box, or far into the kernel: each is made, in a harmless form.

Where a call asks for a right before it looks at its arguments, nonsense is passed: refused is
closed, and being told of the nonsense is open.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import stat
import tempfile
from typing import Any

from monastery.sandbox.probes.attempt import (
    BARE,
    CLOSED,
    WEAK,
    Probe,
    Seen,
    call,
    call_number,
    closed,
    found,
    opened,
    reaches,
    refused,
)

_INVALID = -1


def _read_guest(given: dict[str, Any]) -> Seen:
    """Read a byte of process 1 at an address that is nobody's: rights are asked for before."""
    ours = ctypes.create_string_buffer(8)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(ours), 8)
    theirs = (ctypes.c_size_t * 2)(0x1000, 8)
    result, error = call(given, "process_vm_readv", 1, local, 1, theirs, 1, 0)
    word = errno.errorcode.get(error, str(error))
    if result == -1 and error in CLOSED:
        return closed(word)
    return opened(f"process 1 can be read ({word})")


def _steal_descriptor(given: dict[str, Any]) -> Seen:
    handle, error = call(given, "pidfd_open", 1, 0)
    if handle == -1:
        return closed(f"pidfd_open: {errno.errorcode.get(error, error)}")
    return reaches("pidfd_getfd", handle, 1, 0)(given)


def _by_handle(given: dict[str, Any]) -> Seen:
    """Open the root folder by its handle, and not by its path."""
    handle = ctypes.create_string_buffer(b"\x80\0\0\0\0\0\0\0" + bytes(128), 136)
    mount = ctypes.c_int()
    result, error = call(
        given, "name_to_handle_at", -100, b"/etc/hostname", handle, ctypes.byref(mount), 0
    )
    if result == -1 and error not in CLOSED:
        return Seen(f"no handle was to be had: {errno.errorcode.get(error, error)}", None)
    folder = os.open("/etc/hostname", os.O_RDONLY)
    return reaches("open_by_handle_at", folder, handle, os.O_RDONLY)(given)


def _userfault(given: dict[str, Any]) -> Seen:
    return reaches("userfaultfd", 1 | os.O_CLOEXEC)(given)  # 1: of user mode only


def _uring(given: dict[str, Any]) -> Seen:
    return reaches("io_uring_setup", 4, ctypes.create_string_buffer(256))(given)


def _bpf(given: dict[str, Any]) -> Seen:
    """Make an array of one entry."""
    attr = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
    return reaches("bpf", 0, attr, ctypes.sizeof(attr))(given)


def _perf(given: dict[str, Any]) -> Seen:
    """Count our own task's clock ticks."""
    attr = (ctypes.c_uint32 * 32)(1, 128)
    attr[10] = 0x60  # exclude the kernel and the hypervisor
    return reaches("perf_event_open", attr, 0, -1, -1, 0)(given)


def _adjtimex(given: dict[str, Any]) -> Seen:
    """Read the clock's discipline; setting it is the same call."""
    return reaches("clock_adjtime", 0, ctypes.create_string_buffer(512))(given)


def _hostname(given: dict[str, Any]) -> Seen:
    name = os.uname().nodename.encode()
    return reaches("sethostname", name, len(name))(given)


def _domainname(given: dict[str, Any]) -> Seen:
    name = b"(none)"  # what it is where nobody set one
    if os.path.exists("/proc/sys/kernel/domainname"):
        with open("/proc/sys/kernel/domainname", "rb") as file:
            name = file.read().strip()
    return reaches("setdomainname", name, len(name))(given)


def _device(kind: int, name: str) -> Any:
    def attempt(given: dict[str, Any]) -> Seen:
        with tempfile.TemporaryDirectory() as folder:
            try:
                os.mknod(f"{folder}/{name}", kind | 0o600, os.makedev(1, 3))
            except OSError as exc:
                return closed(refused(exc))
        return opened("a device file was made")

    return attempt


_TRAMPOLINES = (335, 336)
"""On x86_64 the kernel's own uretprobe and uprobe: they kill every other caller, filter or not."""


def _sweep(given: dict[str, Any]) -> Seen:
    """Make every call that is not on the list, and all numbers that no kernel has yet.

    With arguments that no call accepts. Those of the list are told apart by ENOSYS, which the
    kernel itself says only where it was built without the call.
    """
    table = given["numbers"].get(os.uname().machine)
    if table is None:
        return Seen(f"no table of system calls for {os.uname().machine}", None)
    names = {number: name for name, number in table.items()}
    allowed = {table[name] for name in given["allowed"] if name in table}
    reached = []
    for number in range(512):
        if number in allowed or number in _TRAMPOLINES:
            continue
        result, error = call_number(number, *([_INVALID] * 6))
        # Of numbers without a name the engine's compiler of filters decides the errno.
        silent = (errno.ENOSYS,) if number in names else (errno.ENOSYS, errno.EPERM)
        if result != -1 or error not in silent:
            reached.append(names.get(number, str(number)))
    return found(reached, f"ENOSYS from all {512 - len(allowed) - len(_TRAMPOLINES)}", most=200)


def _machine_code(code: bytes) -> tuple[int | None, int]:
    """Run a few instructions in a child; return what they returned, and the signal that ended it.

    Only the lowest seven bits come back.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        os.write(write_end, b"%d" % result)
        os._exit(0)
    os.close(write_end)
    status = os.waitpid(child, 0)[1]
    said = os.read(read_end, 64)
    os.close(read_end)
    return (int(said) if said else None), os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _of_32_bits(given: dict[str, Any]) -> Seen:
    """Ask for our process number by int 0x80, past a filter that knows only one word size."""
    result, ended = _machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    if result is not None and result > 0:
        return opened("int 0x80 was answered")
    return closed(f"signal {ended}" if ended else f"error {result}")


def _of_x32(given: dict[str, Any]) -> Seen:
    child = os.fork()
    if child == 0:
        os._exit(42 if call_number(39 | 0x40000000)[0] > 0 else 0)
    status = os.waitpid(child, 0)[1]
    return opened("answered") if status == 42 << 8 else closed("refused or killed")


_NULL = 0

PROBES = (
    Probe("ptrace", "refused", WEAK, reaches("ptrace", 0, 0, 0, 0)),
    Probe("ptrace of the guest", "refused", BARE, reaches("ptrace", 0x4206, 1, 0, 0)),
    Probe("memory of the guest", "refused", BARE, _read_guest),
    Probe("descriptors of the guest", "refused", BARE, _steal_descriptor),
    Probe("kcmp with the guest", "refused", BARE, reaches("kcmp", 1, os.getpid(), 1, 0, 0)),
    Probe("keyctl", "refused", BARE, reaches("keyctl", 0, -3, 0)),
    Probe("request_key", "refused", BARE, reaches("request_key", b"user", b"x", _NULL, 0)),
    Probe("bpf", "refused", BARE, _bpf),
    Probe("perf_event_open", "refused", BARE, _perf),
    Probe("userfaultfd", "refused", BARE, _userfault),
    Probe("io_uring", "refused", BARE, _uring),
    Probe("asynchronous I/O", "refused", WEAK, reaches("io_setup", 1, -1)),
    Probe("vmsplice", "refused", WEAK, reaches("vmsplice", -1, 0, 0, 0)),
    Probe("open_by_handle_at", "refused", BARE, _by_handle),
    Probe("init_module", "refused", BARE, reaches("init_module", _NULL, 0, b""), "CONFIG_MODULES"),
    Probe("finit_module", "refused", BARE, reaches("finit_module", -1, b"", 0), "CONFIG_MODULES"),
    Probe("kexec_load", "refused", BARE, reaches("kexec_load", 0, 99, _NULL, 0), "CONFIG_KEXEC"),
    Probe("reboot", "refused", BARE, reaches("reboot", 1, 2, 3, 0)),
    Probe("swapon", "refused", BARE, reaches("swapon", b"/nonexistent", 0)),
    Probe("syslog", "refused", BARE, reaches("syslog", 10, _NULL, 0)),
    Probe("clock_settime", "refused", BARE, reaches("clock_settime", 0, _NULL)),
    Probe("clock discipline", "refused", BARE, _adjtimex),
    Probe("sethostname", "refused", BARE, _hostname),
    Probe("setdomainname", "refused", BARE, _domainname),
    Probe("quotactl", "refused", BARE, reaches("quotactl", 0, b"/dev/null", 0, _NULL)),
    Probe("memory placement", "refused", BARE, reaches("set_mempolicy", 0, _NULL, 0)),
    Probe("flush of all disks", "refused", WEAK, reaches("syncfs", -1)),
    Probe("address randomisation off", "refused", BARE, reaches("personality", 0x0040000)),
    Probe(
        "I/O ports",
        "refused",
        BARE,
        reaches("ioperm", 0x80, 1, 1),
        "CONFIG_X86_IOPL_IOPERM",
        "x86_64",
    ),
    Probe("SysV messages", "refused", WEAK, reaches("msgget", 0, 0o600)),
    Probe("32-bit system calls", "killed", WEAK, _of_32_bits, "", "x86_64"),
    Probe("x32 system calls", "refused", BARE, _of_x32, "CONFIG_X86_X32_ABI", "x86_64"),
    Probe("every call not on the list", "ENOSYS", WEAK, _sweep),
    Probe("block device made", "refused", WEAK, _device(stat.S_IFBLK, "disk")),
    Probe("character device made", "refused", WEAK, _device(stat.S_IFCHR, "null")),
)
"""What is tried against the kernel's walls."""
