"""The built-in agent in a real box, with a model whose answers are those of the real APIs."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.agent import PAYLOADS, kind_told, program
from monastery.runtime.errors import ProjectInvalid
from monastery.runtime.executors import KINDS
from monastery.runtime.project_file import parse
from monastery.runtime.records import Answer, Item
from monastery.runtime.store import Store
from tests.crash.started import started, wait
from tests.provider import Asked, Provider, provider

MONASTERY = str(Path(sys.executable).parent / "monastery")

PROJECT = """
name: builtin
goal: Count the words.
agent: {{builtin: {{{settings}}}}}
steps: {{plan: {{audit: never}}, file: {{audit: never, folder: .}}}}
policy:
  {kind}: {url}
  models: [m-1, m-2]
  tries: 1
  budget: {{calls: {calls}}}
"""


def says(*calls: tuple[str, Any], text: str | None = None, api: str = "openai") -> Any:
    """Return an answer of a model that uses some tools: the name and the arguments of each."""
    if api == "anthropic":
        blocks: list[Any] = [{"type": "text", "text": text}] if text else []
        for number, (name, given) in enumerate(calls):
            one = {"type": "tool_use", "id": f"tu_{number}", "name": name, "input": given}
            blocks.append(one)
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1"}
        used = {"input_tokens": 70, "output_tokens": 30}
        end = {"stop_reason": "tool_use", "stop_sequence": None}
        return 200, {}, {**head, "content": blocks, **end, "usage": used}
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": given if isinstance(given, str) else json.dumps(given),
                },
            }
            for number, (name, given) in enumerate(calls)
        ]
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    head = {"id": "chat_1", "object": "chat.completion", "created": 1, "model": "m-1"}
    return 200, {}, {**head, "choices": [choice]}


FINISH = ("finish", {"reached": True, "why": "all is done"})


def write(
    folder: Path, server: Provider, *, kind: str = "openai", settings: str = "", calls: int = 99
) -> None:
    """Write the project."""
    text = PROJECT.format(kind=kind, url=server.url, settings=settings, calls=calls)
    (folder / "project.yaml").write_text(text)


def monastery(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    argv = [MONASTERY, *arguments]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


def run(folder: Path) -> tuple[int, str]:
    """Run the project; return the exit code, and what the agent printed and the run told."""
    done = monastery(folder, "run", "project.yaml")
    shown = monastery(folder, "show", "last", "--content")
    return done.returncode, shown.stdout + done.stdout + done.stderr


def results(asked: Asked) -> list[str]:
    """Return what the model is told last of its tools."""
    messages = asked.body["messages"]
    found: list[str] = []
    for message in reversed(messages):
        if message["role"] == "tool":
            found.insert(0, message["content"])
        elif isinstance(message["content"], list) and message["role"] == "user":
            return [block["content"] for block in message["content"]]
        else:
            break
    return found


@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_a_model_works_with_the_tools_until_it_finishes(tmp_path: Path, api: str) -> None:
    """It sees what came of each tool, in order; its step is carried out; the run ends well."""
    with provider() as server:
        write(tmp_path, server, kind=api, settings="instructions: Be brief.")
        server.says = [
            says(
                ("write_file", {"path": "a/words.txt", "text": "one two\nthree\n"}),
                ("replace", {"path": "a/words.txt", "old": "two", "new": "2"}),
                ("shell", {"command": "wc -w < a/words.txt; echo no >&2; exit 3"}),
                ("read_file", {"path": "a/words.txt", "first_line": 2, "lines": 1}),
                text="I begin.",
                api=api,
            ),
            says(
                (
                    "propose",
                    {
                        "kind": "file",
                        "rationale": "It is counted.",
                        "files": ["a/words.txt"],
                        "note": "counted: 3",
                    },
                ),
                api=api,
            ),
            says(FINISH, api=api),
        ]
        code, told = run(tmp_path)
    assert code == 0, told[-3000:]
    assert (tmp_path / "a/words.txt").read_text() == "one 2\nthree\n"
    first, second, third = server.asked
    system = first.body["messages"][0]["content"] if api == "openai" else first.body["system"]
    assert "Count the words." in system
    assert "Be brief." in system
    assert PAYLOADS["plan"] in system
    assert first.body["model"] == "m-1"
    assert results(second) == ["written", "replaced", "3\nno\n\n(exit code 3)", "three\n"]
    (outcome,) = results(third)
    assert json.loads(outcome)["status"] == "done"


def test_the_context_is_kept_by_notes(tmp_path: Path) -> None:
    """No request is larger than the context; notes and steps outlive what was said before."""
    context = 8000
    talk = says(("shell", {"command": "seq 1000000 1000900; echo the end"}))
    notes = "NOTES: 41 words so far"
    told_to_write: list[Asked] = []

    def model(asked: Asked) -> Any:
        last = asked.body["messages"][-1]
        if asked.body.get("tool_choice") == "none":
            told_to_write.append(asked)
            return says(text=notes)[2]
        if len(server.asked) == 1:
            plan = {"kind": "plan", "rationale": "first", "payload": "count them all"}
            return says(("propose", plan))[2]
        if len(told_to_write) == 3 and last["role"] == "user":
            return says(FINISH)[2]
        return talk[2]

    with provider() as server:
        server.usually = model
        write(tmp_path, server, settings=f"context_tokens: {context}, model: m-2")
        code, told = run(tmp_path)
    assert code == 0, told[-3000:]
    assert len(told_to_write) == 3
    sizes = [len(json.dumps(asked.body)) // 3 for asked in server.asked]
    assert max(sizes) < context, sizes
    assert {asked.body["model"] for asked in server.asked} == {"m-2"}
    begun = server.asked[-1].body["messages"]
    assert len(begun) == 2
    assert notes in begun[1]["content"]
    assert "step 1, plan: done; 'count them all'" in begun[1]["content"]


def test_tokens_are_counted_as_the_provider_counts_them(tmp_path: Path) -> None:
    """A short conversation that the provider says fills the context is ended there."""
    status, headers, body = says(("note", {"text": "one"}))
    used = {"prompt_tokens": 69_000, "completion_tokens": 2_000, "total_tokens": 71_000}
    with provider() as server:
        server.says = [(status, headers, {**body, "usage": used}), says(text="two"), says(FINISH)]
        write(tmp_path, server)
        code, told = run(tmp_path)
    assert code == 0, told[-3000:]
    assert server.asked[1].body["tool_choice"] == "none"
    opening = server.asked[2].body["messages"][1]["content"]
    assert "two" in opening
    assert "one" not in opening.partition("Past steps")[0].replace("(none yet)", "")


def test_a_stopped_agent_goes_on_from_its_history_and_its_notes(tmp_path: Path) -> None:
    """Stopped while it thinks, started again: past steps are told, and none is proposed twice."""
    plan = {"kind": "plan", "rationale": "first", "payload": "one", "note": "one is planned"}
    with provider() as server:
        write(tmp_path, server)
        argv = [MONASTERY, "run", "project.yaml"]
        with subprocess.Popen(
            argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as started:

            def model(asked: Asked) -> Any:
                if len(server.asked) == 1:
                    return says(("propose", plan))[2]
                os.kill(started.pid, signal.SIGINT)
                return says(("shell", {"command": "sleep 600"}))[2]

            server.usually = model
        assert started.returncode == 130
        heard = len(server.asked)
        server.says = [says(FINISH)]
        done = monastery(tmp_path, "run", "--resume", "last")
        assert done.returncode == 0, done.stdout + done.stderr
    opening = server.asked[heard].body["messages"][1]["content"]
    assert "one is planned" in opening
    assert "step 1, plan: done; 'one'" in opening


def test_a_budget_that_is_used_up_ends_the_agent_with_the_reason(tmp_path: Path) -> None:
    """It stops by itself, says why, and the run ends without success."""
    with provider() as server:
        server.usually = lambda asked: says(("note", {"text": "on and on"}))[2]
        write(tmp_path, server, calls=2)
        code, told = run(tmp_path)
    assert code == 1, told[-3000:]
    assert len(server.asked) == 2
    assert "no model answers: 429: the budget of this run is used up: 2 of 2 calls" in told


def test_wrong_calls_are_answered_with_what_is_wrong(tmp_path: Path) -> None:
    """A model that errs is told how, in the place of a result; the agent goes on."""
    wrong: list[tuple[tuple[str, Any], str]] = [
        (("rm -rf /", {}), "there is no tool rm_-rf__; there are shell, read_file"),
        (("ask", {"question": "x", "rationale": "y"}), "there is no tool ask"),
        (("shell", "{"), "the arguments are not JSON"),
        (("shell", "[]"), "must be a JSON object"),
        (("shell", {}), "shell needs command"),
        (("shell", {"command": "x", "cwd": "/"}), "shell takes no 'cwd'"),
        (("shell", {"command": "x", "seconds": True}), "seconds must be of type integer"),
        (("propose", {"kind": "file", "rationale": "", "files": [3]}), "files must hold strings"),
        (("read_file", {"path": "gone"}), "No such file"),
        (("replace", {"path": "/etc/passwd", "old": "\ud800", "new": ""}), "0 times"),
        (("propose", {"kind": "plan", "rationale": "x"}), "give one of payload"),
        (("propose", {"kind": "fly", "rationale": "x", "payload": "y"}), "fly"),
    ]
    with provider() as server:
        server.says = [says(*(call for call, _ in wrong)), says(FINISH)]
        write(tmp_path, server)
        code, told = run(tmp_path)
    assert code == 0, told[-3000:]
    for (call, expected), result in zip(wrong, results(server.asked[1]), strict=True):
        assert expected in result, (call, result)


def test_a_command_is_bounded_and_what_it_leaves_behind_holds_nobody(tmp_path: Path) -> None:
    """Its time, its output; a daemon that keeps its output open does not hold up the agent."""
    with provider() as server:
        server.says = [
            says(
                ("shell", {"command": "echo begun; sleep 600", "seconds": 1}),
                ("shell", {"command": "sleep 600 & echo left"}),
                ("shell", {"command": "echo first; head -c 9000000 /dev/zero; echo last"}),
            ),
            says(FINISH),
        ]
        write(tmp_path, server)
        code, told = run(tmp_path)
    assert code == 0, told[-3000:]
    killed, left, large = results(server.asked[1])
    assert killed == "begun\n\n(killed: it took too long)"
    assert left == "left\n\n(exit code 0)"
    assert large.startswith("first\n")
    assert large.endswith("last\n\n(exit code 0)")
    assert len(large) < 0.2 * 3 * 100_000 / 3 + 100


def test_a_model_that_uses_no_tool_has_given_up(tmp_path: Path) -> None:
    """It is reminded twice, then the agent ends without success."""
    with provider() as server:
        server.usually = lambda asked: says(text="Well.")[2]
        write(tmp_path, server)
        code, told = run(tmp_path)
    assert code == 1, told[-3000:]
    assert len(server.asked) == 3
    assert "the model used no tool in 3 answers" in told


def test_a_goal_that_cannot_be_reached_ends_the_run_without_success(tmp_path: Path) -> None:
    """The model says so and why."""
    with provider() as server:
        server.says = [says(("finish", {"reached": False, "why": "there are no words"}))]
        write(tmp_path, server)
        code, told = run(tmp_path)
    assert code == 1, told[-3000:]
    assert "there are no words" in told


def test_a_context_smaller_than_was_said_is_survived(tmp_path: Path) -> None:
    """When the provider says that it is too much, the agent begins again from its notes."""
    error = {"message": "This model's maximum context length is 9 tokens", "type": "x"}
    with provider() as server:
        server.says = [
            says(("note", {"text": "remembered"})),
            (400, {}, {"error": error}),
            says(FINISH),
        ]
        write(tmp_path, server)
        code, told = run(tmp_path)
    assert code == 0, told[-3000:]
    begun = server.asked[2].body["messages"]
    assert len(begun) == 2
    assert "remembered" in begun[1]["content"]
    assert "is lost" in begun[1]["content"]


def test_a_model_reads_the_cached_web_and_asks_a_person(tmp_path: Path) -> None:
    """What it searches and reads comes as text, a person's answer as the step's outcome."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web/tide.html").write_text("<title>Tide</title><p>The sea rises twice a day.</p>")
    with provider() as server:
        server.says = [
            says(
                ("web", {"action": "search", "what": "--raw sea"}),
                ("web", {"action": "get", "what": "tide.html"}),
                ("web", {"action": "get", "what": "moon.html"}),
            ),
            says(("ask", {"question": "How often?", "rationale": "It is not certain."})),
            says(FINISH),
        ]
        write(tmp_path, server)
        path = tmp_path / "project.yaml"
        asks = path.read_text().replace("{plan: ", "{ask: {audit: never}, plan: ")
        path.write_text(asks + "cached_web: web\n")
        running = started(tmp_path / ".monastery", str(path))
        try:
            wait(lambda: bool(_items(tmp_path)), running)
            (item,) = _items(tmp_path)
            with Store.open(tmp_path / ".monastery") as store:
                store.answer(Answer(item.id, "ada", datetime.now(UTC), {"content": "twice"}))
            said, _ = running.communicate()
        finally:
            running.kill()
    assert "How often?" in str(item.body)
    assert running.returncode == 0, said[-3000:]
    found, page, gone = results(server.asked[1])
    assert found.startswith("tide.html\n  Tide\n  ")
    assert "The sea rises twice a day." in page
    assert "there is no page 'moon.html'" in gone
    (outcome,) = results(server.asked[2])
    assert json.loads(outcome)["content"]["answer"] == "twice"
    shown = json.loads(monastery(tmp_path, "show", "last", "--json").stdout)
    assert len(shown["segments"][0]["fetches"]) == 3


