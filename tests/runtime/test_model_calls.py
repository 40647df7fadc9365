"""Model calls outside the box: budgets, patience, what is recorded; against a real server."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from monastery.policies.pace import Pace
from monastery.policies.provider import ProviderPolicy
from monastery.policies.replayed import ReplayedPolicy
from monastery.policies.scripted import ScriptedPolicy
from monastery.runtime.errors import BadInput, PolicyFailed
from monastery.runtime.project import (
    OpenAIPolicySettings,
    ReplayedPolicySettings,
    ScriptedPolicySettings,
)
from monastery.runtime.records import Vote
from monastery.runtime.replay import recorded_calls
from monastery.runtime.store import Store
from tests.provider import Provider, provider
from tests.runtime.world import Small, notes

CALL = {"api": "openai.chat", "request": {"model": "m", "messages": []}}
CALL["request"] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
PRICES = {"m": {"tokens_in": 1_000_000.0, "tokens_out": 2_000_000.0}}


@pytest.fixture
def server() -> Iterator[Provider]:
    """A provider whose every answer took 7 tokens in and 3 out."""
    with provider() as told:
        yield told


def settings(server: Provider, **more: Any) -> OpenAIPolicySettings:
    """Return the settings of a policy at this server."""
    whole = {"openai": server.url, "models": ["m"], **more}
    return OpenAIPolicySettings.model_validate(whole)


async def ask(home: Path, set_: Any, count: int = 1, policy: Any = None) -> tuple[list[Any], Small]:
    """Have an agent call the model so often; return its answers and its world."""
    heard: list[Any] = []

    async def agent(inside: Any) -> int:
        for _ in range(count):
            heard.append(await inside.model(CALL))
        return await notes("one")(inside)

    made = policy or ProviderPolicy(set_)
    small = Small(home, agent, rate=0.0, extra={"policy": set_}, policy=made)
    await small.live(small.new())
    return heard, small


@pytest.mark.parametrize(
    ("budget", "made", "words"),
    [
        ({"calls": 2}, 2, "2 of 2 calls"),
        ({"tokens": 20}, 2, "20 of 20 tokens"),
        ({"tokens": 21}, 3, "30 of 21 tokens"),
        ({"money": 13.5}, 2, "26 of 13.5 money"),
    ],
)
async def test_a_budget_that_is_used_up_ends_the_calls_and_not_the_run(
    tmp_path: Path, server: Provider, budget: dict[str, Any], made: int, words: str
) -> None:
    """The agent is told in the API's form and can still propose; nothing more is paid for."""
    set_ = settings(server, budget=budget, prices=PRICES)
    answers, small = await ask(tmp_path, set_, 4)
    assert len(server.asked) == made
    assert [one["status"] for one in answers] == [200] * made + [429] * (4 - made)
    error = answers[-1]["response"]["error"]
    assert error["type"] == "insufficient_quota"
    assert words in error["message"]
    calls = small.events("model.called")
    assert (calls[0].cost, calls[0].tokens_in, calls[0].tokens_out) == (13.0, 7, 3)
    assert (calls[-1].cost, calls[-1].refused) == (None, error["message"])
    assert small.events("step.completed")


async def test_a_budget_is_the_runs_and_not_the_processes(tmp_path: Path, server: Provider) -> None:
    """What was spent before a stop counts after it."""
    set_ = settings(server, budget={"calls": 3})
    heard: list[int] = []

    async def agent(inside: Any) -> int:
        for _ in range(2):
            heard.append((await inside.model(CALL))["status"])
        return 0

    small = Small(tmp_path, agent, rate=0.0, extra={"policy": set_}, policy=ProviderPolicy(set_))
    row = small.new()
    with trio.CancelScope() as scope:
        small.watch = lambda record: (
            scope.cancel() if len(small.events("model.called")) == 2 else None
        )
        await small.live(row)
    small.watch, small.policy = None, ProviderPolicy(set_)
    await small.live(small.claim(row.run))
    assert len(server.asked) == 3
    assert heard[-1] == 429


