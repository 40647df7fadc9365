"""The kinds ``human``, ``ask`` and ``plan``, and what all kinds have in common."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.errors import BadPayload, MonasteryError
from monastery.runtime.executors import KINDS
from monastery.runtime.project import StepSettings
from monastery.runtime.records import Outcome
from tests.executors.world import Make, Steps

DOCS = Path(__file__).parents[2] / "docs" / "steps.md"


@pytest.mark.parametrize("kind", ["human", "ask"])
async def test_question_names_step_goal_and_deadline(
    make: Make, step: Steps, desk: Any, kind: str
) -> None:
    """What is put on the desk is named after the segment and holds what a person needs."""
    executor = make(kind, timeout_seconds=60)
    await executor.execute(step(kind, b"  Call the printer\n", 3))
    (item,) = desk.asked
    assert item.id == f"r.3.{kind}"
    assert item.purpose == kind
    assert item.deadline - item.created == timedelta(seconds=60)
    assert item.body == {"goal": "mend the package", "kind": kind, "text": "Call the printer"}


@pytest.mark.parametrize("status", ["done", "failed"])
async def test_human_tells_what_came_of_it(make: Make, step: Steps, desk: Any, status: str) -> None:
    """The person's word is the outcome."""
    desk.answers["r.1.human"] = {"status": status, "content": "they open at nine"}
    outcome = await make("human").execute(step("human", b"Call"))
    assert outcome == Outcome(status, {"content": "they open at nine"})  # type: ignore[arg-type]


async def test_ask_tells_the_answer(make: Make, step: Steps, desk: Any) -> None:
    """The person's answer is the outcome."""
    desk.answers["r.1.ask"] = {"content": "the blue one"}
    outcome = await make("ask").execute(step("ask", b"Which?"))
    assert outcome == Outcome("done", {"answer": "the blue one"})


@pytest.mark.parametrize("kind", ["human", "ask"])
async def test_no_answer_expires(make: Make, step: Steps, kind: str) -> None:
    """A question that nobody answers in time expires; it did not fail."""
    assert await make(kind).execute(step(kind, b"Call")) == Outcome("expired")


@pytest.mark.parametrize("kind", ["human", "ask"])
async def test_reconcile_goes_on_waiting(make: Make, step: Steps, desk: Any, kind: str) -> None:
    """After a crash the same question is asked under the same id."""
    executor = make(kind)
    await executor.execute(step(kind, b"Call"))
    await executor.reconcile(step(kind, b"Call"))
    assert [item.id for item in desk.asked] == [f"r.1.{kind}"] * 2


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("human", {}),
        ("human", {"status": "maybe", "content": ""}),
        ("human", {"status": "done"}),
        ("human", {"status": "done", "content": 1}),
        ("human", {"status": "done", "content": "", "more": 1}),
        ("ask", {}),
        ("ask", {"content": None}),
    ],
)
async def test_nonsense_is_no_outcome(
    make: Make, step: Steps, desk: Any, kind: str, answer: dict[str, Any]
) -> None:
    """An answer of another shape says nothing about what was done."""
    desk.answers[f"r.1.{kind}"] = answer
    with pytest.raises(MonasteryError, match="is not one"):
        await make(kind).execute(step(kind, b"Call"))


@pytest.mark.parametrize("kind", ["human", "ask", "plan"])
@pytest.mark.parametrize("payload", [b"", b" \n\t\n", b"\xff", b"a\0b", b"x" * 70_000])
def test_text_is_refused(make: Make, kind: str, payload: bytes) -> None:
    """What is no text, is blank, or is too long for a person, is refused."""
    with pytest.raises(BadPayload):
        make(kind).check(payload)


@pytest.mark.parametrize(
    ("payload", "steps"),
    [
        (b"Read\n\n  Think  \nWrite\n", ["Read", "Think", "Write"]),
        (b'{"steps": ["Read", "Write"]}', ["Read", "Write"]),
        (b'\n {"steps": ["One"]}', ["One"]),
    ],
)
async def test_plan_is_counted(make: Make, step: Steps, payload: bytes, steps: list[str]) -> None:
    """A plan is recorded, as JSON or as lines, and looking finds the same."""
    executor = make("plan")
    executor.check(payload)
    outcome = await executor.execute(step("plan", payload))
    assert outcome == Outcome("done", {"recorded": len(steps)})
    assert await executor.reconcile(step("plan", payload)) == outcome
    assert executor.render(payload) == "\n".join(
        f"{number}. {text}" for number, text in enumerate(steps, 1)
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"steps": []}',
        b'{"steps": [""]}',
        b'{"steps": [1]}',
        b'{"steps": "Read"}',
        b'{"steps": ["a"], "steps": ["b"]}',
        b'{"steps": ["a"], "more": 1}',
        b"{steps}",
        b"a\n" * 1001,
    ],
)
def test_plan_is_refused(make: Make, payload: bytes) -> None:
    """What is no list of steps is refused."""
    with pytest.raises(BadPayload):
        make("plan").check(payload)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_what_its_name_says(kind: str) -> None:
    """Each class knows its kind, refuses unknown settings, and says what each setting is."""
    chosen = KINDS[kind]
    assert chosen.kind == kind
    assert issubclass(chosen.Settings, StepSettings)
    assert chosen.Settings.model_config["extra"] == "forbid"
    own = chosen.Settings.model_fields.keys() - StepSettings.model_fields.keys()
    told = set(re.findall(r"^\s+(\w+): ", chosen.Settings.__doc__ or "", re.MULTILINE))
    assert own <= told


def test_docs_name_every_kind_and_setting() -> None:
    """``docs/steps.md`` has a heading for each kind and, below it, each of its settings."""
    text = DOCS.read_text("utf-8")
    parts = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert parts.keys() == KINDS.keys()
    for kind, part in parts.items():
        rows = set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))
        assert rows == KINDS[kind].Settings.model_fields.keys() - StepSettings.model_fields.keys()


def test_examples_in_the_docs_are_taken(make: Make) -> None:
    """Each payload that ``docs/steps.md`` shows is one of its kind."""
    text = DOCS.read_text("utf-8")
    examples = re.findall(
        r"^<!-- payload: (\w+) -->\n```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    assert {kind for kind, _ in examples} == KINDS.keys()
    known: dict[str, dict[str, Any]] = {
        "git": {"repository": "."},
        "email": {
            "host": "localhost",
            "sender": "agent@example.org",
            "allow": ["ada@example.org"],
        },
        "file": {"folder": "."},
        "ssh": {
            "hosts": {"web": {"host": "web.example.org", "user": "deploy", "key": "key"}},
            "known_hosts": "known_hosts",
        },
        "http": {
            "allow": [{"url": "https://api.example.org/v1/reports/", "methods": ["POST"]}],
        },
        "command": {
            "allow": {"deploy": ["./deploy.sh", "{target}"]},
            "arguments": {"target": {"choices": ["staging", "live"]}},
        },
    }
    for kind, payload in examples:
        executor = make(kind, **known.get(kind, {}))
        executor.check(payload.encode())
        assert executor.render(payload.encode())


def test_json_of_an_outcome_is_plain(make: Make) -> None:
    """The fields of a kind's settings can be written as JSON, for the journal and the auditors."""
    for chosen in KINDS.values():
        json.dumps(chosen.Settings.model_json_schema())
