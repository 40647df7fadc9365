"""Removing boxes whose runtime is dead.

A box ends when its runtime does: the guest hears the end of its stdin. Not so a frozen box, which
hears nothing, and on cgroup v1 does not even die of SIGKILL before it is thawed.
"""

import contextlib

import structlog

from monastery.runtime.owner import is_dead
from monastery.sandbox import volumes
from monastery.sandbox.engine import OWNER_LABEL, PURPOSE_LABEL, RUN_LABEL, Engine
from monastery.sandbox.freezer import EnginePause, find_freezer

log = structlog.get_logger()


async def reap(engine: Engine, label: str) -> list[str]:
    """Remove the containers with this label whose owner is dead, and the volumes of dead forks.

    What has another machine's owner, or one that cannot be judged from here, is left alone. So are
    the volumes of boxes: they are their runs' files, which a resumed run goes on with.

    Returns:
        The ids of the containers that were removed.
    """
    removed = []
    for found in await engine.containers(label):
        if is_dead(found["Labels"].get(OWNER_LABEL, "")):
            await _remove(engine, found["Id"], paused=found["State"] == "paused")
            await volumes.unmount_idle(engine, found["Labels"][RUN_LABEL])
            removed.append(found["Id"])
            log.info("box.reaped", box=found["Id"])
    for volume in await engine.volumes(label):
        labels = volume["Labels"] or {}
        if labels.get(PURPOSE_LABEL) == "fork" and is_dead(labels.get(OWNER_LABEL, "")):
            await volumes.remove(engine, volume)
    return removed


async def _remove(engine: Engine, container: str, *, paused: bool) -> None:
    found = await engine.inspect(container)
    if found is None:
        return
    freezer = find_freezer(int(found["State"]["Pid"]), container)
    if freezer is not None:
        await freezer.end()
    if paused:
        with contextlib.suppress(EnginePause.Refused):
            await engine.unpause(container)
    await engine.remove(container)
