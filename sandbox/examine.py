"""Examining this machine: its engine, and whether real boxes hold what is promised."""

import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

import trio

from monastery.runtime.errors import BoxError, ImageUnfit, Unfit
from monastery.runtime.ports import Box
from monastery.runtime.records import BoxSpec, RunId
from monastery.sandbox import (
    conformance,
    control,
    exhaustion,
    fitness,
    hardening,
    meaning,
    settings,
)
from monastery.sandbox.bait import Bait, bait, listening
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.conformance import GROUPS, LIMITS
from monastery.sandbox.engine import Engine
from monastery.sandbox.finding import Finding
from monastery.sandbox.probes.attempt import BARE, HOST, WEAK

_HELD_SECONDS = 0.3

_TICKING = """
import os, sys, time
place = sys.argv[1]
last, most = time.monotonic(), 0.0
open(place + "-begun", "w").close()
while not os.path.exists(place + "-over"):
    time.sleep(0.005)
    now = time.monotonic()
    most, last = max(most, now - last), now
print(most)
"""
"""Says how long it missed the time at most, until it is told that it is over."""

Examined = Mapping[str, list[Finding]]
"""Findings by what they are about, in the order in which to tell them."""


async def examine(
    image: str, *, runtime: str | None = None, full: bool = False, engine: Engine | None = None
) -> Examined:
    """Examine the engine, and two boxes of it.

    Args:
        runtime: Another runtime of the engine, such as ``runsc``.
        full: Also use up everything that can be used up, and see every probe come out open in a
            container that is weak on purpose.

    Raises:
        EngineUnavailable: None answers.
    """
    engine = engine or Engine()
    await engine.connect()
    version, info = await engine.version(), await engine.info()
    try:
        digest = await engine.image(image)
    except ImageUnfit:
        digest = None
    found = {"engine": fitness.examine(version, info, image, digest)}
    if runtime is not None and runtime not in info["Runtimes"]:
        seen = f"the engine has {', '.join(sorted(info['Runtimes']))}; add it to daemon.json"
        found["engine"].append(Finding("runtime", repr(runtime), seen, "fails"))
    elif digest is not None:
        waive = tuple(fitness.lost(version, info))  # said above; see what holds without them
        gvisor = fitness.is_gvisor(runtime or info.get("DefaultRuntime"))
        limits = meaning.GVISOR_LIMITS if gvisor else LIMITS
        spec = BoxSpec(image, limits, engine_runtime=runtime, waive=waive)
        local = not fitness.is_elsewhere(info)
        found |= await _in_boxes(engine, spec, local=local, full=full)
        if fitness.has(info, "userns"):
            for group in GROUPS:
                found[group] = [meaning.by_user_namespace(one) for one in found.get(group, ())]
    return found


async def _in_boxes(
    engine: Engine, spec: BoxSpec, *, local: bool, full: bool
) -> dict[str, list[Finding]]:
    sandbox = DockerSandbox(engine)
    runs = [RunId(f"doctor-{secrets.token_hex(4)}") for _ in range(2)]
    found: dict[str, list[Finding]] = {}
    gateways = await engine.gateways()
    try:
        async with AsyncExitStack() as stack:
            box, neighbour = [
                await stack.enter_async_context(sandbox.open(run, spec)) for run in runs
            ]
            known = stack.enter_context(bait(gateways, local=local))
            async with listening(neighbour, known) as all_bait:
                answers = {one.probe: one for one in await _ask(sandbox, spec, box, all_bait, runs)}
            for group, probes in GROUPS.items():
                found[group] = [answers[probe.name] for probe in probes]
            found["from outside"] = [
                *await as_asked(box, engine, spec),
                await no_log(box, engine),
                _freezer(box),
                await freeze(box),
            ]
            if full:
                found["exhaustion"] = await exhaustion.exhaust(sandbox, spec, neighbour)
                for level in (WEAK, BARE, HOST):
                    weak = await control.ask_control(level, spec.image, known)
                    found[f"controls: {level}"] = [_control(one) for one in weak]
    except* (Unfit, BoxError) as exc:
        reason = "; ".join(str(one) for one in exc.exceptions)
        found["box"] = [Finding("box", "opens and holds", reason, "fails")]
    finally:
        with trio.CancelScope(shield=True):
            for run in runs:
                await sandbox.forget(run)
    return found


