"""Finding a container's control groups on this machine."""

import os
from collections.abc import Iterator
from pathlib import Path


def find(pid: int, container: str, controller: str) -> Path | None:
    """Return the folder of a container's cgroup, None when it is not on this machine.

    `pid`, the container's first process, is what the engine says. It means something here only if
    the engine is on this machine, and shown to be so: a process of that number whose cgroup is
    named after the container. Never by a fixed path: engines and init systems differ.

    Args:
        controller: One of version 1, e.g. ``freezer``; nothing for the unified hierarchy.
    """
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        mounts = list(_mounts())
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if container not in path or controller not in controllers.split(","):
            continue
        for kind, options, root, point in mounts:
            fits = controller in options if controller else kind == "cgroup2"
            folder = point / os.path.relpath(path, root)
            if fits and (folder / "cgroup.procs").exists():
                return folder
    return None


def out_of_memory_kills(pid: int, container: str) -> int:
    """Return how many of a container's processes were killed for memory; 0 when unknown."""
    for controller, name in (("memory", "memory.oom_control"), ("", "memory.events")):
        folder = find(pid, container, controller)
        if folder is not None and (folder / name).exists():
            for line in (folder / name).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _mounts() -> Iterator[tuple[str, list[str], str, Path]]:
    """Yield each cgroup mount: kind, options, its root in the hierarchy, its place."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            fields = before.split(" ")
            yield kind, options.split(","), fields[3], Path(fields[4])
