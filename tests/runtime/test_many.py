"""Many runs in one process: fair, bounded in boxes, and none of them another's trouble."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from monastery.runtime.errors import BoxDied
from monastery.runtime.events import SegmentStarted
from monastery.runtime.heartbeat import Keep
from monastery.runtime.journal import Record
from monastery.runtime.many import Berth, BerthedSandbox, Job, Watcher, live_all
from monastery.runtime.ports import Box, Desk
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import BoxSpec, RunId
from monastery.runtime.run import World
from monastery.runtime.runner import new_run
from monastery.runtime.store import Store
from monastery.runtime.story import tell
from monastery.runtime.verify import verify
from monastery.sandbox.scripted import Agent, ScriptedSandbox
from tests.runtime.world import Notebook, SetAuditor, Small, approve, inline, notes


class Counted(ScriptedSandbox):
    """Counts the boxes that live, in the order in which they are opened."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self.living = self.most = 0
        self.opened: list[RunId] = []

    @asynccontextmanager
    async def open(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Box]:
        """Open a box."""
        self.living += 1
        self.most = max(self.most, self.living)
        self.opened.append(run)
        try:
            async with super().open(run, spec) as box:
                yield box
        finally:
            self.living -= 1


@dataclass
class Crowd:
    """Several runs of one project over one home, each with a notebook of its own."""

    home: Path
    agent: Agent
    rate: float = 0.0
    notebooks: dict[RunId, Notebook] = field(default_factory=dict)
    steps: Counter[RunId] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Make the sandbox that all share."""
        small = Small(self.home, self.agent, rate=self.rate)
        self.loaded, self.sandbox = small.loaded, Counted(self.agent)

    def jobs(self, count: int) -> list[Job]:
        """Make so many runs, owned by nobody."""
        jobs = []
        with Store.open(self.home) as store:
            for _ in range(count):
                row = new_run(store, self.loaded)
                store.release(row.run, row.epoch)
                jobs.append(Job(row.run, lambda: self.loaded))
        return jobs

    async def live(
        self, jobs: Sequence[Job], *, boxes: int, watcher: Watcher | None = None, hop: Any = inline
    ) -> None:
        """Live them."""

        def build(loaded: Loaded, desk: Desk, calls: int) -> World:
            return World(self.sandbox, [SetAuditor(approve())], {"note": Notebook()}, None)

        def built(job: Job, world: World) -> None:
            notebook = world.executors["note"]
            assert isinstance(notebook, Notebook)
            self.notebooks[job.run] = notebook

        def event(job: Job, record: Record) -> None:
            self.steps[job.run] += record.event.type == "step.completed"
            if watcher is not None:
                watcher.event(job, record)

        state = watcher.state if watcher is not None else Watcher().state
        await live_all(
            self.home,
            jobs,
            build,
            boxes=boxes,
            watcher=Watcher(event, state, built),
            hop=hop,
            keep=None if hop is inline else Keep(),
        )


@pytest.mark.deadline(300)
async def test_a_hundred_runs_come_to_their_ends_with_a_fair_share_each(tmp_path: Path) -> None:
    """All at once: at no time has one done half of its steps more than another; each record holds.

    Writing goes through threads as it does in life, or in place, as the disk has it.
    """
    crowd = Crowd(tmp_path, notes(*map(str, range(16))))
    jobs, spreads = crowd.jobs(100), list[int]()

    def event(job: Job, record: Record) -> None:
        if record.event.type == "step.completed" and len(crowd.sandbox.opened) == 100:
            steps = [crowd.steps[one.run] for one in jobs if one.state == "living"]
            spreads.append(max(steps) - min(steps))

    await crowd.live(jobs, boxes=100, watcher=Watcher(event), hop=trio.to_thread.run_sync)
    assert all(job.ending is not None and job.ending.success for job in jobs)
    assert crowd.sandbox.most == 100
    assert max(spreads) < 8
    assert len(spreads) > 1000
    with Store.open(tmp_path) as store:
        assert [row.status for row in store.runs()] == ["done"] * 100
        for job in jobs:
            assert {one.verdict for one in verify(store, job.run)} == {True}
            assert crowd.notebooks[job.run].done == [b"%d" % n for n in range(16)]


@pytest.mark.virtual
async def test_no_more_boxes_live_than_may_and_runs_are_admitted_in_order(tmp_path: Path) -> None:
    """The limit is used and kept; who comes first is served first; who waits has no event yet."""

    async def agent(inside: Any) -> int:
        await inside.sleep(len(crowd.sandbox.opened))
        await inside.propose("note", "one", "why")
        return 0

    crowd = Crowd(tmp_path, agent)
    jobs = crowd.jobs(12)
    waited = []

    def event(job: Job, record: Record) -> None:
        if job is jobs[0]:
            with Store.open(tmp_path) as store:
                rows = [store.run(one.run) for one in jobs if one.state == "waiting"]
            waited.extend([(row.seq, row.owner) for row in rows])

    await crowd.live(jobs, boxes=3, watcher=Watcher(event))
    assert crowd.sandbox.opened == [job.run for job in jobs]
    assert crowd.sandbox.most == 3
    assert set(waited) == {(0, None)}
    assert all(job.ending is not None for job in jobs)


@pytest.mark.virtual
async def test_what_breaks_one_run_leaves_the_others_alone(tmp_path: Path) -> None:
    """A box that dies, an agent that fails, a fault of ours: the rest come to their ends."""

    async def agent(inside: Any) -> int:
        number = len(crowd.sandbox.opened)
        await inside.propose("note", "one", "why")
        if number == 2:
            await inside.die()
        await inside.propose("note", "two", "why")
        return 7 if number == 3 else 0

    def unreadable() -> Loaded:
        raise ValueError("a fault of ours")

    crowd = Crowd(tmp_path, agent)
    jobs = crowd.jobs(6)
    jobs[4].load = unreadable
    await crowd.live(jobs, boxes=1)
    assert [type(job.broke) for job in jobs] == [
        type(None), BoxDied, type(None), type(None), ValueError, type(None),
    ]  # fmt: skip
    ends = [job.ending.success if job.ending is not None else None for job in jobs]
    assert ends == [True, None, False, True, None, True]
    with Store.open(tmp_path) as store:
        status = [store.run(job.run).status for job in jobs]
    assert status == ["done", "interrupted", "failed", "done", "interrupted", "done"]


@pytest.mark.virtual
async def test_all_are_stopped_and_go_on(tmp_path: Path) -> None:
    """What lives and what waits when all is stopped can go on; no step is done twice."""
    crowd = Crowd(tmp_path, notes("a", "b", "c"))
    jobs, scope = crowd.jobs(8), trio.CancelScope()

    def event(job: Job, record: Record) -> None:
        if isinstance(record.event, SegmentStarted) and record.event.index == 2:
            scope.cancel()

    with scope:
        await crowd.live(jobs, boxes=3, watcher=Watcher(event))
    assert scope.cancelled_caught
    done = {run: notebook.done for run, notebook in crowd.notebooks.items()}
    with Store.open(tmp_path) as store:
        rows = store.runs()
        assert {(row.status, row.owner) for row in rows} == {("interrupted", None)}
        assert any(row.seq == 0 for row in rows)
        assert any(tell(store, row.run).segments[1:] for row in rows if row.seq)
    again = [Job(job.run, lambda: crowd.loaded) for job in jobs]
    await crowd.live(again, boxes=3)
    assert all(job.ending is not None and job.ending.success for job in again)
    for job in jobs:
        now = (
            []
            if crowd.notebooks[job.run].done is done.get(job.run)
            else crowd.notebooks[job.run].done
        )
        assert [*done.get(job.run, []), *now] == [b"a", b"b", b"c"]


async def test_a_run_without_a_box_gives_its_berth_to_the_next(tmp_path: Path) -> None:
    """Whoever closes its box makes room, and stands in line when it opens one again."""
    sandbox, berths = Counted(notes()), trio.Semaphore(1)
    first, second = Berth(berths), Berth(berths)
    spec, order = BoxSpec("image"), list[str]()

    async def other() -> None:
        await second.take()
        async with BerthedSandbox(sandbox, second).open(RunId("second"), spec):
            order.append("second")
            await trio.testing.wait_all_tasks_blocked()

    await first.take()
    async with trio.open_nursery() as nursery:
        berthed = BerthedSandbox(sandbox, first)
        async with berthed.open(RunId("first"), spec):
            nursery.start_soon(other)
            await trio.testing.wait_all_tasks_blocked()
            order.append("first")
        async with berthed.open(RunId("first"), spec):
            order.append("first again")
    assert order == ["first", "second", "first again"]
    assert sandbox.most == 1
