"""Time and chance under control: every clock is virtual, and one seed orders all tasks."""

import importlib
import pkgutil
import random
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import trio
import trio._core._run as scheduler
from trio.testing import MockClock

from monastery.runtime import desk, journal, parking

BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)
POLL_SECONDS = 900.0
"""How often whoever waits looks again; a tenth of a second would be most of a simulated day."""


class Calendar:
    """The wall clock of a simulated world, which goes on while no runtime lives."""

    def __init__(self) -> None:
        self._before = BEGINNING
        self._clock: MockClock | None = None

    def now(self) -> datetime:
        """Return the time."""
        passed = 0.0 if self._clock is None else self._clock.current_time()
        return self._before + timedelta(seconds=passed)

    def wait(self, seconds: float) -> None:
        """Let time pass while nothing lives."""
        self._before = self.now() + timedelta(seconds=seconds)
        self._clock = None

    def new_clock(self) -> MockClock:
        """Return the clock of the next life, which begins now."""
        self.wait(0.0)
        self._clock = MockClock(autojump_threshold=0.0)
        return self._clock


class Death(trio.abc.Instrument):
    """Calls a function before the n-th step that any task takes.

    Between two steps of tasks lies an await, so all that a death can come between is there.
    """

    def __init__(self, after_steps: int | None, die: Callable[[], None]) -> None:
        self._left, self._die = after_steps, die
        self.steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count."""
        self.steps += 1
        if self.steps == self._left:
            self._die()


@contextmanager
def controlled(calendar: Calendar, seed: str) -> Iterator[random.Random]:
    """Run what follows on a calendar's time, and let `seed` choose what could go either way.

    The runtime asks `datetime.now` for the date; in the modules that do, the name is bound to a
    class that asks the calendar. trio shuffles the tasks that can run: with a generator of its own,
    which is seeded here. Secrets come from the seed too, so that a run can be replayed.
    """
    chance = random.Random(seed)
    quick, token_bytes = journal.QUICK_SECONDS, secrets.token_bytes
    hidden = random.Random(f"{seed}/secrets")
    secrets.token_bytes = lambda nbytes=None: hidden.randbytes(nbytes or 32)
    asking = [module for module in _modules() if getattr(module, "datetime", None) is datetime]
    was = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate(), desk.POLL_SECONDS
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    scheduler._r.seed(seed)
    # How quick a disk was must not choose whether a commit is made in place.
    journal.QUICK_SECONDS = chance.choice([0.0, float("inf")])
    parked = parking.POLL_SECONDS
    desk.POLL_SECONDS = parking.POLL_SECONDS = POLL_SECONDS
    for module in asking:
        module.datetime = _virtual(calendar)  # type: ignore[attr-defined]
    try:
        yield chance
    finally:
        for module in asking:
            module.datetime = datetime  # type: ignore[attr-defined]
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = was[0]  # type: ignore[misc]
        scheduler._r.setstate(was[1])
        desk.POLL_SECONDS, journal.QUICK_SECONDS = was[2], quick
        parking.POLL_SECONDS = parked
        secrets.token_bytes = token_bytes


async def hop(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function that blocks, where it stands, with an await on either side.

    A thread would know nothing of virtual time. Death may come before it, and between its end and
    the moment when its caller learns of that.
    """
    await trio.lowlevel.checkpoint()
    result = function(*args)
    await trio.lowlevel.checkpoint()
    return result


def _virtual(calendar: Calendar) -> type[datetime]:
    class Virtual(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return calendar.now().astimezone(tz)

        @classmethod
        def fromisoformat(cls, date_string: str) -> Any:
            return datetime.fromisoformat(date_string)

    return Virtual


def _modules() -> list[Any]:
    """Return the runtime's modules that ask for the date themselves."""
    import monastery.runtime
    import monastery.runtime.executors

    for package in (monastery.runtime, monastery.runtime.executors):
        for found in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{found.name}")
    importlib.import_module("monastery.auditor.person")
    rooms = ("monastery.runtime.", "monastery.auditor.person")
    return [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith(rooms) and not name.startswith("monastery.runtime.cli") and _asks(module)
    ]


def _asks(module: Any) -> bool:
    source = getattr(module, "__spec__", None) and module.__spec__.loader.get_source(
        module.__name__
    )
    return "datetime.now(" in (source or "")
