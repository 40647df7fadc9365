"""Whether a container is what was asked for: told by the engine field by field, and by the kernel.

Probes try what can be tried. Some lines have nothing to show on most machines, because these have
no swap, say; and an engine, or a plug-in of it, may add to what it is asked. That is compared here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from monastery.runtime.ports import WORK
from monastery.sandbox import cgroup
from monastery.sandbox.finding import Finding

_THE_ENGINES_OWN = {"Runtime", "ConsoleSize", "CgroupParent", "Isolation", "OomScoreAdj"}
"""What an engine fills in, and what gives a container nothing."""


def compare(asked: Mapping[str, Any], made: Mapping[str, Any]) -> Finding:
    """Compare what an engine was asked to make with what it says that it made.

    Args:
        asked: The body of "create a container".
        made: What "inspect" tells of the container.
    """
    differences = [*_config(asked, made["Config"]), *_host(asked["HostConfig"], made["HostConfig"])]
    differences += _mounts(asked["HostConfig"], made["Mounts"])
    count = len(asked) + len(asked["HostConfig"]) - 1
    expected, seen = "as asked, and nothing more", f"all {count} lines"
    if differences:
        return Finding("settings", expected, "; ".join(differences), "fails")
    return Finding("settings", expected, seen, "holds")


def _config(asked: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[str]:
    for name, value in asked.items():
        if name in ("Env", "Labels"):  # images and engines add their own
            if not set(value) <= set(made[name] or ()):
                yield f"{name} is {made[name]!r:.200}"
        elif name != "HostConfig" and (made.get(name) or None) != (value or None):
            yield f"{name} is {made.get(name)!r:.200} and not {value!r:.200}"


def _host(asked: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[str]:
    for name, value in made.items():
        if name in asked:
            wanted = asked[name]
            if name == "RestartPolicy":  # the engine adds a count
                value = {key: value.get(key) for key in wanted}
            elif name == "Mounts":  # each box has volumes of its own
                value, wanted = [
                    [{**one, "Source": ""} for one in each] for each in (value, wanted)
                ]
            if value != wanted:
                yield f"HostConfig.{name} is {value!r:.200} and not {wanted!r:.200}"
        elif value and name not in _THE_ENGINES_OWN:
            yield f"HostConfig.{name} is {value!r:.200}, which nobody asked for"
    yield from (f"HostConfig.{name} is not told" for name in asked if name not in made)


def _mounts(asked: Mapping[str, Any], made: Any) -> Iterator[str]:
    """Only what was asked for is mounted; an image's volumes would be others."""
    wanted = {one["Target"] for one in asked["Mounts"]} | {WORK}
    for one in made:
        if one["Destination"] not in wanted:
            yield f"{one['Destination']} is mounted from {one.get('Source')!r}"


def swap(pid: int, container: str, memory_bytes: int) -> Finding:
    """Read in the kernel's own files whether a container's swap counts as its memory.

    Args:
        pid: Its first process, by the engine.
        memory_bytes: Its bound, which memory and swap together must not pass.
    """
    expected = "counts as memory"
    for controller, name, most_bytes in (
        ("memory", "memory.memsw.limit_in_bytes", memory_bytes),
        ("", "memory.swap.max", 0),
    ):
        folder = cgroup.find(pid, container, controller)
        if folder is not None and (folder / name).exists():
            told = (folder / name).read_text().strip()
            bounded = told.isdigit() and int(told) <= most_bytes
            return Finding("swap", expected, f"{name} is {told}", "holds" if bounded else "fails")
    return Finding("swap", expected, "this kernel does not tell", "unknown")
