"""The lease: for how long a runtime may go on acting for a run before it must show that it lives.

The owner's epoch keeps a former owner from writing the journal, but not from acting outside. So
the owner renews a lease all the time, and a kernel timer (`kernel_timer`) kills it before the lease
runs out; who finds the lease run out, and waits a margin, may take the run over.

No wall clock decides. On one machine and boot both sides read the boot clock, which nobody can set
and which goes on while the machine sleeps. Between machines no clock is compared: who wants the run
watches, on a clock of its own, whether the lease is renewed within its length. The wall clock is
for people, and lets a second machine be refused at once while it says that the lease is valid.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from monastery.runtime.owner import is_dead, same_boot


@dataclass(frozen=True, slots=True)
class Terms:
    """How a lease is kept [seconds]; the timer is shorter than the lease, beats much shorter.

    Attributes:
        lease_seconds: How long it is valid after each beat.
        beat_seconds: How often it is renewed.
        timer_seconds: After how long without a beat the kernel ends the process.
        margin_seconds: How long who takes over waits beyond its end.
    """

    lease_seconds: float = 60.0
    beat_seconds: float = 10.0
    timer_seconds: float = 50.0
    margin_seconds: float = 10.0


TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on the two clocks: the wall's, which can be set, and the boot's [seconds]."""

    wall: datetime
    boot: float

    @classmethod
    def now(cls) -> "Moment":
        """Read both clocks."""
        return cls(datetime.now(UTC), boot_seconds())


def boot_seconds() -> float:
    """Return the time since the machine started, its sleep included [seconds]."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the second is not Linux
    return time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class Lease:
    """A run's lease as its owner wrote it at its last beat.

    Attributes:
        epoch: Whose it is: the run's epoch when it was written.
        beats: How often it was renewed in this epoch.
        seconds: How long it was valid for then.
        until_boot: When it runs out on the boot clock of the machine that wrote it [seconds].
        until_wall: The same as that machine's wall clock had it.
    """

    epoch: int
    beats: int
    seconds: float
    until_boot: float
    until_wall: datetime

    @classmethod
    def begun(cls, epoch: int, seconds: float, now: Moment, *, beats: int = 0) -> "Lease":
        """Return a lease that is valid from now on for so many seconds."""
        until = now.wall + timedelta(seconds=seconds)
        return cls(epoch, beats, seconds, now.boot + seconds, until)

    @classmethod
    def of_row(cls, row: tuple[Any, ...]) -> "Lease":
        """Return the lease in a row of the table, without its first column."""
        epoch, beats, seconds, until_boot, until_wall = row
        return cls(epoch, beats, seconds, until_boot, datetime.fromisoformat(until_wall))

    @property
    def row(self) -> tuple[Any, ...]:
        """The row of the table, without its first column."""
        return self.epoch, self.beats, self.seconds, self.until_boot, self.until_wall.isoformat()


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a run may be taken.

    Attributes:
        held: Its owner has it, as far as can be known.
        wait_seconds: When it is not held: how long to wait first; 0 for nothing to wait for.
        watch: Whether, after the wait, the lease must be seen not to have been renewed.
    """

    held: bool
    wait_seconds: float = 0.0
    watch: bool = False


FREE, HELD = Standing(held=False), Standing(held=True)


def standing(owner: str | None, lease: Lease | None, now: Moment, terms: Terms = TERMS) -> Standing:
    """Return how a run stands that `owner` has, or had.

    A lease that has longer to go than it is long was written by another clock: it is watched.
    """
    if owner is None or is_dead(owner):
        return FREE
    if lease is None:
        return HELD
    if same_boot(owner):
        left = lease.until_boot - now.boot
        if left <= 0:
            wait = left + terms.margin_seconds
            return FREE if wait <= 0 else Standing(held=False, wait_seconds=wait)
    else:
        left = (lease.until_wall - now.wall).total_seconds()
    if 0 < left <= lease.seconds:
        return HELD
    return Standing(held=False, wait_seconds=lease.seconds + terms.margin_seconds, watch=True)
