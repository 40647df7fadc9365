"""Real models, behind a real server and in the runtime's own hands.

The vendors' clients and the built-in agent, in real boxes, talk to them through the gateway.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.store import Store
from tests.test_builtin_agent import monastery

CLIENT = """
import sys; sys.path.insert(0, "lib")
import json, openai
client = openai.OpenAI()
(model,) = [one.id for one in client.models.list()]
said = dict(model=model, messages=[{"role": "user", "content": "Say hello."}])
tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}}}

whole = client.chat.completions.create(**said, seed=1)
assert whole.choices[0].message.content == "Hello, world!", whole
assert whole.choices[0].finish_reason == "stop" and whole.usage.completion_tokens > 1, whole
chunks = list(client.chat.completions.create(**said, stream=True,
                                             stream_options={"include_usage": True}))
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello, world!"
assert chunks[-1].usage == whole.usage, chunks[-1]
short = client.chat.completions.create(**said, max_tokens=2).choices[0]
assert short.finish_reason == "length" and "Hello, world!".startswith(short.message.content), short
if LOCAL:
    told = client.chat.completions.create(**said, logprobs=True, top_logprobs=2).choices[0]
    assert "".join(one.token for one in told.logprobs.content) == "Hello, world!", told
    assert all(one.logprob == one.top_logprobs[0].logprob > -0.1 for one in told.logprobs.content)

ask = [{"role": "user", "content": "What is 2 and 3?"}]
called = client.chat.completions.create(model=model, messages=ask, tools=[tool]).choices[0]
assert called.finish_reason == "tool_calls", called
(call,) = called.message.tool_calls
assert call.function.name == "add" and json.loads(call.function.arguments) == {"a": 2, "b": 3}
with client.chat.completions.stream(model=model, messages=ask, tools=[tool]) as stream:
    again = stream.get_final_completion().choices[0]
assert again.message.tool_calls[0].function.arguments == call.function.arguments, again
result = {"role": "tool", "tool_call_id": call.id, "content": "5"}
more = client.chat.completions.create(model=model, messages=[*ask, called.message, result],
                                      tools=[tool])
assert more.choices[0].message.content == "It is 5.", more

if not LOCAL:
    assert client.responses.create(model=model, input="Say hello.").output_text == "Hello, world!"
    with client.responses.stream(model=model, input="Say hello.") as stream:
        assert stream.get_final_response().output_text == "Hello, world!"
"""

ANTHROPIC = """
import anthropic
client = anthropic.Anthropic()
said = dict(model="tiny", max_tokens=99, messages=[{"role": "user", "content": "Say hello."}])
tool = {"name": "add", "input_schema": {"type": "object"}}

whole = client.messages.create(**said)
assert whole.content[0].text == "Hello, world!" and whole.stop_reason == "end_turn", whole
count = client.messages.count_tokens(model="tiny", messages=said["messages"])
assert count.input_tokens == whole.usage.input_tokens, count
with client.messages.stream(**said) as stream:
    assert "".join(stream.text_stream) == "Hello, world!"
    assert stream.get_final_message().usage == whole.usage
short = client.messages.create(**said, stop_sequences=["wor"])
assert (short.content[0].text, short.stop_sequence) == ("Hello, ", "wor"), short

ask = [{"role": "user", "content": "What is 2 and 3?"}]
called = client.messages.create(**{**said, "messages": ask}, tools=[tool])
assert called.content[0].input == {"a": 2, "b": 3} and called.stop_reason == "tool_use", called
with client.messages.stream(**{**said, "messages": ask}, tools=[tool]) as stream:
    assert stream.get_final_message().content[0].input == {"a": 2, "b": 3}
result = {"type": "tool_result", "tool_use_id": called.content[0].id, "content": "5"}
turns = [{"role": "assistant", "content": [block.to_dict() for block in called.content]},
         {"role": "user", "content": [result]}]
more = client.messages.create(**{**said, "messages": ask + turns}, tools=[tool])
assert more.content[0].text == "It is 5.", more
try:
    client.messages.create(**said, tools=[tool], tool_choice={"type": "any"})
