"""Lives a run of one step in a process of its own; what it does in the world is a line in a file.

``stopped.py HOME [RUN] [--stop] [--untimed] [--patient]``: goes on with RUN, or starts one. With
``--stop`` it stops itself (SIGSTOP) after the step's intent is durable and before the deed.
``--untimed`` is the planted bug: no kernel timer is armed. ``--patient`` takes the terms that
people have, not short ones.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import trio

from monastery.runtime.heartbeat import Keep, take
from monastery.runtime.kernel_timer import KernelTimer
from monastery.runtime.lease import Terms
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Desk
from monastery.runtime.records import Outcome, RunId, Step
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.scripted import ScriptedSandbox
from tests.runtime.world import Notebook, Small, notes

TERMS = Terms(lease_seconds=4.0, beat_seconds=0.5, timer_seconds=3.0, margin_seconds=0.5)


class Counter(Notebook):
    """Its outside world is a file with a line for each deed, each with the process that did it."""

    def __init__(self, path: Path, *, stops: bool) -> None:
        super().__init__()
        self._path, self._stops = path, stops

    async def execute(self, step: Step) -> Outcome:
        """Write a line; before that stop, as whoever presses Ctrl-Z would."""
        await trio.lowlevel.checkpoint()
        if self._stops:
            os.kill(os.getpid(), signal.SIGSTOP)
        with self._path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return Outcome("done")

    async def reconcile(self, step: Step) -> Outcome | None:
        """Look whether the line is there; do it if not."""
        if self._path.exists() and self._path.read_text():
            return Outcome("done")
        return await self.execute(step)


def main(home: Path, run: str | None, terms: Terms, *, stops: bool, timed: bool) -> None:
    """Live the run to its end."""
    small = Small(home, notes("one"), rate=0.0)
    counter = Counter(home / "effects", stops=stops)

    def build(desk: Desk, calls: int) -> World:
        return World(ScriptedSandbox(notes("one")), [], {"note": counter}, None)

    with Store.open(home) as store:
        if run is None:
            row = new_run(store, small.loaded)
        else:
            say = partial(print, file=sys.stderr)
            row = trio.run(partial(take, store, RunId(run), this_process(), say=say))
    print(row.run, flush=True)
    keep = Keep(terms, KernelTimer().arm) if timed else Keep(terms)
    trio.run(partial(go, home, row, small.loaded, build, lambda record: None, keep=keep))


if __name__ == "__main__":
    words = [word for word in sys.argv[2:] if not word.startswith("--")]
    main(
        Path(sys.argv[1]),
        words[0] if words else None,
        Terms() if "--patient" in sys.argv else TERMS,
        stops="--stop" in sys.argv,
        timed="--untimed" not in sys.argv,
    )
