"""The loop: think, freeze, draw, audit, reward, gate, execute, thaw, over a scripted box."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.errors import AuditFailed, BoxDied, MonasteryError
from monastery.runtime.records import Answer, Case, ItemId, Outcome, Vote
from monastery.runtime.runner import cause
from monastery.runtime.store import Store
from tests.runtime.world import Notebook, SetAuditor, Small, approve, expired, notes

pytestmark = pytest.mark.virtual


async def test_an_unaudited_step_goes_through_every_station_in_order(tmp_path: Path) -> None:
    """Without an audit: freeze, draw, gate, intent, outcome, next segment; and no reward."""
    small = Small(tmp_path, notes("one"), rate=0.0)
    ending = await small.live(small.new())
    assert (ending.success, small.notebook.done) == (True, [b"one"])
    assert small.types == [
        "run.started",
        "segment.started",
        "box.started",
        "segment.printed",
        "proposal.frozen",
        "audit.drawn",
        "gate.decided",
        "step.started",
        "step.completed",
        "segment.started",
        "seed.revealed",
        "run.ended",
    ]


async def test_an_audited_step_is_rewarded_before_it_is_done(tmp_path: Path) -> None:
    """With an audit: the score and the reward, weighted 1/p, come before the step's intent."""
    small = Small(tmp_path, notes("one"), [SetAuditor(approve(0.5))], rate=1.0)
    await small.live(small.new())
    middle = small.types[small.types.index("audit.drawn") : small.types.index("step.completed")]
    assert middle == [
        "audit.drawn",
        "audit.shown",
        "audit.voted",
        "audit.scored",
        "reward.issued",
        "gate.decided",
        "step.started",
    ]
    (reward,) = small.events("reward.issued")
    assert (reward.score, reward.weight, reward.value) == (0.5, 1.0, 0.5)


async def test_a_rewards_weight_is_one_over_the_recorded_probability(tmp_path: Path) -> None:
    """At a rate of 1/4 some of 40 steps are audited, with weight 4 each; the rest earn nothing."""
    texts = [str(number) for number in range(40)]
    small = Small(tmp_path, notes(*texts), [SetAuditor(approve(0.5))], rate=0.25)
    await small.live(small.new())
    rewards = small.events("reward.issued")
    audited = [draw.segment for draw in small.events("audit.drawn") if draw.audited]
    assert 0 < len(audited) < 40
    assert [reward.segment for reward in rewards] == audited
    assert {(reward.weight, reward.value) for reward in rewards} == {(4.0, 2.0)}


@pytest.mark.parametrize(
    ("failure", "status"),
    [(AuditFailed("nonsense"), "rejected"), (expired(), "expired"), (KeyError("x"), "rejected")],
)
async def test_an_audit_that_did_not_measure_blocks_and_earns_nothing(
    tmp_path: Path, failure: Exception, status: str
) -> None:
    """Failed, expired or crashed auditors: unmeasured, no reward, not executed, the agent told."""
    small = Small(tmp_path, notes("one"), [SetAuditor(failure)])
    ending = await small.live(small.new())
    assert not ending.success
    assert small.notebook.done == []
    assert len(small.events("audit.unmeasured")) == 1
    assert small.events("reward.issued") == []
    assert [event.status for event in small.events("step.completed")] == [status]


async def test_one_failing_auditor_calls_the_others_off(tmp_path: Path) -> None:
    """The step is not held up by an auditor whose vote can no longer count."""

    class Sleeper:
        name = "sleeper"

        async def judge(self, case: Case, box: Any) -> Vote:
            await trio.sleep_forever()
            raise AssertionError

    small = Small(tmp_path, notes("one"), [SetAuditor(AuditFailed("no")), Sleeper()])
    await small.live(small.new())
    assert small.events("step.completed")[0].status == "rejected"


@pytest.mark.parametrize(
    ("rules", "score", "verdict"),
    [
        ({}, 0.5, "reject"),
        ({"score": "median"}, 0.7, "reject"),
        ({"decision": "majority"}, 0.5, "approve"),
        ({"score": "median", "decision": "majority"}, 0.7, "approve"),
    ],
)
async def test_a_project_says_how_votes_become_one(
    tmp_path: Path, rules: dict[str, str], score: float, verdict: str
) -> None:
    """One auditor against two: by default it is heeded, with median and majority outvoted."""
    votes = [approve(0.8, "one"), Vote("two", "reject", 0.0), approve(0.7, "three")]
    auditors = [SetAuditor(vote, name=vote.auditor) for vote in votes]
    small = Small(tmp_path, notes("one"), auditors, audit=rules)
    await small.live(small.new())
    (reward,) = small.events("reward.issued")
    (gate,) = small.events("gate.decided")
    assert (reward.score, gate.verdict) == (pytest.approx(score), verdict)