async def test_a_call_that_nobody_waits_for_is_cancelled_and_counts(
    tmp_path: Path, server: Provider
) -> None:
    """The provider is hung up on; what it may have cost is reckoned, and no replay has it."""
    arrived, left = threading.Event(), threading.Event()

    def usually(asked: Any) -> Any:
        if asked.body["messages"][0]["content"] == "slow":
            arrived.set()
            assert left.wait(60)
        return {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}

    server.usually = usually
    request = {"model": "m", "messages": [{"role": "user", "content": "slow"}], "max_tokens": 5}
    heard: list[Any] = []

    async def agent(inside: Any) -> int:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(inside.model, {"api": "openai.chat", "request": request})
                assert await trio.to_thread.run_sync(arrived.wait, 60)
                scope.cancel()
        heard.append(await inside.model(CALL))
        left.set()
        return 0

    set_ = settings(server, at_once=1, prices=PRICES, budget={"calls": 2, "tokens": 1000})
    small = Small(tmp_path, agent, rate=0.0, extra={"policy": set_}, policy=ProviderPolicy(set_))
    row = small.new()
    await small.live(row)
    gone, answered = small.events("model.called")
    assert heard[0]["status"] == 200, "its place among those under way was free again"
    assert (gone.cancelled, gone.reckoned, gone.status, gone.model) == (True, True, 499, "m")
    assert gone.tokens_in >= 20
    assert 1 <= gone.tokens_out <= 5
    assert gone.cost == gone.tokens_in + 2 * gone.tokens_out
    assert (answered.cancelled, answered.reckoned, answered.tokens_in) == (False, False, 7)
    with Store.open(tmp_path) as store:
        (kept,) = recorded_calls(store, row.run)
    assert kept[0] == CALL


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
async def test_a_busy_provider_is_asked_again_and_the_agent_hears_nothing_of_it(
    tmp_path: Path, server: Provider, status: int
) -> None:
    """When the provider says how long to wait, it is waited so long."""
    server.says = [(status, {"retry-after": "0"}, {"error": "busy"})] * 2
    (answer,), small = await ask(tmp_path, settings(server))
    assert answer["status"] == 200
    assert len(server.asked) == 3
    assert len(small.events("model.called")) == 1


async def test_patience_ends(tmp_path: Path, server: Provider) -> None:
    """After so many tries the agent is told, and the run goes on."""
    server.says = [(503, {"retry-after": "0"}, b"<html>")] * 9
    (answer,), small = await ask(tmp_path, settings(server, tries=3))
    assert len(server.asked) == 3
    assert answer["status"] == 502
    assert answer["response"]["error"]["message"] == "the model's provider answered 503, 3 times"
    assert small.events("step.completed")


async def test_a_provider_that_is_not_there_is_an_error_that_the_agent_can_read(
    tmp_path: Path, server: Provider
) -> None:
    """A refused connection is tried again too, and tells nothing of this machine."""
    set_ = settings(server, tries=1).model_copy(update={"openai": "http://127.0.0.1:1"})
    (answer,), _ = await ask(tmp_path, set_)
    assert answer["status"] == 502
    assert "cannot be reached: it takes no connection" in answer["response"]["error"]["message"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ((400, {}, {"error": {"message": "too long"}}), 400),
        ((401, {}, {"error": {"message": "Incorrect API key: sk-abc"}}), 502),
        ((302, {"location": "http://127.0.0.1:1/"}, {}), 502),
        ((200, {}, b"<html>"), 502),
        ((200, {}, b'{"a": "\\ud800"}'), 502),
        ((200, {}, b"[]"), 502),
        ((200, {}, b'{"a": "' + bytes(13 << 20) + b'"}'), 502),
    ],
    ids=["to the request", "to the key", "elsewhere", "page", "half a character", "list", "long"],
)
async def test_what_a_provider_says(
    tmp_path: Path, server: Provider, said: Any, status: int
) -> None:
    """What it says to the request the agent hears; what it says to the key, or nonsense, not."""
    server.says = [said]
    (answer,), _ = await ask(tmp_path, settings(server))
    assert len(server.asked) == 1
    assert answer["status"] == status
    assert "sk-abc" not in str(answer)