async def _ask(
    sandbox: DockerSandbox, spec: BoxSpec, box: Box, bait: Bait, runs: list[RunId]
) -> list[Finding]:
    """Try everything; under gVisor what ends the whole box in a box of its own."""
    if not fitness.is_gvisor(box.facts.engine_runtime):
        return await conformance.ask(box, bait, limits=spec.limits)
    calm = [one.name for one in conformance.probes() if one.name not in meaning.EXPLOSIVE]
    found = await conformance.ask(box, bait, limits=spec.limits, only=calm)
    for name in meaning.EXPLOSIVE:
        runs.append(RunId(f"doctor-{secrets.token_hex(4)}"))
        try:
            async with sandbox.open(runs[-1], spec) as other:
                (one,) = await conformance.ask(other, bait, limits=spec.limits, only=[name])
        except BoxError as exc:
            one = Finding(name, "bounded", f"the box broke: {exc}", "unknown")
        if one.seen.startswith("the box broke"):
            one = replace(one, seen=f"the whole box ended ({one.seen})", verdict="holds")
        found.append(one)
    return [meaning.by_gvisor(one) for one in found]


def _control(seen: Finding) -> Finding:
    """Return what a probe's control says of it: one that is closed there proves nothing here."""
    open_there = seen.verdict == "fails"
    return Finding(
        f"control: {seen.probe}", "open", seen.seen, "holds" if open_there else "unknown"
    )


async def no_log(box: Box, engine: Engine) -> Finding:
    """Let the box write, and see whether the engine kept any of it on the host's disk."""
    await box.run(["python3", "-c", "print('x' * 100000)"])
    kept = await engine.kept_log(box.facts.box)
    seen = f"{len(kept)} bytes of the last lines" if kept else "nothing"
    return Finding("log on the host's disk", "nothing", seen, "fails" if kept else "holds")


def _freezer(box: Box) -> Finding:
    name = box.facts.freezer
    known = name in ("cgroup-v1", "cgroup-v2", "engine")
    return Finding("freezer", "cgroup or engine", name, "holds" if known else "fails")


async def as_asked(box: Box, engine: Engine, spec: BoxSpec) -> list[Finding]:
    """Compare a box's container with what it should be: by the engine's word and the kernel's."""
    made = await engine.inspect(box.facts.box)
    if made is None:
        return [Finding("settings", "as asked", "the container is gone", "unknown")]
    volumes = await engine.image_volumes(spec.image)
    asked = hardening.container_config(
        replace(spec, image=made["Config"]["Image"]),
        argv=made["Config"]["Entrypoint"][1:],
        volume="",
        labels={},
        image_volumes=volumes,
    )
    found = [settings.compare(asked, made)]
    if "swap" not in spec.waive:
        pid = int(made["State"]["Pid"])
        found.append(settings.swap(pid, box.facts.box, spec.limits.memory_bytes))
    return found


async def freeze(box: Box) -> Finding:
    """Freeze the box while a program in it watches the clock: it must miss the time."""
    gaps: list[float] = []
    place = f"/tmp/ticking-{secrets.token_hex(4)}"  # noqa: S108 - the box's own

    async def watch() -> None:
        argv = ["python3", "-c", _TICKING, place]
        result = await box.run(argv, timeout_seconds=conformance.PROBES_SECONDS)
        gaps.append(float(result.stdout or b"0"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        while not gaps and (await box.run(["test", "-e", f"{place}-begun"])).exit_code:
            pass
        took = await box.freeze()
        await trio.sleep(_HELD_SECONDS)
        await box.thaw()
        await box.write_file(f"{place}-over", b"")
    seen = f"confirmed in {took * 1000:.2f} ms; a program in it missed {gaps[0]:.2f} s"
    expected = f"confirmed, and no instruction for {_HELD_SECONDS} s"
    holds = gaps[0] >= 0.95 * _HELD_SECONDS
    return Finding("freeze", expected, seen, "holds" if holds else "fails")