async def test_nothing_runs_from_proposal_to_outcome(tmp_path: Path) -> None:
    """While auditors judge and the executor works, the box is frozen; afterwards it is not."""
    seen = []
    small = Small(tmp_path, notes("one"))

    class Looks(SetAuditor):
        async def judge(self, case: Case, box: Any) -> Vote:
            seen.append(small.sandbox.boxes[0].frozen)
            return await super().judge(case, box)

    class Works(Notebook):
        async def execute(self, step: Any) -> Outcome:
            seen.append(small.sandbox.boxes[0].frozen)
            return await super().execute(step)

    small.auditors, small.notebook = [Looks(approve())], Works()
    await small.live(small.new())
    assert seen == [True, True]
    assert not small.sandbox.boxes[0].frozen


async def test_a_freeze_that_fails_ends_the_run(tmp_path: Path) -> None:
    """Nothing is recorded as proposed, nothing is done, the run is over and its box closed."""

    async def agent(inside: Any) -> int:
        inside.refuse_freeze()
        await inside.propose("note", "one", "because")
        return 0

    small = Small(tmp_path, agent)
    ending = await small.live(small.new())
    assert not ending.success
    assert "frozen" in ending.reason
    assert small.notebook.done == []
    assert small.types[-1] == "run.ended"
    assert small.sandbox.boxes[0].closed


async def test_a_dead_box_stops_the_run_so_that_it_can_go_on(tmp_path: Path) -> None:
    """BoxDied is raised, the journal says why, and the next life finishes the job."""
    lives = []

    async def agent(inside: Any) -> int:
        lives.append(1)
        if len(lives) == 1:
            await inside.die(out_of_memory=True)
        return await notes("one")(inside)

    small = Small(tmp_path, agent, rate=0.0)
    row = small.new()
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - looked into below
        await small.live(row)
    assert isinstance(cause(caught.value), BoxDied)
    assert small.types[-1] == "run.interrupted"
    ending = await small.live(small.claim(row.run))
    assert ending.success
    assert small.notebook.done == [b"one"]


@pytest.mark.parametrize("fault", ["misbehave", "exceed"])
async def test_a_box_that_breaks_the_rules_ends_the_run(tmp_path: Path, fault: str) -> None:
    """Broken rules and used-up limits are the end, with the reason in the journal."""

    async def agent(inside: Any) -> int:
        await getattr(inside, fault)()
        return 0

    small = Small(tmp_path, agent)
    ending = await small.live(small.new())
    assert not ending.success
    assert small.events("run.ended")[0].reason == ending.reason


async def test_what_is_no_proposal_is_refused_without_ending_the_segment(tmp_path: Path) -> None:
    """An unknown kind and a bad payload: told at once, recorded, and the same segment goes on."""
    answers = []

    async def agent(inside: Any) -> int:
        answers.append(await inside.propose("launch", "now", "why not"))
        answers.append(await inside.propose("note", "bad", "why not"))
        answers.append(await inside.propose("note", "good", "because"))
        return 0

    small = Small(tmp_path, agent, rate=0.0)
    await small.live(small.new())
    assert [answer["status"] for answer in answers] == ["rejected", "rejected", "done"]
    assert "allowed: note" in answers[0]["feedback"]
    assert {event.segment for event in small.events("proposal.refused")} == {
        small.events("proposal.frozen")[0].segment
    }
    assert small.sandbox.boxes[0].freezes == 1


async def test_a_modified_step_uses_the_auditors_bytes(tmp_path: Path) -> None:
    """The executor gets exactly what the auditor wrote; the reward is for what the agent wrote."""
    small = Small(tmp_path, notes("one"), [SetAuditor(Vote("set", "modify", 0.4, "", b"uno"))])
    await small.live(small.new())
    assert small.notebook.done == [b"uno"]
    assert small.events("reward.issued")[0].score == 0.4


