"""A local model as a policy: what it says, what is recorded of it, and how it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from monastery.policies.local.conversations import NotTaken, asked
from monastery.policies.local.policy import LocalPolicy
from monastery.policies.local.tool_calls import Called, found
from monastery.runtime.errors import PolicyFailed, ProjectInvalid, Unfit
from monastery.runtime.project import LocalPolicySettings
from monastery.runtime.project_file import parse
from tests.model_server import ROOT, alone

HELLO = [{"role": "user", "content": "Say hello."}]
ADD = [{"role": "user", "content": "What is 2 and 3?"}]
ENDLESS = [{"role": "user", "content": "Do go on."}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}]
WILD = {"temperature": 2.0, "max_tokens": 40}

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "hello": ("openai.chat", {"messages": HELLO}),
    "two tokens": ("openai.chat", {"messages": HELLO, "max_completion_tokens": 2}),
    "endless": ("openai.chat", {"messages": ENDLESS}),
    "stopped": ("openai.chat", {"messages": HELLO, "stop": ["!", "wor"]}),
    "told": ("openai.chat", {"messages": HELLO, "logprobs": True, "top_logprobs": 3}),
    "tokens": ("openai.chat", {"messages": HELLO, "return_token_ids": True}),
    "wild 7": ("openai.chat", {"messages": HELLO, "seed": 7, "n": 3, **WILD}),
    "wild 7 again": ("openai.chat", {"messages": HELLO, "seed": 7, "n": 3, **WILD}),
    "wild 8": ("openai.chat", {"messages": HELLO, "seed": 8, **WILD, "top_p": 0.95}),
    "wild": ("openai.chat", {"messages": HELLO, **WILD}),
    "long": ("openai.chat", {"messages": [{"role": "user", "content": "pages " * 700}], **WILD}),
    "too long": ("openai.chat", {"messages": [{"role": "user", "content": "long " * 9000}]}),
    "call": ("openai.chat", {"messages": ADD, "tools": TOOLS}),
    "no call": ("openai.chat", {"messages": ADD, "tools": TOOLS, "tool_choice": "none"}),
    "few": ("anthropic.messages", {"messages": HELLO, "max_tokens": 40, "temperature": 1.0}),
    "count": ("anthropic.count_tokens", {"messages": HELLO}),
    "json": ("openai.chat", {"messages": HELLO, "response_format": {"type": "json_object"}}),
}
CALLS["few"][1]["top_k"] = 3


@pytest.fixture(scope="module")
def said(tiny_model: Path) -> dict[str, Mapping[str, Any]]:
    """What a model answers to all of these; one process thinks about all of them."""
    answers: dict[str, Mapping[str, Any]] = {}

    async def ask() -> None:
        settings = LocalPolicySettings(local="tiny", max_tokens=100)
        policy = LocalPolicy(settings, tiny_model)
        try:
            for name, (api, request) in CALLS.items():
                body = {"api": api, "request": {"model": "m", **request}}
                answers[name] = await policy.call(body)
        finally:
            await policy.aclose()

    trio.run(ask)
    return answers


def choice(answer: Mapping[str, Any]) -> Any:
    """Return the first choice of an answer."""
    return answer["response"]["choices"][0]


def test_an_answer_ends_where_it_should(said: dict[str, Any]) -> None:
    """By itself, at a text, at what the request allows, or at what the project does."""
    ends = {name: (choice(said[name])["message"]["content"], choice(said[name])["finish_reason"])
            for name in ("hello", "two tokens", "endless", "stopped")}  # fmt: skip
    assert ends["hello"] == ("Hello, world!", "stop")
    assert ends["stopped"] == ("Hello, ", "stop")
    assert ends["two tokens"][1] == ends["endless"][1] == "length"
    counts = {name: said[name]["response"]["usage"]["completion_tokens"] for name in ends}
    assert (counts["two tokens"], counts["endless"]) == (2, 100)
    assert ends["endless"][0].startswith(" and on and on")


def test_the_agent_is_told_log_probabilities_if_it_asks(said: dict[str, Any]) -> None:
    """Of each token of the text, with the most probable ones beside it."""
    told = choice(said["told"])["logprobs"]["content"]
    assert "".join(one["token"] for one in told) == "Hello, world!"
    for one in told:
        assert one["top_logprobs"][0]["logprob"] == one["logprob"] > -0.1
        assert len(one["top_logprobs"]) == 3
    assert choice(said["hello"])["logprobs"] is None


def test_the_agent_is_told_tokens_if_it_asks(said: dict[str, Any]) -> None:
    """By the names that vLLM gives them; they are those that are recorded."""
    told, kept = said["tokens"]["response"], said["tokens"]["sampled"]
    assert told["prompt_token_ids"] == kept["prompt_ids"]
    assert [one["token_ids"] for one in told["choices"]] == [kept["samples"][0]["ids"]]
    unasked = said["hello"]["response"]
    assert "prompt_token_ids" not in unasked
    assert "token_ids" not in choice(said["hello"])


def test_a_seed_decides_the_answer(said: dict[str, Any]) -> None:
    """The same one the same; another one, and each of several answers, another."""
    ids = {name: [one["ids"] for one in said[name]["sampled"]["samples"]] for name in said
           if name.startswith("wild")}  # fmt: skip
    assert ids["wild 7"] == ids["wild 7 again"]
    assert len(said["wild 7"]["response"]["choices"]) == 3
    drawn = [*ids["wild 7"], *ids["wild 8"], *ids["wild"]]
    assert len({tuple(one) for one in drawn}) == 5
    assert said["wild"]["sampled"]["seed"] != said["few"]["sampled"]["seed"]


def test_every_token_is_recorded_with_its_probability(
    said: dict[str, Any], tiny_model: Path
) -> None:
    """The model, given the recorded tokens at once, finds the same log-probabilities."""
    calls = [answer["sampled"] for answer in said.values() if "sampled" in answer]
    assert len(calls) == 14
    assert len(said["long"]["sampled"]["prompt_ids"]) > 1000
    assert {call["temperature"] for call in calls} == {0.0, 1.0, 2.0}
    assert {(call["top_p"], call["top_k"]) for call in calls} == {(1.0, 0), (0.95, 0), (1.0, 3)}
    (narrowed,) = said["wild 8"]["sampled"]["samples"]
    assert min(narrowed["drawn_logprobs"]) < -0.1, "there was nothing to choose from"
    done = subprocess.run(
        [sys.executable, "-m", "tests.policies.recount"],
        cwd=ROOT,
        env=alone(),
        input=json.dumps({"folder": str(tiny_model), "calls": calls}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    worst = json.loads(done.stdout)
    assert max(worst.values()) < 1e-3, worst


def test_tools_are_called_where_they_are_offered(said: dict[str, Any]) -> None:
    """With none to call, the same text is a text."""
    made = choice(said["call"])
    (call,) = made["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"a": 2, "b": 3}
    assert (made["finish_reason"], made["message"]["content"]) == ("tool_calls", None)
    text = choice(said["no call"])["message"]
    assert "tool_calls" not in text
    assert text["content"].startswith("<tool_call>")


def test_what_cannot_be_done_is_refused(said: dict[str, Any]) -> None:
    """More than the context, and what such a model does not do; a count counts what is given."""
    assert said["too long"]["status"] == said["json"]["status"] == 400
    error = said["too long"]["response"]["error"]
    assert error["code"] == "context_length_exceeded"
    assert "the context of this model is 16384 tokens long; the prompt has" in error["message"]
    assert "does not do response_format" in said["json"]["response"]["error"]["message"]
    given = said["hello"]["response"]["usage"]["prompt_tokens"]
    assert said["count"]["response"] == {"input_tokens": given}
    assert given == len(said["hello"]["sampled"]["prompt_ids"])


async def test_a_call_that_nobody_waits_for_is_called_off(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one does not wait for its end, which is far, and gets its own answer.

    When the process dies, the call fails and says so, and the next one starts another process.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    policy = LocalPolicy(LocalPolicySettings(local="tiny", max_tokens=100), tiny_model)
    endless = {"model": "m", "messages": ENDLESS, "max_tokens": 16_000, "n": 16}
    hello = {"api": "openai.chat", "request": {"model": "m", "messages": HELLO}}
    try:
        await policy.call(hello)
        (process,) = children()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(policy.call, {"api": "openai.chat", "request": endless})
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        answer = await policy.call(hello)
        assert choice(answer)["message"]["content"] == "Hello, world!"
        assert children() == [process]
        os.kill(process, signal.SIGKILL)
        with pytest.raises(PolicyFailed, match="the local model's process ended with -9"):
            await policy.call(hello)
        assert choice(await policy.call(hello))["message"]["content"] == "Hello, world!"
        (another,) = children()
        assert another != process
    finally:
        await policy.aclose()
    assert children() == []


def children() -> list[int]:
    """Return the processes of this one that hold a model."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                argv = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it ended meanwhile
            if parent == os.getpid() and b"monastery.policies.local.worker" in argv:
                found.append(int(entry.name))
    return found


