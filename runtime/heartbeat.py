"""The heartbeat: keeps a run's lease for as long as the run is lived."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
import trio

from monastery.runtime.errors import LeaseLapsed, NotOwner, RunHeld, StoreError
from monastery.runtime.lease import TERMS, Terms, boot_seconds
from monastery.runtime.records import RunId
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store

log = structlog.get_logger()

Hop = Callable[..., Awaitable[Any]]
Arm = Callable[[str, float | None], None]
"""Told by when on the boot clock [seconds] a run's next beat must come; None: none need come."""


def _unarmed(run: str, ends: float | None) -> None:
    """Do nothing: for a process that is not to be ended by a timer, such as a test's."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How a run's lease is kept.

    Attributes:
        arm: Sets the timer that ends this process when the beat stops; see `KernelTimer.arm`.
    """

    terms: Terms = TERMS
    arm: Arm = field(default=_unarmed)


@asynccontextmanager
async def kept(home: Path, row: RunRow, keep: Keep, hop: Hop) -> AsyncIterator[None]:
    """Renew the lease of a run that this process owns until the block ends, however it ends.

    It beats on through the clean-up of a run that is stopped. It has a connection of its own, so
    that no step waits for it.

    Raises:
        NotOwner: Another runtime has taken the run over; the block is cancelled.
        StoreError: The lease could not be renewed in time; the block is cancelled.
    """
    # A beat that a power cut takes is not missed: the machine is another boot then.
    with Store.open(home, synchronous="NORMAL") as store:
        try:
            ends = await _beat(store, row, keep, hop)
            async with trio.open_nursery() as nursery:
                heart = trio.CancelScope(shield=True)
                nursery.start_soon(_go_on_beating, heart, store, row, keep, hop, ends)
                try:
                    yield
                finally:
                    heart.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:  # who catches an error need not know of the nursery
                only = group.exceptions[0]
                raise only from only.__cause__
            raise
        finally:
            keep.arm(row.run, None)


async def _go_on_beating(
    heart: trio.CancelScope, store: Store, row: RunRow, keep: Keep, hop: Hop, ends: float
) -> None:
    with heart:
        while True:
            await trio.sleep(keep.terms.beat_seconds)
            try:
                ends = await _beat(store, row, keep, hop)
            except NotOwner:
                raise
            except StoreError as exc:
                log.info("lease.not_renewed", run=row.run, reason=str(exc))
                # Better a line of ours than the kernel's timer, if there is time for no more tries.
                if boot_seconds() + keep.terms.beat_seconds >= ends:
                    raise StoreError(f"the lease of run {row.run!r} runs out: {exc}") from exc


async def _beat(store: Store, row: RunRow, keep: Keep, hop: Hop) -> float:
    """Renew the lease, then put the timer off; return when the timer ends [boot clock, seconds]."""
    ends = boot_seconds() + keep.terms.timer_seconds  # from before the beat, as the lease's end is
    await hop(store.renew, row.run, row.epoch, keep.terms.lease_seconds)
    keep.arm(row.run, ends)
    return ends


async def take(
    store: Store,
    run: RunId,
    owner: str,
    *,
    say: Callable[[str], None],
    sleep: Callable[[float], Awaitable[None]] = trio.sleep,
) -> RunRow:
    """Make `owner` the one who has a run, after a wait where that is needed to be sure.

    Raises:
        RunHeld: Another runtime has it.
        BadInput: There is no such run, or it is over.
    """
    seen: tuple[int, int] | None = None
    while True:
        try:
            return store.claim(run, owner, seen=seen)
        except LeaseLapsed as lapsed:
            if seen is not None and seen != lapsed.seen:
                raise RunHeld(f"run {run!r} was renewed by its runtime meanwhile") from None
            say(str(lapsed))
            seen = lapsed.seen
            await sleep(lapsed.wait_seconds)