def _items(folder: Path) -> list[Item]:
    if not (folder / ".monastery/monastery.sqlite3").exists():
        return []
    with Store.open(folder / ".monastery") as store:
        return [stored.item for stored in store.items()]


# Without a box


def test_every_step_kind_is_explained_to_the_model() -> None:
    """A kind that is added has its line here too."""
    assert set(PAYLOADS) == set(KINDS)


def test_the_agent_is_told_what_is_allowed_and_nothing_of_the_host(tmp_path: Path) -> None:
    """Names, addresses and bounds; no program, folder, key or secret."""
    source = b"""
name: told
goal: g
agent: {builtin: {}}
policy: {openai: "http://127.0.0.1:1/v1", models: [m-1]}
audit: {rate: never}
steps:
  command:
    allow: {deploy: [/opt/hidden, "{target}"], list: [/opt/hidden]}
    arguments: {target: {choices: [staging, live]}}
    env: {TOKEN: $HIDDEN}
  file: {folder: hidden}
  http: {allow: [{url: "https://a.example/", methods: [GET, POST], secrets: {X: $HIDDEN}}]}
  email: {host: hidden.example, sender: hidden@example.org, allow: [ada@example.org]}
"""
    loaded = parse(source, tmp_path / "p.yaml", on_disk=False)
    started = program(loaded.project)
    assert list(started.argv) == ["monastery-agent"]
    text = started.env["MONASTERY_AGENT"]
    kinds = json.loads(text)["kinds"]
    assert '{"deploy": {"target": ["staging", "live"]}, "list": {}}' in kinds["command"]
    assert "GET/POST https://a.example/" in kinds["http"]
    assert "ada@example.org" in kinds["email"]
    assert "hidden" not in text.lower()
    assert kind_told("file", loaded.project.steps["file"]) == PAYLOADS["file"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", "agent.builtin: needs a model; add `policy:"),
        ("policy: {openai: 'http://h/v1', models: [m-2]}", "agent.builtin.model: is 'm-1', which"),
    ],
)
def test_without_its_model_it_does_not_start(tmp_path: Path, policy: str, expected: str) -> None:
    """The project file's fault is told before anything is started."""
    source = (
        "name: x\ngoal: g\nagent: {builtin: {model: m-1}}\nsteps: {plan: {audit: never}}\n" + policy
    )
    with pytest.raises(ProjectInvalid, match=r"agent\.builtin") as caught:
        parse(source.encode(), tmp_path / "p.yaml")
    assert expected in str(caught.value)
