"""Parking: a run that waits for people alone closes its box until they have answered."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.auditor.person import PersonAuditor
from monastery.runtime import parking
from monastery.runtime.executors.context import Context
from monastery.runtime.executors.human import HumanExecutor, HumanSettings
from monastery.runtime.journal import Journal, Writer
from monastery.runtime.ports import Auditor, Desk
from monastery.runtime.records import Answer, Ending, ItemId, RunId, Vote
from monastery.runtime.run import World
from monastery.runtime.runner import go, go_until_parked
from monastery.runtime.stops import begin
from monastery.runtime.store import Store
from monastery.runtime.story import Story
from monastery.runtime.verify import verify
from monastery.sandbox.scripted import Agent
from tests.runtime.world import SetAuditor, Small, approve, inline, notes

pytestmark = pytest.mark.virtual
NOON = datetime.now(UTC)
HOUR = 60.0
"""A short one: each second of waiting is ten looks at a database."""


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test now: a question's deadline is also looked at by the machine's own clock."""
    monkeypatch.setitem(globals(), "NOON", datetime.now(UTC))


def _clock() -> datetime:
    """Return a wall clock that goes as fast as virtual time."""
    return NOON + timedelta(seconds=trio.current_time())


class Waits(Small):
    """A small world whose auditors are made with the run's desk."""

    def use(self, make: Callable[[Desk], Sequence[Auditor]]) -> "Waits":
        """Have auditors made by this."""
        self.make = make
        return self

    def build(self, desk: Desk, calls: int) -> World:
        """Make the world of one life."""
        human = HumanExecutor(HumanSettings(), Context(self.home, "goal", desk))
        kinds: dict[str, Any] = {"note": self.notebook, "human": human}
        return World(self.sandbox, self.make(desk), kinds, None)

    async def through(self, run: RunId | None = None, *, leaves: bool = False) -> Ending | None:
        """Live a run to its end or, if it leaves, until it is parked."""
        row = self.new() if run is None else self.claim(run)
        self.run = row.run
        live = go_until_parked if leaves else go
        return await live(
            self.home, row, self.loaded, self.build, self.told.append, hop=inline, keep=None
        )

    def answer(self, name: str, **body: Any) -> None:
        """Answer the run's open question whose name ends so."""
        with Store.open(self.home) as store:
            for stored in store.items(run=self.run):
                if stored.item.id.endswith(name):
                    digest = stored.item.body.get("digest")
                    about = {} if digest is None else {"digest": digest}
                    store.answer(Answer(stored.item.id, "ada", _clock(), body | about))
                    return
        raise AssertionError(f"no question {name!r} is open")

    def verified(self) -> bool:
        """Whether no verdict on the record is false."""
        with Store.open(self.home) as store:
            return all(one.verdict is not False for one in verify(store, self.run))


def waits(home: Path, agent: Agent, *people: str, program: Auditor | None = None) -> Waits:
    """Return a world in which these people audit every step, beside a program perhaps."""

    def make(desk: Desk) -> list[Auditor]:
        asked: list[Auditor] = [PersonAuditor(name, 24 * HOUR, desk, _clock) for name in people]
        return [*asked, *([program] if program is not None else [])]

    small = Waits(home, agent, audit={"park_after_seconds": HOUR})
    return small.use(make)


VOTE = {"decision": "approve", "score": 0.5}


async def test_a_run_parks_after_its_time_and_goes_on_with_the_answer(tmp_path: Path) -> None:
    """Its box is closed and its files stay; the vote counts; the agent starts from its history."""
    small = waits(tmp_path, notes("one", "two"), "ada")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(small.through)
        await trio.sleep(HOUR - 10)
        assert "run.parked" not in small.types
        assert not small.sandbox.boxes[-1].closed
        await trio.sleep(20)
        assert small.types[-1] == "run.parked"
        assert small.sandbox.boxes[-1].closed
        assert small.run in small.sandbox.works
        with Store.open(tmp_path) as store:
            assert store.run(small.run).status == "parked"
        await trio.sleep(5 * HOUR)
        assert small.types[-1] == "run.parked"
        small.answer("1.audit.ada", **VOTE)
        await trio.sleep(10)
        assert [event.seen_bytes for event in small.events("segment.printed")] == [16, 16]
        small.answer("2.audit.ada", **VOTE)
    assert small.notebook.done == [b"one", b"two"]
    assert [box.facts.work for box in small.sandbox.boxes] == ["new", "kept"]
    assert small.types.count("run.resumed") == 1
    (first, _) = small.events("reward.issued")
    assert first.value == 0.5
    assert small.verified()


