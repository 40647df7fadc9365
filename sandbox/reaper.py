"""Removing boxes whose runtime is dead and which no run will go on with.

A box without a home ends when its runtime does: the guest hears the end of its stdin. Not so a
frozen box, which hears nothing, and on cgroup v1 does not even die of SIGKILL before it is thawed.
A box with a home waits, stopped, for the next runtime of its run; it is in the way only when the
run is over, or its home is gone.
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from monastery.runtime.owner import is_dead
from monastery.runtime.records import RunId
from monastery.sandbox import volumes
from monastery.sandbox.engine import HOME_LABEL, OWNER_LABEL, PURPOSE_LABEL, RUN_LABEL, Engine
from monastery.sandbox.freezer import EnginePause, find_freezer

log = structlog.get_logger()


async def reap(engine: Engine, home: Path | None, can_go_on: Callable[[RunId], bool]) -> list[str]:
    """Remove containers that nobody will come back to, and the volumes of dead forks.

    What has another machine's owner, or one that cannot be judged from here, is left alone. So are
    the volumes of boxes: they are their runs' files, which a resumed run goes on with.

    Args:
        home: Whose runs `can_go_on` knows.
        can_go_on: Whether a run of that home is not over.

    Returns:
        The ids of the containers that were removed.
    """
    removed = []
    for found in await engine.containers(RUN_LABEL):
        if _is_abandoned(found["Labels"], home, can_go_on):
            await _remove(engine, found)
            removed.append(found["Id"])
            log.info("box.reaped", box=found["Id"])
    for volume in await engine.volumes(RUN_LABEL):
        labels = volume["Labels"] or {}
        if labels.get(PURPOSE_LABEL) == "fork" and is_dead(labels.get(OWNER_LABEL, "")):
            await volumes.remove(engine, volume)
    return removed


async def remove_all(engine: Engine, run: RunId) -> None:
    """Remove all containers of a run that is over."""
    for found in await engine.containers(f"{RUN_LABEL}={run}"):
        await _remove(engine, found)


def _is_abandoned(
    labels: Mapping[str, str], home: Path | None, can_go_on: Callable[[RunId], bool]
) -> bool:
    if not is_dead(labels.get(OWNER_LABEL, "")):
        return False
    theirs = labels.get(HOME_LABEL)
    if theirs is None:
        return True
    if home is not None and theirs == str(home):
        return not can_go_on(RunId(labels[RUN_LABEL]))
    return not Path(theirs).exists()


async def _remove(engine: Engine, listed: Mapping[str, Any]) -> None:
    container = listed["Id"]
    found = await engine.inspect(container)
    if found is None:
        return
    freezer = find_freezer(int(found["State"]["Pid"]), container)
    if freezer is not None:
        await freezer.end()
    if listed["State"] == "paused":
        with contextlib.suppress(EnginePause.Refused):
            await engine.unpause(container)
    await engine.remove(container)
    if listed["Labels"].get(PURPOSE_LABEL) == "box":  # of a dead fork the run may be alive
        await volumes.unmount_idle(engine, listed["Labels"][RUN_LABEL])