except anthropic.BadRequestError as error:
    assert "a local model does not do tool_choice" in str(error), error
else:
    raise AssertionError("it was taken")
"""

PROJECT: dict[str, Any] = {
    "name": "real",
    "goal": "Make a plan.",
    "steps": {"plan": {"audit": "never"}},
}


def run(
    folder: Path, policy: dict[str, Any], agent: dict[str, Any], files: dict[str, Path | str]
) -> tuple[int, str]:
    """Run a project; return its exit code and all that is told of it."""
    listed = []
    for name, content in files.items():
        if isinstance(content, str):
            (folder / name).write_text(content)
            content = folder / name
        listed.append({"from": str(content), "to": name})
    project = {**PROJECT, "policy": policy, "agent": agent, "box": {"files": listed}}
    (folder / "project.yaml").write_text(json.dumps(project))
    done = monastery(folder, "run", "project.yaml")
    shown = monastery(folder, "show", "last", "--content")
    return done.returncode, shown.stdout + done.stdout + done.stderr


def segments(folder: Path) -> Any:
    """Return the last run's segments as JSON has them."""
    shown = monastery(folder, "show", "last", "--json")
    return json.loads(shown.stdout)["segments"]


def test_the_official_client_in_a_box_talks_to_a_served_model(
    tmp_path: Path, served_model: str, tiny_model: Path, clients: Path
) -> None:
    """Streaming and not, with tools that the model really calls; tokens are counted."""
    policy = {"openai": served_model, "models": [str(tiny_model)]}
    agent = {"command": ["python3", "agent.py"]}
    files = {"lib": clients, "agent.py": CLIENT.replace("LOCAL", "False")}
    code, told = run(tmp_path, policy, agent, files)
    assert code == 0, told[-3000:]


def test_the_built_in_agent_works_with_a_served_model(
    tmp_path: Path, served_model: str, tiny_model: Path
) -> None:
    """What the model has by heart, it does: it proposes a step, and ends when that is done."""
    policy = {"openai": served_model, "models": [str(tiny_model)]}
    code, told = run(tmp_path, policy, {"builtin": {}}, {})
    assert code == 0, told[-3000:]
    assert "count, then add" in told
    assert "The plan stands." in told


def test_both_official_clients_in_a_box_talk_to_a_local_model(
    tmp_path: Path, tiny_model: Path, clients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do to a provider; every token that was read or drawn is recorded, none is sent in."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    policy = {"local": str(tiny_model), "models": ["tiny"], "device": "cpu", "version": "v1"}
    agent = {"command": ["python3", "agent.py"]}
    files = {"lib": clients, "agent.py": CLIENT.replace("LOCAL", "True") + ANTHROPIC}
    code, told = run(tmp_path, policy, agent, files)
    assert code == 0, told[-3000:]
    (segment,) = segments(tmp_path)
    thought = [call for call in segment["calls"] if call["status"] == 200 and not call["refused"]]
    sampled = [call for call in thought if call["api"] != "anthropic.count_tokens"]
    assert len(sampled) == 13
    home = tmp_path / ".monastery"
    with Store.open(home) as store:
        for call in sampled:
            kept = json.loads(store.blob(call["sampled"]["ref"]))
            (drawn,) = kept["samples"]
            assert len(kept["prompt_ids"]) == call["tokens_in"]
            assert len(drawn["ids"]) == len(drawn["logprobs"]) == call["tokens_out"]
            assert call["logprobs"] == call["tokens_out"]
            assert b"prompt_ids" not in store.blob(call["response"]["ref"])
    assert {call["version"] for call in sampled} == {"v1"}
    verified = monastery(tmp_path, "verify", "last")
    assert verified.returncode == 0, verified.stdout


def test_the_built_in_agent_works_with_a_local_model(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder is all that it needs: it proposes what the model has by heart, and ends."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "tiny").symlink_to(tiny_model)
    code, told = run(tmp_path, {"local": "tiny"}, {"builtin": {}}, {})
    assert code == 0, told[-3000:]
    assert "count, then add" in told
    assert "The plan stands." in told
