"""The kernel's timer: ends this process when it has not shown in time that it lives.

A process that is stopped (SIGSTOP, a debugger, a sleeping machine) cannot look at a clock before
it goes on. The kernel can: the signal of a timer that ran out meanwhile is there before the first
instruction. SIGALRM is left at what it does by default, which is to end the process; a handler, in
Python of all things, would run too late.
"""

import ctypes
import signal
import time
from typing import ClassVar

from monastery.runtime.errors import Unfit

_CLOCK_BOOTTIME = 7
_TIMER_ABSTIME = 1
"""Both from linux/time.h."""


class _Timespec(ctypes.Structure):
    _fields_: ClassVar = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Setting(ctypes.Structure):
    _fields_: ClassVar = [("interval", _Timespec), ("value", _Timespec)]


class KernelTimer:
    """One for a process, whatever number of runs it lives; to be made in its main thread.

    It counts on the boot clock, so that a machine's sleep counts too. Where there is no such timer
    (anything but Linux) the process has `setitimer`, which may sleep with the machine.

    Raises:
        Unfit: The kernel refuses to make one.
    """

    def __init__(self) -> None:
        # Who started us may have ignored or blocked it, and that is inherited.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        self._ends: dict[str, float] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer: ctypes.c_void_p | None = None
        if hasattr(time, "CLOCK_BOOTTIME") and hasattr(self._libc, "timer_create"):
            self._timer = ctypes.c_void_p()
            made = self._libc.timer_create(_CLOCK_BOOTTIME, None, ctypes.byref(self._timer))
            if made != 0:
                raise Unfit(f"the kernel makes no timer: error {ctypes.get_errno()}")

    def arm(self, run: str, ends: float | None) -> None:
        """End the process at this time of the boot clock [seconds] unless it is put off; by run.

        Args:
            run: Whose time it is; the earliest of all runs counts.
            ends: None when the run needs no timer any more.
        """
        if ends is None:
            self._ends.pop(run, None)
        else:
            self._ends[run] = ends
        self._set(min(self._ends.values(), default=None))

    def _set(self, ends: float | None) -> None:
        if self._timer is None:
            left = 0.0 if ends is None else max(1e-6, ends - time.monotonic())
            signal.setitimer(signal.ITIMER_REAL, left)
            return
        whole = 0 if ends is None else int(ends)
        rest = 0 if ends is None else int((ends - whole) * 1e9)
        setting = _Setting(_Timespec(0, 0), _Timespec(whole, rest))
        armed = self._libc.timer_settime(self._timer, _TIMER_ABSTIME, ctypes.byref(setting), None)
        if armed != 0:
            raise Unfit(f"the kernel sets no timer: error {ctypes.get_errno()}")