async def test_a_decision_that_comes_while_nothing_runs_is_kept(tmp_path: Path) -> None:
    """The process leaves when it is parked; another one finds the answer and does the step."""
    small = waits(tmp_path, notes("one"), "ada")
    assert await small.through(leaves=True) is None
    with Store.open(tmp_path) as store:
        row = store.run(small.run)
        assert (row.status, row.owner) == ("parked", None)
        assert not parking.ready(store, small.run, _clock())
    small.answer("1.audit.ada", **VOTE)
    with Store.open(tmp_path) as store:
        assert parking.ready(store, small.run, _clock())
    ending = await small.through(small.run, leaves=True)
    assert ending is not None
    assert ending.success
    assert small.notebook.done == [b"one"]
    assert len(small.events("item.posted")) == 1
    assert small.verified()


async def test_a_question_whose_time_is_up_makes_a_parked_run_ready(tmp_path: Path) -> None:
    """Nobody need answer for it to go on: the step expires."""
    small = waits(tmp_path, notes("one"), "ada")
    assert await small.through(leaves=True) is None
    with Store.open(tmp_path) as store:
        (stored,) = store.items(run=small.run)
        assert stored.item.deadline is not None
        assert not parking.ready(store, small.run, stored.item.deadline)
        assert parking.ready(store, small.run, stored.item.deadline + timedelta(seconds=1))


async def test_of_several_people_all_must_have_answered(tmp_path: Path) -> None:
    """One vote does not open the box again for nothing."""
    small = waits(tmp_path, notes("one"), "ada", "bob")
    assert await small.through(leaves=True) is None
    small.answer("1.audit.ada", **VOTE)
    with Store.open(tmp_path) as store:
        assert not parking.ready(store, small.run, _clock())
    small.answer("1.audit.bob", **VOTE)
    ending = await small.through(small.run)
    assert ending is not None
    assert {event.auditor for event in small.events("audit.voted")} == {"ada", "bob"}
    assert small.verified()