async def test_a_model_that_cannot_be_loaded_is_told(tmp_path: Path, tiny_model: Path) -> None:
    """Files that only look like one: the call fails in one line with what the library says."""
    broken = shutil.copytree(tiny_model, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    policy = LocalPolicy(LocalPolicySettings(local="broken"), broken)
    with pytest.raises(PolicyFailed, match="the local model cannot be loaded: Safetensor") as told:
        await policy.call({"api": "openai.chat", "request": {"model": "m", "messages": HELLO}})
    assert "\n" not in str(told.value)
    assert children() == []


# Without a model


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_the_extra_the_mend_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Before anything is started."""
    monkeypatch.setitem(sys.modules, missing, None)  # as Python has it for what cannot be had
    mend = rf"policy\.local needs {missing}; pip install 'monastery\[local\]'"
    with pytest.raises(Unfit, match=mend):
        LocalPolicy(LocalPolicySettings(local="tiny"), tmp_path)


def test_a_folder_that_holds_no_model_is_a_fault_of_the_project(tmp_path: Path) -> None:
    """With the line, and what it lacks."""
    source = (
        b"name: x\ngoal: g\nagent: {builtin: {}}\nsteps: {plan: {audit: never}}\n"
        b"policy: {local: tiny}\n"
    )
    folder = tmp_path / "tiny"

    def fault() -> str:
        with pytest.raises(ProjectInvalid) as caught:
            parse(source, tmp_path / "p.yaml")
        (line,) = caught.value.faults
        assert "p.yaml:5: policy.local: " in line
        return line

    assert "no folder" in fault()
    folder.mkdir()
    assert "is no model of transformers: no config.json that says model_type" in fault()
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    assert "has no weights as *.safetensors" in fault()
    (folder / "model.safetensors").touch()
    assert "has no chat template" in fault()
    (folder / "chat_template.jinja").touch()
    assert parse(source, tmp_path / "p.yaml").project.policy is not None


@pytest.mark.parametrize(
    ("text", "rest", "calls"),
    [
        ("Hello", "Hello", []),
        (" spaces stay \n", " spaces stay \n", []),
        ('I add.\n<tool_call>{"name": "f", "arguments": {}}</tool_call>', "I add.", [("f", {})]),
        (
            '<tool_call>\n{"name": "f", "arguments": {"a": "</x>"}}\n</tool_call>\n'
            '<tool_call>{"name": "g.h", "arguments": "{\\"b\\": [1]}"}</tool_call>',
            "",
            [("f", {"a": "</x>"}), ("g.h", {"b": [1]})],
        ),
        *(
            (f"<tool_call>{inside}</tool_call>", f"<tool_call>{inside}</tool_call>", [])
            for inside in (
                "{",
                "[]",
                '{"name": "f"}',
                '{"name": "f", "arguments": []}',
                '{"name": "f", "arguments": "x"}',
                '{"name": "not a name", "arguments": {}}',
                '{"name": "f", "arguments": {"a": NaN}}',
                "[" * 100_000,
            )
        ),
        ('<tool_call>{"name": "f", "arguments": {}}', None, []),
    ],
)
def test_calls_are_found_in_a_text(text: str, rest: str | None, calls: list[Any]) -> None:
    """Well-formed ones; what is not stays in the text, where the agent sees it."""
    assert found(text) == (text if rest is None else rest, [Called(*one) for one in calls])


CHAT = {
    "model": "m",
    "max_tokens": 9,
    "stop": ["x"],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": "c",
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a": 1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "2"},
        {"role": "user", "content": "d"},
    ],
    "tools": TOOLS,
}
MESSAGES = {
    "model": "m",
    "max_tokens": 9,
    "stop_sequences": ["x"],
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "c"},
                {"type": "tool_use", "id": "1", "name": "add", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "2"},
                {"type": "text", "text": "d"},
            ],
        },
    ],
    "tools": [{"name": "add", "input_schema": SCHEMA}],
}
LIMITS: dict[str, Any] = {"max_tokens": 1, "temperature": None}


def test_a_conversation_is_the_same_in_each_api() -> None:
    """What the model reads does not tell by which way it came."""
    chat = asked("openai.chat", CHAT, **LIMITS)
    assert asked("anthropic.messages", MESSAGES, **LIMITS) == chat
    assert [message["role"] for message in chat.messages] == [
        "system", "user", "assistant", "tool", "user",
    ]  # fmt: skip
    assert chat.messages[1]["content"] == "a\nb"
    assert chat.messages[2]["tool_calls"][0]["function"]["arguments"] == {"a": 1}


@pytest.mark.parametrize(
    ("api", "more"),
    [
        ("openai.chat", {"tool_choice": "required"}),
        ("openai.chat", {"frequency_penalty": 0.1}),
        ("openai.chat", {"presence_penalty": -0.1}),
        ("openai.chat", {"logit_bias": {"1": 5.0}}),
        ("openai.chat", {"reasoning_effort": "high"}),
        ("openai.chat", {"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
        (
            "openai.chat",
            {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
        ),
        ("anthropic.messages", {"tool_choice": {"type": "any"}}),
        ("anthropic.messages", {"thinking": {"type": "enabled", "budget_tokens": 9}}),
        (
            "anthropic.messages",
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        ),
    ],
)
def test_what_is_not_done_is_not_taken(api: str, more: dict[str, Any]) -> None:
    """An agent must not believe that it was heeded."""
    request = {"model": "m", "max_tokens": 9, "messages": HELLO, **more}
    with pytest.raises(NotTaken, match="a local model"):
        asked(api, request, **LIMITS)