async def test_no_more_are_under_way_than_the_project_lets(
    tmp_path: Path, server: Provider
) -> None:
    """The provider sees so many at a time, however many the agent makes."""
    two, go = threading.Event(), threading.Event()
    arrived = 0

    def usually(asked: Any) -> Any:
        nonlocal arrived
        if asked.body["model"] == "probe":
            return {}
        arrived += 1
        if arrived == 2:
            two.set()
        assert go.wait(60)
        return {}

    server.usually = usually
    policy, other = ProviderPolicy(settings(server, at_once=2)), ProviderPolicy(settings(server))
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(policy.call, CALL)
        assert await trio.to_thread.run_sync(two.wait, 60)
        for _ in range(3):  # what was sent before them has arrived when they are answered
            await other.call({"api": "openai.chat", "request": {"model": "probe"}})
        assert arrived == 2
        go.set()
    await policy.aclose()
    await other.aclose()
    assert arrived == 6


def test_a_key_that_is_not_there_is_said_before_the_run(server: Provider) -> None:
    """By its name."""
    with pytest.raises(BadInput, match="the environment has no NO_SUCH_KEY"):
        ProviderPolicy(settings(server, key="NO_SUCH_KEY"))


def test_an_address_that_cannot_be_sent_is_said_before_the_run(server: Provider) -> None:
    """And not by the first call."""
    with pytest.raises(BadInput, match="is not ASCII"):
        ProviderPolicy(settings(server, openai="http://exämple.org/v1"))


async def test_a_scripted_policy_answers_api_calls_too(tmp_path: Path) -> None:
    """A line of its file is the response."""
    path = tmp_path / "script.jsonl"
    path.write_text('{"id": "1"}\n{"error": {"message": "no"}}\n{"status": 9}\n')
    set_ = ScriptedPolicySettings(scripted=path.name)
    (first, second, third), small = await ask(tmp_path, set_, 3, ScriptedPolicy(path))
    assert third == {"status": 200, "response": {"status": 9}}
    assert first == {"status": 200, "response": {"id": "1"}}
    assert second == {"status": 500, "response": {"error": {"message": "no"}}}
    assert [call.api for call in small.events("model.called")] == ["openai.chat"] * 3


async def test_a_run_is_replayed_from_the_journal_of_an_earlier_one(
    tmp_path: Path, server: Provider
) -> None:
    """Each answer once more, in order, and nobody is asked; then there are none left."""
    server.says = [(200, {}, {"n": 1}), (200, {}, {"n": 2})]
    first, _ = await ask(tmp_path, settings(server, budget={"calls": 2}), 3)
    with Store.open(tmp_path) as store:
        (row,) = (one.run for one in store.runs())
        policy = ReplayedPolicy(row, recorded_calls(store, row))
    set_ = ReplayedPolicySettings(replayed=row)
    again, _ = await ask(tmp_path, set_, 3, policy)
    assert again[:2] == first[:2]
    assert [one["response"] for one in first[:2]] == [{"n": 1}, {"n": 2}]
    assert first[2]["status"] == 429  # nobody was asked, so there is nothing to replay
    assert again[2]["status"] == 502
    assert "did not make this call so often" in again[2]["response"]["error"]["message"]
    assert len(server.asked) == 2
    with pytest.raises(PolicyFailed, match="never made this call"):
        await policy.call({"another": "request"})


@pytest.mark.virtual
async def test_no_more_are_begun_in_a_minute_than_the_project_lets() -> None:
    """The third of three waits until the first is a minute old."""
    pace, began = Pace(2), trio.current_time()
    times = []
    for _ in range(5):
        await pace.turn()
        times.append(trio.current_time() - began)
    assert times == pytest.approx([0.0, 0.0, 60.0, 60.0, 120.0])


@pytest.mark.virtual
async def test_no_more_tokens_are_used_in_a_minute_than_the_project_lets() -> None:
    """What is under way counts as reckoned, and from its answer on with what it used."""
    pace, began, times = Pace(None, 100), trio.current_time(), []

    async def turn(reckoned: int) -> int:
        number = await pace.turn(reckoned)
        times.append(trio.current_time() - began)
        return number

    first, second = await turn(60), await turn(40)
    await trio.sleep(10)
    pace.settle(first, 30)  # less than was reckoned: there is room for one
    third = await turn(30)
    pace.settle(second, 90)
    pace.settle(third, 5)
    await turn(1)  # when the thirty and the ninety of the tenth second are a minute old
    assert times == pytest.approx([0.0, 0.0, 10.0, 70.0])


@pytest.mark.virtual
async def test_a_call_that_waits_for_tokens_goes_on_when_one_used_fewer() -> None:
    """It need not wait for the end of the minute."""
    pace, began = Pace(None, 100), trio.current_time()
    number = await pace.turn(500)  # a call larger than the limit must begin at some time
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pace.turn, 1)
        await trio.sleep(5)
        pace.settle(number, 50)
    assert trio.current_time() - began == pytest.approx(5.0)


