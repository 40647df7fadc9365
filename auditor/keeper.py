"""Run one program and leave nothing of it behind. A script of its own: standard library only.

The runtime starts ``python -I -S keeper.py CONTROL_FD PROGRAM ARGUMENT…`` and holds the other end
of the pipe CONTROL_FD. The keeper is the subreaper of all that the program starts (prctl(2)), so
that what the program leaves behind, even in a session of its own, becomes the keeper's child. It
kills all of it when the program has ended, or when the pipe closes: because the runtime says so, or
because the runtime is dead. Then it exits as the program did, with 128 + n for signal n.
"""

import ctypes
import os
import select
import signal
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h."""


def main(control: int, argv: list[str]) -> int:
    """Run the program to its end or until the pipe closes; return its exit code."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return _refused("cannot keep what it starts", ctypes.get_errno())
    os.set_inheritable(control, False)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        # Python ignores SIGPIPE; the program shall not inherit that.
        program = os.posix_spawnp(argv[0], argv, os.environ, setsigdef=[signal.SIGPIPE])
    except OSError as exc:
        return _refused(f"cannot start {argv[0]!r}", exc.errno or 0)
    _let_go_of_standard_streams()
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(control, select.POLLIN | select.POLLHUP)
    code = None
    while code is None:
        ready = {fd for fd, _ in poll.poll()}
        if woken in ready:
            os.read(woken, 4096)
        code = _reap(program)
        if code is None and control in ready:
            code = 128 + signal.SIGKILL
    _end_all()
    return code


def _refused(what: str, errno: int) -> int:
    sys.stderr.write(f"{what}: {os.strerror(errno)}\n")
    return 127


def _let_go_of_standard_streams() -> None:
    """Give up the program's pipes, so that their ends are seen when the program closes them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)


def _reap(program: int) -> int | None:
    """Reap the children that have ended; return the program's exit code if it is one of them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == program:
            exit_code = os.waitstatus_to_exitcode(status)
            code = exit_code if exit_code >= 0 else 128 - exit_code


def _end_all() -> None:
    """Kill everything below this process, and what it starts meanwhile, until nothing is left."""
    while True:
        for pid in _descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.001)  # not a blocking wait: a look at /proc can miss a new orphan
        except ChildProcessError:
            return


def _descendants() -> list[int]:
    """Return the processes below this one, the nearest first."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes longer to import than all else
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
                    stat = file.read()
            except OSError:  # it has ended
                continue
            # The name in parentheses may hold anything; the parent comes second after it.
            parent = int(stat.rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    found = children.get(os.getpid(), [])
    for pid in found:  # grows while it is walked
        found.extend(children.get(pid, []))
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
