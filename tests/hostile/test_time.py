"""Time: what an agent's clock tells of an audit, once it is thawed."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.ports import Desk, Forkable
from monastery.runtime.project import StepSettings
from monastery.runtime.records import Case, Vote
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.box import DockerSandbox
from tests.runtime.world import Notebook, Small

TICK_SECONDS = 10.0


class Slow:
    """An auditor who takes the times of a list, one after the other, for ever."""

    name = "slow"

    def __init__(self, *seconds: float) -> None:
        self._seconds = seconds
        self.judged = 0

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Take the time, and approve."""
        await trio.sleep(self._seconds[self.judged % len(self._seconds)])
        self.judged += 1
        return Vote(self.name, "approve", 1.0)


async def gaps(home: Path, auditor: Any, steps: int, **audit: Any) -> dict[bool, list[float]]:
    """Return how long each step took by the agent's own clock, for audited ones and others."""
    seen: list[float] = []

    async def agent(inside: Any) -> None:
        for number in range(steps):
            await inside.sleep(0.37 * (number % 7))
            before = trio.current_time()
            await inside.propose("note", str(number), "because")
            seen.append(round(trio.current_time() - before, 6))

    small = Small(home, agent, [auditor], rate=0.5, audit=audit)
    await small.live(small.new())
    assert len(seen) == steps
    found: dict[bool, list[float]] = {True: [], False: []}
    for drawn, gap in zip(small.events("audit.drawn"), seen, strict=True):
        found[drawn.audited].append(gap)
    assert found[True]
    assert found[False]
    return found


@pytest.mark.virtual
async def test_without_a_hold_the_gap_tells_an_audit(tmp_path: Path) -> None:
    """What the hold is there for: every audited step is longer than every other one."""
    found = await gaps(tmp_path, Slow(0.1, 3.0, 9.9), 60)
    assert max(found[False]) < min(found[True])


@pytest.mark.virtual
async def test_under_a_uniform_hold_gaps_have_one_distribution(tmp_path: Path) -> None:
    """Audits of any length within the tick look, to the microsecond, like no audit."""
    auditor = Slow(0.1, 3.0, 9.9)
    found = await gaps(tmp_path, auditor, 60, hold="uniform", hold_seconds=TICK_SECONDS)
    assert set(found[True]) == set(found[False]) == {TICK_SECONDS}


@pytest.mark.virtual
async def test_a_longer_audit_costs_whole_ticks(tmp_path: Path) -> None:
    """What still leaks is that it took longer than a tick, and no finer than in ticks."""
    auditor = Slow(10.0, 10.1, 29.0)
    found = await gaps(tmp_path, auditor, 60, hold="uniform", hold_seconds=TICK_SECONDS)
    assert set(found[True]) == {10.0, 20.0, 30.0}
    assert set(found[False]) == {10.0}


AGENT = """
import json, time
from monastery_box import propose
clocks = (time.CLOCK_MONOTONIC, time.CLOCK_REALTIME, time.CLOCK_BOOTTIME)
seen = []
while len(seen) < 8:
    before = [time.clock_gettime(clock) for clock in clocks]
    propose("note" if len(seen) % 2 else "memo", json.dumps(seen), "because")
    seen.append([time.clock_gettime(clock) - was for clock, was in zip(clocks, before)])
propose("note", json.dumps(seen), "the end")
"""


@pytest.mark.deadline(120)
async def test_in_a_real_box_no_clock_shows_less_than_a_tick(tmp_path: Path, image: str) -> None:
    """Audited or not, each gap on the box's three clocks is a tick, or more on a busy machine."""
    tick, slow = 0.4, Slow(0.05, 0.2)
    (tmp_path / "agent.py").write_text(AGENT)
    small = Small(
        tmp_path,
        None,  # type: ignore[arg-type] - the agent is a program
        audit={"hold": "uniform", "hold_seconds": tick},
        extra={
            "agent": {"command": ["python3", "agent.py"]},
            "steps": {"note": StepSettings(audit=1.0), "memo": StepSettings(audit=0.0)},
            "box": {"image": image, "files": [{"from": "agent.py", "to": "agent.py"}]},
        },
    )
    with Store.open(tmp_path) as store:
        row = new_run(store, small.loaded)

    def build(desk: Desk, calls: int) -> World:
        return World(DockerSandbox(), [slow], {"note": small.notebook, "memo": Notebook()}, None)

    ending = await go(tmp_path, row, small.loaded, build, small.told.append)
    assert ending.success, ending
    gaps = json.loads(small.notebook.done[-1])
    audited = [drawn.audited for drawn in small.events("audit.drawn")][: len(gaps)]
    assert audited == [False, True] * 4
    for gap, was in zip(gaps, audited, strict=True):
        for seconds in gap:
            assert seconds > 0.99 * tick, (was, gap)  # a step takes 2 ms where nothing is held
