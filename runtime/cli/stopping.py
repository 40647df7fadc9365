"""Stopping what runs: at the first signal so that it can go on, at the second at once."""

import os
import signal
from dataclasses import dataclass

import trio

from monastery.runtime.cli import output

INTERRUPTED = 130


@dataclass(slots=True)
class Stop:
    """Whether a signal asked to stop, and which."""

    by: str | None = None


async def mind_signals(
    scope: trio.CancelScope,
    stop: Stop,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Cancel the scope at the first signal, end this process at the second."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        task_status.started()
        async for number in received:
            if stop.by is not None:
                os._exit(INTERRUPTED)  # the journal is whole at every moment
            stop.by = signal.Signals(number).name
            output.note("stopping; what runs can go on later (again: stop without waiting)")
            scope.cancel()