async def test_a_modification_that_is_not_of_its_kind_blocks(tmp_path: Path) -> None:
    """What an auditor wrote is checked like what an agent wrote."""
    small = Small(tmp_path, notes("one"), [SetAuditor(Vote("set", "modify", 0.4, "", b"bad"))])
    await small.live(small.new())
    assert small.notebook.done == []
    assert small.events("gate.decided")[0].verdict == "reject"


async def test_terminate_ends_the_run(tmp_path: Path) -> None:
    """The step is not done, and the agent does not wake again."""
    small = Small(tmp_path, notes("one", "two"), [SetAuditor(Vote("set", "terminate", 0.0))])
    ending = await small.live(small.new())
    assert not ending.success
    assert small.notebook.done == []
    assert len(small.events("proposal.frozen")) == 1


@pytest.mark.parametrize(("said", "done"), [("approve", [b"one"]), ("reject", [])])
async def test_an_escalated_step_waits_for_a_person(
    tmp_path: Path, said: str, done: list[bytes]
) -> None:
    """A person's answer at the desk decides; the score of the audit stays the reward."""
    small = Small(tmp_path, notes("one"), [SetAuditor(Vote("set", "escalate", 0.6))])
    row = small.new()

    def answer(record: Any) -> None:
        if record.event.type == "item.posted":
            with Store.open(tmp_path) as store:
                item = ItemId(f"{row.run}.1.gate")
                store.answer(Answer(item, "ada", datetime.now(UTC), {"decision": said}))

    small.watch = answer
    await small.live(row)
    assert small.notebook.done == done
    assert small.events("gate.decided")[0].by == "ada"
    assert small.events("reward.issued")[0].score == 0.6


async def test_only_canned_sentences_reach_the_agent_where_the_project_lists_them(
    tmp_path: Path,
) -> None:
    """A line of a note that is not among them, and whose it was, is withheld."""
    heard = []

    async def agent(inside: Any) -> int:
        heard.append((await inside.propose("note", "one", "why"))["feedback"])
        return 0

    note = "Add a test.\nand I saw through you\nAsk first, or else"
    audit = {"feedback": "canned", "canned": ["Add a test.", "Ask first"]}
    votes = [SetAuditor(Vote(name, "reject", 0.1, note=note), name=name) for name in ("ada", "bo")]
    small = Small(tmp_path, agent, votes, audit=audit)
    await small.live(small.new())
    assert heard == ["Add a test."]


async def test_feedback_reaches_the_agent_only_where_the_project_allows_it(tmp_path: Path) -> None:
    """An auditor's note is told with ``feedback: full`` and withheld without."""
    heard = {}
    for feedback in ("none", "full"):

        async def agent(inside: Any, feedback: str = feedback) -> int:
            heard[feedback] = (await inside.propose("note", "one", "why"))["feedback"]
            return 0

        vote = Vote("set", "reject", 0.1, "too bold")
        home = tmp_path / feedback
        await (small := Small(home, agent, [SetAuditor(vote)], audit={"feedback": feedback})).live(
            small.new()
        )
    assert heard == {"none": None, "full": "set: too bold"}


async def test_think_time_is_limited(tmp_path: Path) -> None:
    """A segment that thinks for too long ends the run, and says so."""

    async def agent(inside: Any) -> int:
        await trio.sleep_forever()
        return 0

    small = Small(tmp_path, agent, extra={"box": {"think_seconds": 5.0}})
    ending = await small.live(small.new())
    assert ending.reason == "segment 1 thought for longer than 5 seconds"


async def test_steps_are_limited(tmp_path: Path) -> None:
    """The run ends after as many steps as the project allows."""
    small = Small(tmp_path, notes("a", "b", "c"), rate=0.0, extra={"limits": {"steps": 2}})
    ending = await small.live(small.new())
    assert ending.reason == "the limit of 2 steps is reached"
    assert small.notebook.done == [b"a", b"b"]


