"""What `show` tells of model calls: tokens, cost, log-probabilities, refusals, cancellations."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import trio

from monastery.runtime.cli.rendering import executors
from monastery.runtime.ports import Desk
from monastery.runtime.project_file import load
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.scripted import Inside, ScriptedSandbox
from tests.cli.conftest import Cli

PROJECT = """
name: priced
goal: Think.
agent: {command: [python3, agent.py]}
steps: {plan: {audit: never}}
policy:
  scripted: script.jsonl
  models: [m]
  prices: {m: {tokens_in: 1000000, tokens_out: 2000000}}
"""
CALL: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
TOKEN = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}


class Model:
    """Answers with three tokens and their log-probabilities; never, where it is asked slowly."""

    name = "model"

    def __init__(self) -> None:
        self.asked_slowly = trio.Event()

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer."""
        await trio.lowlevel.checkpoint()
        if body["request"]["messages"][0]["content"] == "slow":
            self.asked_slowly.set()
            await trio.sleep_forever()
        choice = {"index": 0, "logprobs": {"content": [TOKEN] * 3}}
        used = {"prompt_tokens": 1700, "completion_tokens": 3}
        return {"choices": [choice], "usage": used}


@pytest.fixture
def told(cli: Cli) -> Cli:
    """The command line beside a run with four model calls: one refused, one cancelled."""
    (cli.folder / "script.jsonl").touch()
    (cli.folder / "project.yaml").write_text(PROJECT)
    loaded, model = load(cli.folder / "project.yaml"), Model()

    async def thinks(inside: Inside) -> int:
        await inside.model({"api": "openai.chat", "request": CALL})
        await inside.model({"api": "openai.chat", "request": CALL | {"model": "\x1b[31m"}})
        slow = CALL | {"messages": [{"role": "user", "content": "slow"}], "max_tokens": 2}
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(inside.model, {"api": "openai.chat", "request": slow})
                await model.asked_slowly.wait()
                scope.cancel()
        await inside.propose("plan", b"one", "?")
        await inside.model({"api": "openai.chat", "request": CALL})
        return 0

    def build(desk: Desk, calls: int) -> World:
        return World(ScriptedSandbox(thinks), [], executors(loaded, desk), model)

    home = loaded.folder / ".monastery"
    with Store.open(home) as store:
        row = new_run(store, loaded)
    trio.run(go, home, row, loaded, build, lambda record: None)
    return cli


def test_show_tells_what_each_segments_calls_came_to(told: Cli) -> None:
    """In figures for programs: each segment's own calls, and each call with its names."""
    run = told("show", "last", "--json").json
    first, second = (one["model"] for one in run["segments"])
    assert (first["calls"], first["refused"], first["cancelled"]) == (3, 1, 1)
    assert (second["calls"], second["refused"], second["cancelled"]) == (1, 0, 0)
    assert (first["reckoned"], second["reckoned"]) == (True, False)
    assert (second["tokens_in"], second["tokens_out"], second["cost"]) == (1700, 3, 1706.0)
    assert (first["logprobs"], second["logprobs"]) == (3, 3)
    assert 1700 < first["tokens_in"] < 1800
    calls = run["segments"][0]["calls"]
    assert sorted(call["status"] for call in calls) == [200, 400, 499]


def test_show_tells_it_to_people(told: Cli) -> None:
    """A column for tokens and one for cost; a line for each call where contents are asked for."""
    head, *rows = told("show", "last").out.split("\n\n")[1].splitlines()
    assert "TOKENS" in head
    assert "COST" in head
    assert "1,703" in rows[1]
    assert "1706" in rows[1]
    assert "~" in rows[0]
    whole = told("show", "last", "--content").out
    assert "3 model calls, 1 refused, 1 cancelled, ~" in whole
    assert "log-probabilities of 3 tokens" in whole
    assert "refused: the model '\\x1b[31m' is not allowed" in whole
    assert "4 model calls, 1 refused, 1 cancelled" in whole.splitlines()[-1]


def test_what_was_refused_or_cancelled_is_nothing_to_learn_from(told: Cli) -> None:
    """An export holds the calls that a model answered to somebody."""
    lines = [json.loads(line) for line in told("export", "last", "--to", "jsonl").out.splitlines()]
    assert [len(line["trainable"]["responses"]) for line in lines] == [1, 1]
    assert [len(line["context"]["requests"]) for line in lines] == [1, 1]
