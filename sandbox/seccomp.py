"""The system calls of a box: which the kernel answers, which it does not, and why.

An allow-list: `seccomp.json` is what the engine is handed, and is derived from this page by
``python -m monastery.sandbox.seccomp``. Everything that is not on it, the calls of later kernels
included, is answered with ENOSYS: programs take that for an older kernel and use another way,
where EPERM makes them give up. Calls of other word sizes (int 0x80, x32) kill the caller.
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

ENOSYS = 38

DENIED = {
    "changing what is mounted": """
        mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount open_tree
        open_tree_attr mount_setattr swapon swapoff statmount listmount""",
    "namespaces; clone is allowed without their flags, and is what clone3 falls back to": """
        unshare setns clone3""",
    "other processes' memory and descriptors": """
        ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd
        kcmp""",
    "the kernel itself": """
        init_module finit_module delete_module create_module get_kernel_syms query_module
        kexec_load kexec_file_load reboot bpf perf_event_open syslog lookup_dcookie acct quotactl
        quotactl_fd vhangup iopl ioperm modify_ldt lsm_get_self_attr lsm_set_self_attr
        lsm_list_modules""",
    "the host's clock and name": """
        clock_settime settimeofday adjtimex clock_adjtime sethostname setdomainname""",
    "files without a path": """
        name_to_handle_at open_by_handle_at""",
    "much kernel code behind one call, a history of holes, and little that an agent would miss": """
        io_uring_setup io_uring_enter io_uring_register io_setup io_destroy io_submit io_cancel
        io_getevents io_pgetevents userfaultfd keyctl add_key request_key vmsplice
        remap_file_pages memfd_secret map_shadow_stack fanotify_init fanotify_mark msgget msgsnd
        msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr""",
    "where memory lies in the machine": """
        mbind set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages""",
    "all of the host's disks at once, and its page cache": """
        sync syncfs cachestat""",
    "newer than any program needs yet": """
        setxattrat getxattrat listxattrat removexattrat file_getattr file_setattr""",
    "dead for many years": """
        _sysctl nfsservctl uselib ustat sysfs vserver tuxcall security afs_syscall getpmsg putpmsg
        epoll_ctl_old epoll_wait_old""",
}
"""What is not allowed, by the reason for it."""

_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. Source: linux/sched.h."""

_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)
"""As in Docker's list: none turns address randomisation off."""

_FILE_KINDS = (0, 0o010000, 0o100000, 0o140000)
"""What mknod may make: regular files, FIFOs and sockets, no devices. Source: inode(7)."""


@cache
def numbers() -> dict[str, dict[str, int]]:
    """Return every system call's number, by machine and name. Source: Linux 6.17's headers."""
    found: dict[str, dict[str, int]] = json.loads(_beside("syscalls.json"))
    return found


@cache
def profile_text() -> str:
    """Return the list as the engine is handed it."""
    return json.dumps(json.loads(_beside("seccomp.json")), separators=(",", ":"))


@cache
def allowed() -> list[str]:
    """Return the calls that the kernel answers, some of them for some arguments only."""
    rules = json.loads(_beside("seccomp.json"))["syscalls"]
    named = {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    return sorted(named)


def derive() -> dict[str, Any]:
    """Return the list that this page describes, in the form that Docker's engine takes."""
    denied = {name for names in DENIED.values() for name in names.split()}
    known = {name for table in numbers().values() for name in table}
    assert denied <= known, denied - known
    conditional = {"socket", "socketpair", "clone", "mknod", "mknodat", "personality"}
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": [
            {"names": sorted(known - denied - conditional), "action": "SCMP_ACT_ALLOW"},
            *_sockets(),
            _allow("clone", (0, _NAMESPACES, 0)),
            *(_allow("personality", (0, value)) for value in _PERSONALITIES),
            *(_allow("mknod", (1, 0o170000, kind)) for kind in _FILE_KINDS),
            *(_allow("mknodat", (2, 0o170000, kind)) for kind in _FILE_KINDS),
            # Engines whose default cannot be set say EPERM; these then still say ENOSYS.
            {"names": sorted(denied), "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
        ],
    }


def _sockets() -> list[dict[str, Any]]:
    """AF_UNIX; streams and datagrams of AF_INET and AF_INET6, of TCP and UDP, and no others."""
    unix, internet, types, protocols = 1, (2, 10), (1, 2), (0, 6, 17)
    return [
        _allow("socket", (0, unix)),
        _allow("socketpair", (0, unix)),
        *(
            _allow("socket", (0, family), (1, 0xF, kind), (2, protocol))
            for family in internet
            for kind in types
            for protocol in protocols
        ),
    ]


def _allow(name: str, *conditions: tuple[int, ...]) -> dict[str, Any]:
    """Allow a call whose arguments are: (index, value), or under a mask (index, mask, value)."""
    args = [
        {"index": one[0], "value": one[1], "op": "SCMP_CMP_EQ"}
        if len(one) == 2
        else {"index": one[0], "value": one[1], "valueTwo": one[2], "op": "SCMP_CMP_MASKED_EQ"}
        for one in conditions
    ]
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": args}


def _beside(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(derive(), indent=2) + "\n")