class Echo:
    """A policy that answers after a while with what it was asked."""

    name = "echo"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer."""
        await trio.sleep(self.seconds)
        return {"echo": body}


async def test_a_model_call_goes_out_and_back_and_is_recorded(tmp_path: Path) -> None:
    """The answer reaches the agent; the call stands in the journal, in its segment."""
    heard = []

    async def agent(inside: Any) -> int:
        heard.append(await inside.model({"ask": 1}))
        return await notes("one")(inside)

    small = Small(tmp_path, agent, rate=0.0, policy=Echo())
    await small.live(small.new())
    assert heard == [{"echo": {"ask": 1}}]
    (call,) = small.events("model.called")
    assert call.segment == small.events("segment.started")[0].segment


async def test_a_model_answer_that_comes_while_frozen_belongs_to_the_next_segment(
    tmp_path: Path,
) -> None:
    """Nothing reaches a frozen box, and a segment holds all that the agent learned in it."""

    async def agent(inside: Any) -> int:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inside.model, {"slow": True})
            await trio.sleep(1)
            await inside.propose("note", "one", "because")
        return 0

    class Slow(SetAuditor):
        async def judge(self, case: Case, box: Any) -> Vote:
            await trio.sleep(60)
            return await super().judge(case, box)

    small = Small(tmp_path, agent, [Slow(approve())], policy=Echo(seconds=10))
    await small.live(small.new())
    first, second = small.events("segment.started")
    assert small.events("model.called")[0].segment == second.segment != first.segment
    assert small.types.index("model.called") > small.types.index("step.completed")


async def test_a_deferred_audit_rewards_later_from_a_case_without_the_outcome(
    tmp_path: Path,
) -> None:
    """The step is done at once; the reward comes afterwards, and the run is not over before it."""

    class Slow(SetAuditor):
        async def judge(self, case: Case, box: Any) -> Vote:
            await trio.sleep(60)
            return await super().judge(case, box)

    auditor = Slow(approve(0.9))
    small = Small(tmp_path, notes("one", "two"), [auditor], audit={"mode": "deferred"})
    ending = await small.live(small.new())
    assert ending.success
    assert small.types.index("reward.issued") > small.types.index("step.completed")
    assert len(small.events("reward.issued")) == 2
    told = sorted([step.index for step in case.earlier] for case in auditor.cases)
    assert told == [[], [1]]
    assert small.types[-1] == "run.ended"


async def test_a_step_that_breaks_is_looked_for_and_not_done_again(tmp_path: Path) -> None:
    """An executor that cannot know raises; what its look finds is the outcome."""
    small = Small(tmp_path, notes("one"), rate=0.0)
    small.notebook.breaks = MonasteryError("the line went dead")
    small.notebook.finds = Outcome("done", {"found": True})
    await small.live(small.new())
    assert small.notebook.done == [b"one"]
    assert [event.how for event in small.events("step.completed")] == ["reconciled"]


async def test_a_step_of_unknown_outcome_waits_for_a_person(tmp_path: Path) -> None:
    """Where no look can tell, a person says whether it was done; nothing is done twice."""
    small = Small(tmp_path, notes("one"), rate=0.0)
    small.notebook.breaks = MonasteryError("the line went dead")
    row = small.new()

    def answer(record: Any) -> None:
        if record.event.type == "item.posted":
            with Store.open(tmp_path) as store:
                item = ItemId(f"{row.run}.1.resolve")
                body = {"status": "done", "content": "I saw it"}
                store.answer(Answer(item, "ada", datetime.now(UTC), body))

    small.watch = answer
    ending = await small.live(row)
    assert ending.success
    assert small.notebook.done == [b"one"]
    assert [event.how for event in small.events("step.completed")] == ["resolved"]


async def test_a_stop_while_a_step_is_done_does_not_lose_its_outcome(tmp_path: Path) -> None:
    """An executor that finishes under a cancelled run is heard, before the run stops."""
    stop = trio.CancelScope()

    class Stopping(Notebook):
        async def execute(self, step: Any) -> Outcome:
            stop.cancel()
            return await super().execute(step)

    small = Small(tmp_path, notes("one"), rate=0.0, notebook=Stopping())
    with stop:
        await small.live(small.new())
    assert small.notebook.done == [b"one"]
    assert [event.how for event in small.events("step.completed")] == ["executed"]
    assert small.types[-1] == "run.interrupted"


async def test_cancelling_leaves_an_interrupted_run_and_no_open_box(tmp_path: Path) -> None:
    """A cancelled run says so in its journal, and its box is closed."""

    async def agent(inside: Any) -> int:
        await trio.sleep_forever()
        return 0

    small = Small(tmp_path, agent)
    row = small.new()
    with trio.move_on_after(5) as scope:
        await small.live(row)
    assert scope.cancelled_caught
    assert small.types[-1] == "run.interrupted"
    assert small.sandbox.boxes[0].closed
    with Store.open(tmp_path) as store:
        assert store.run(row.run).status == "interrupted"
