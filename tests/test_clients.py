"""The vendors' own clients, unmodified, inside a real box: through the gateway to a real server."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.provider import provider

MONASTERY = str(Path(sys.executable).parent / "monastery")

PROJECT = """
name: clients
goal: Talk to a model.
agent: {{command: [python3, agent.py]}}
box:
  files:
    - {{from: {lib}, to: lib}}
    - {{from: agent.py, to: agent.py}}
steps: {{plan: {{audit: never}}}}
policy:
  {kind}: {url}
  models: [m-1]
  key: CLIENTS_KEY
"""

OPENAI = """
import sys; sys.path.insert(0, "lib")
import openai
client = openai.OpenAI()  # finds its address and its key as it always does
said = dict(model="m-1", messages=[{"role": "user", "content": "x"}])
tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

assert client.chat.completions.create(**said).choices[0].message.content == "heard"
called = client.chat.completions.create(**said, tools=[tool]).choices[0].message
assert called.tool_calls[0].function.arguments == '{"a": 1}'
result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "42"}
more = dict(said, messages=[*said["messages"], called, result])
assert client.chat.completions.create(**more).choices[0].message.content == "heard"

chunks = list(client.chat.completions.create(**said, stream=True,
                                             stream_options={"include_usage": True}))
text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
assert text == "heard" and chunks[-1].usage.total_tokens == 10, chunks
with client.chat.completions.stream(**said, tools=[tool]) as stream:
    final = stream.get_final_completion().choices[0]
assert final.message.tool_calls[0].function.arguments == '{"a": 1}', final
assert final.finish_reason == "tool_calls"

assert client.responses.create(model="m-1", input="x").output_text == "heard"
tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
with client.responses.stream(model="m-1", input="x") as stream:
    kinds = [event.type for event in stream]
    assert stream.get_final_response().output_text == "heard"
assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
with client.responses.stream(model="m-1", input="x", tools=[tool]) as stream:
    item = stream.get_final_response().output[0]
assert (item.name, item.arguments) == ("f", '{"a": 1}')

assert [one.id for one in client.models.list()] == ["m-1"]
try:
    client.chat.completions.create(**said, web_search_options={})
except openai.BadRequestError as error:
    assert "web_search_options: is not passed on" in str(error), error
else:
    raise AssertionError("it was passed on")
"""

ANTHROPIC = """
import sys; sys.path.insert(0, "lib")
import anthropic
client = anthropic.Anthropic()
said = dict(model="m-1", max_tokens=9, messages=[{"role": "user", "content": "x"}])
tool = {"name": "f", "input_schema": {"type": "object"}}

assert client.messages.create(**said).content[0].text == "heard"
called = client.messages.create(**said, tools=[tool])
assert called.content[0].input == {"a": 1}
result = {"type": "tool_result", "tool_use_id": called.content[0].id, "content": "42"}
turns = [{"role": "assistant", "content": [block.to_dict() for block in called.content]},
         {"role": "user", "content": [result]}]
more = dict(said, messages=said["messages"] + turns)
assert client.messages.create(**more).content[0].text == "heard"

with client.messages.stream(**said) as stream:
    assert "".join(stream.text_stream) == "heard"
    assert stream.get_final_message().usage.output_tokens == 3
with client.messages.stream(**said, tools=[tool]) as stream:
    final = stream.get_final_message()
assert final.content[0].input == {"a": 1} and final.stop_reason == "tool_use", final

assert client.messages.count_tokens(model="m-1", messages=said["messages"]).input_tokens == 7
assert [one.id for one in client.models.list()] == ["m-1"]
try:
    client.messages.create(**said, extra_body={"container": "c"})
except anthropic.BadRequestError as error:
    assert "container: is not passed on" in str(error), error
else:
    raise AssertionError("it was passed on")
"""


@pytest.mark.parametrize(("kind", "agent"), [("openai", OPENAI), ("anthropic", ANTHROPIC)])
def test_an_official_client_in_a_box_talks_to_its_model(
    tmp_path: Path, clients: Path, monkeypatch: pytest.MonkeyPatch, kind: str, agent: str
) -> None:
    """Streaming and not, with tools, with refusals; each call is recorded, the key is not."""
    monkeypatch.setenv("CLIENTS_KEY", "sk-of-the-operator")
    (tmp_path / "agent.py").write_text(agent)
    with provider() as server:
        text = PROJECT.format(lib=clients, kind=kind, url=server.url)
        (tmp_path / "project.yaml").write_text(text)
        argv = [MONASTERY, "run", "project.yaml", "--json"]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
        shown = subprocess.run(
            [MONASTERY, "show", "last", "--content"], cwd=tmp_path, capture_output=True, text=True
        )
    assert done.returncode == 0, shown.stdout[-3000:] + done.stderr[-2000:]
    keys = {
        asked.headers.get("authorization", asked.headers.get("x-api-key")) for asked in server.asked
    }
    assert keys <= {"Bearer sk-of-the-operator", "sk-of-the-operator"}
    assert len(server.asked) == {"openai": 8, "anthropic": 6}[kind]
    home = tmp_path / ".monastery"
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"model.called" in kept
    assert b"sk-of-the-operator" not in kept