class Slow(SetAuditor):
    """A program that takes its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(approve(name="slow"), name="slow")
        self._seconds = seconds

    async def judge(self, case: Any, box: Any) -> Vote:
        """Sleep, then vote."""
        await trio.sleep(self._seconds)
        return await super().judge(case, box)


async def test_a_run_whose_program_still_judges_is_not_parked(tmp_path: Path) -> None:
    """It needs the box; only when the program has voted does the time begin."""
    small = waits(tmp_path, notes("one"), "ada", program=Slow(3 * HOUR))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(small.through, leaves=True))
        await trio.sleep(3 * HOUR - 10)
        assert "run.parked" not in small.types
        await trio.sleep(HOUR - 10)
        assert "run.parked" not in small.types
    assert small.types[-1] == "run.parked"
    assert len(small.events("audit.voted")) == 1


async def test_a_deed_that_a_person_does_is_waited_for_and_not_unknown(tmp_path: Path) -> None:
    """A parked `human` step is asked once, and its outcome is what the person says."""
    heard: list[Any] = []

    async def agent(inside: Any) -> int:
        if inside.history:
            heard.append(inside.history[0]["content"])
        else:
            await inside.propose("human", "ring the bell", "it is noon")
        return 0

    small = waits(tmp_path, agent)
    small.rate = 0.0
    small.extra = {"steps": {"note": {}, "human": {}}}
    assert await small.through(leaves=True) is None
    small.answer("1.human", status="done", content="rung")
    await small.through(small.run)
    assert heard == [{"content": "rung"}]
    assert small.events("step.unresolved") == []
    assert [event.how for event in small.events("step.completed")] == ["executed"]
    assert len(small.events("step.started")) == len(small.events("item.posted")) == 1
    assert small.verified()


async def test_deferred_audits_park_no_run_that_thinks(tmp_path: Path) -> None:
    """Only when the agent is done are they all that is left; then it is not started again."""
    starts: list[int] = []

    async def agent(inside: Any) -> int:
        starts.append(len(inside.history))
        if not inside.history:
            await inside.propose("note", "one", "because")
            await inside.sleep(0.5 * HOUR)
        return 0

    small = waits(tmp_path, agent, "ada")
    small.audit = {"mode": "deferred", "park_after_seconds": 0.1 * HOUR}
    assert await small.through(leaves=True) is None
    assert starts == [0]
    assert small.events("run.parked")[0].ended.success
    small.answer("1.audit.ada", **VOTE)
    ending = await small.through(small.run, leaves=True)
    assert ending == Ending(True, "the agent is done")
    assert starts == [0]
    assert len(small.events("reward.issued")) == 1
    assert small.verified()


async def test_never_is_never(tmp_path: Path) -> None:
    """A project can keep its box through any wait."""
    small = waits(tmp_path, notes("one"), "ada")
    small.audit = {"park_after_seconds": "never"}
    await small.through()
    assert "run.parked" not in small.types
    assert small.events("audit.unmeasured")[0].expired


async def test_a_stop_while_parked_leaves_a_parked_run(tmp_path: Path) -> None:
    """Ctrl-C then changes nothing: it is woken as if its process had left by itself."""
    small = waits(tmp_path, notes("one"), "ada")
    with trio.move_on_after(3 * HOUR):
        await small.through()
    with Store.open(tmp_path) as store:
        assert store.run(small.run).status == "parked"
    small.answer("1.audit.ada", **VOTE)
    ending = await small.through(small.run)
    assert ending is not None
    assert ending.success


async def test_an_answer_to_a_changed_proposal_does_not_count(tmp_path: Path) -> None:
    """A question that is about something else by now is withdrawn, and put anew by another name."""
    small = waits(tmp_path, notes("one"), "ada")
    assert await small.through(leaves=True) is None
    (before,) = small.events("item.posted")
    small.extra = {"goal": "write other notes"}  # the case is another, and so is its digest

    assert await small.through(small.run, leaves=True) is None
    assert [event.item for event in small.events("item.closed")] == [before.item]
    (_, after) = small.events("item.posted")
    assert after.item == f"{before.item}~2"
    with Store.open(tmp_path) as store:
        answer = Answer(ItemId(before.item), "ada", _clock(), VOTE)
        with pytest.raises(Exception, match="withdrawn"):
            store.answer(answer)
        stale = Answer(ItemId(after.item), "ada", _clock(), {**VOTE, "digest": "0" * 64})
        with pytest.raises(Exception, match="about another proposal"):
            store.answer(stale)
    small.answer("~2", **VOTE)
    ending = await small.through(small.run)
    assert ending is not None
    assert small.notebook.done == [b"one"]
    assert small.verified()


async def test_the_end_of_a_run_withdraws_its_questions(tmp_path: Path) -> None:
    """A box that broke the rules ends the run; nobody is asked any longer what was deferred."""

    async def agent(inside: Any) -> int:
        await inside.propose("note", "one", "because")
        await inside.misbehave()
        return 0

    small = waits(tmp_path, agent, "ada")
    small.audit = {"mode": "deferred"}
    ending = await small.through()
    assert ending is not None
    assert not ending.success
    assert [event.reason for event in small.events("item.closed")] == ["withdrawn"]
    with Store.open(tmp_path) as store:
        assert store.items(run=small.run) == []
    assert small.verified()


async def test_a_question_that_is_answered_while_the_box_is_closed_parks_nothing(
    tmp_path: Path,
) -> None:
    """The run is stopped, so that it goes on at once, and the record has its stop in order."""
    small = Small(tmp_path, notes("one"), rate=0.0)
    row = small.new()
    with Store.open(tmp_path) as store:
        journal = Journal(row, Writer(store, inline), lambda record: None)
        await begin(journal, Story(), row, small.loaded)
        await parking.park(journal, store, None)
        assert store.run(row.run).status == "interrupted"
        (verdict,) = [one.verdict for one in verify(store, row.run) if one.name == "waits"]
        assert verdict is True
    assert (await small.live(small.claim(row.run))).success
