"""The sandbox in memory keeps the rules that the loop relies on, in virtual time."""

import pytest
import trio

from monastery.runtime.errors import BoxDied, FreezeFailed, GuestMisbehaved, LimitExceeded
from monastery.runtime.records import (
    AgentExited,
    BoxSpec,
    ModelRequest,
    ProposalRequest,
    RunId,
)
from monastery.sandbox.scripted import Inside, ScriptedSandbox, SecondProposal, finished

RUN, SPEC = RunId("r"), BoxSpec("none")


async def start(box) -> None:
    """Start the box's function."""
    await box.start_agent(["agent"], env={"A": "1"}, history=b"[7]")


async def test_it_says_and_hears_what_an_agent_does():
    """Model calls, proposals, prints and the end come in order."""

    async def agent(inside: Inside) -> int:
        inside.print(f"{inside.history} {inside.env['A']}")
        answer = await inside.model({"ask": 1})
        outcome = await inside.propose("k", "p", "why", {"e": b"x"})
        inside.print(outcome["status"])
        return answer["code"]

    async with ScriptedSandbox(agent).open(RUN, SPEC) as box:
        await start(box)
        assert await box.receive() == ModelRequest(1, {"ask": 1})
        assert box.take_transcript().text == b"[7] 1\n"
        await box.answer(1, {"code": 4})
        asked = await box.receive()
        assert isinstance(asked, ProposalRequest)
        assert asked.payload == b"p"
        await box.answer(asked.call, {"status": "done"})
        assert await box.receive() == AgentExited(4)
        assert box.take_transcript().text == b"done\n"


@pytest.mark.virtual
async def test_a_frozen_agent_waits_for_the_thaw():
    """An hour passes, answered or not, and the agent does nothing."""
    steps = []

    async def agent(inside: Inside) -> None:
        await inside.propose("k", b"", "")
        steps.append("after")
        await inside.sleep(1e9)

    async with ScriptedSandbox(agent).open(RUN, SPEC) as box:
        await start(box)
        asked = await box.receive()
        await box.freeze()
        await box.answer(asked.call, {"status": "done"})
        await trio.sleep(3600)
        assert steps == []
        await box.thaw()
        await trio.sleep(1)
        assert steps == ["after"]


async def test_a_second_proposal_is_refused():
    """As in a real box."""

    async def agent(inside: Inside) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inside.propose, "k", b"1", "")
            await inside.model({})
            with pytest.raises(SecondProposal):
                await inside.propose("k", b"2", "")
            await inside.model({})

    async with ScriptedSandbox(agent).open(RUN, SPEC) as box:
        await start(box)
        calls = [await box.receive(), await box.receive()]
        (first,) = (call for call in calls if isinstance(call, ProposalRequest))
        (model,) = (call for call in calls if isinstance(call, ModelRequest))
        await box.answer(model.call, {})
        after = await box.receive()
        await box.answer(after.call, {})
        await box.answer(first.call, {})
        assert await box.receive() == AgentExited(0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda inside: inside.die(out_of_memory=True), BoxDied),
        (lambda inside: inside.misbehave(), GuestMisbehaved),
        (lambda inside: inside.exceed(), LimitExceeded),
    ],
)
async def test_scripted_faults_break_the_box(fault, error):
    """Whoever waits hears of it, and so does whoever comes later."""
    async with ScriptedSandbox(fault).open(RUN, SPEC) as box:
        await start(box)
        for use in (box.receive, box.receive, box.freeze, box.thaw):
            with pytest.raises(error):
                await use()


async def test_a_freeze_can_be_made_to_fail():
    """For the loop's promise never to go on unfrozen."""

    async def agent(inside: Inside) -> None:
        inside.refuse_freeze()
        await inside.propose("k", b"", "")

    async with ScriptedSandbox(agent).open(RUN, SPEC) as box:
        await start(box)
        await box.receive()
        with pytest.raises(FreezeFailed):
            await box.freeze()


async def test_an_agent_that_raises_exits_with_its_traceback():
    """As a program does."""

    async def agent(inside: Inside) -> None:
        raise KeyError("x")

    async with ScriptedSandbox(agent).open(RUN, SPEC) as box:
        await start(box)
        assert await box.receive() == AgentExited(1)
        assert b"KeyError: 'x'" in box.take_transcript().text


@pytest.mark.virtual
async def test_a_scripted_command_runs_and_expires():
    """Commands are functions over the files, with a time limit."""

    async def slow(files, argv, stdin):
        await trio.sleep(1000)
        return finished(0, b"late")

    async def idle(inside: Inside) -> None:
        await inside.sleep(1e9)

    async with ScriptedSandbox(idle, commands={"slow": slow}).open(RUN, SPEC) as box:
        assert (await box.run(["slow"], timeout_seconds=10)).timed_out
        result = await box.run(["slow"], timeout_seconds=2000, max_output_bytes=2)
        assert (result.stdout, result.stdout_seen_bytes) == (b"la", 4)