async def test_tokens_of_a_minute_are_counted_from_the_providers_answers(server: Provider) -> None:
    """The tokens that it tells, and not those that were reckoned."""
    policy = ProviderPolicy(settings(server, tokens_per_minute=1_000_000))
    await policy.call(CALL)
    await policy.aclose()
    assert [used for _, used in policy._pace._used.values()] == [10]


def test_a_key_with_a_line_in_it_is_said_before_the_run(
    server: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be another header; and it is not shown."""
    monkeypatch.setenv("THE_KEY", "sk-1\r\nx: y")
    with pytest.raises(BadInput, match="THE_KEY holds what no key can") as caught:
        ProviderPolicy(settings(server, key="THE_KEY"))
    assert "sk-1" not in str(caught.value)


async def test_what_comes_at_a_time_is_bounded_too(server: Provider) -> None:
    """Three answers of ten MiB find no room for all: who is too much is told so."""
    long = {"a": "x" * (10 << 20)}
    together = threading.Barrier(3)

    def usually(asked: Any) -> Any:
        together.wait(60)
        return long

    server.usually = usually
    policy, refused = ProviderPolicy(settings(server)), []

    async def call() -> None:
        try:
            await policy.call(CALL)
        except PolicyFailed as exc:
            refused.append(str(exc))

    policy._reading_bytes = (192 << 20) - (15 << 20)  # as if many others were being read
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(call)
    await policy.aclose()
    assert policy._reading_bytes == (192 << 20) - (15 << 20)
    assert refused
    assert all("make fewer calls at a time" in why for why in refused)


class Held:
    """A policy that answers when the box is frozen, with so many bytes."""

    name = "held"

    def __init__(self, size_bytes: int) -> None:
        self.answer = {"a": "x" * size_bytes}
        self.go = trio.Event()

    async def call(self, body: Any) -> Any:
        """Answer when all may."""
        await self.go.wait()
        return self.answer


async def frozen_answers(home: Path, size_bytes: int) -> tuple[list[Any], Small, list[int]]:
    """Have ten calls answered while the box is frozen.

    Returns:
        What the agent heard, its world, and how many calls the store held when each was told.
    """
    policy, heard, stored = Held(size_bytes), [], []

    async def ask(inside: Any) -> None:
        heard.append(await inside.model({"ask": 1}))

    async def agent(inside: Any) -> int:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask, inside)
            await trio.testing.wait_all_tasks_blocked()
            await inside.propose("note", "one", "because")
        return 0

    class Freezer:
        """An auditor: while it judges, the box is frozen."""

        name = "freezer"

        async def judge(self, case: Any, box: Any) -> Vote:
            policy.go.set()
            await trio.testing.wait_all_tasks_blocked(0.05)
            return Vote("freezer", "approve", 1.0)

    small = Small(home, agent, [Freezer()], policy=policy)

    def watch(record: Any) -> None:
        if record.event.type == "model.called":
            with Store.open(home) as store:
                entries = store.entries(small.run)
                stored.append(sum(b'"model.called"' in entry.body for entry in entries))

    row = small.new()
    small.run, small.watch = row.run, watch  # type: ignore[attr-defined]
    await small.live(row)
    return heard, small, stored


async def test_answers_that_wait_for_a_thaw_are_recorded_together(tmp_path: Path) -> None:
    """In one append, and each asker has its own; all in the segment after the thaw."""
    heard, small, stored = await frozen_answers(tmp_path, 10)
    assert heard == [{"a": "x" * 10}] * 10
    assert stored == [10] * 10
    _, second = small.events("segment.started")
    assert {one.segment for one in small.events("model.called")} == {second.segment}


async def test_answers_that_wait_for_a_thaw_are_bounded(tmp_path: Path) -> None:
    """Nine of twenty MiB wait; the agent is told that there was no room for the tenth."""
    heard, small, _ = await frozen_answers(tmp_path, 20 << 20)
    (refused,) = (one["error"] for one in heard if "error" in one)
    assert refused["type"] == "too_much"
    assert "make fewer calls at a time" in refused["message"]
    assert len(heard) == len(small.events("model.called")) == 10
