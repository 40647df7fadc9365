"""Segment lines: what a line holds for a segment, and what it never does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.errors import AuditFailed
from monastery.runtime.records import Outcome, Step
from monastery.runtime.segment_lines import export_lines
from monastery.runtime.store import Store
from tests.runtime.world import Notebook, SetAuditor, Small, approve

pytestmark = pytest.mark.virtual


class Marked(Notebook):
    """An executor whose outcomes can be recognised."""

    async def execute(self, step: Step) -> Outcome:
        """Say which step it was."""
        await super().execute(step)
        return Outcome("done", {"came": f"outcome-{step.index}"})


class Counting:
    """A policy whose answers can be recognised."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Number the answer."""
        self.calls += 1
        if body.get("api") is not None and self.calls == 1:
            return {"status": 503, "response": {"error": "overloaded"}}
        return {"answer": f"response-{self.calls}"}


async def _agent(inside: Any) -> int:
    """Each segment asks the model, prints, and proposes; all of it can be recognised."""
    for number in (1, 2, 3):
        await inside.model({"ask": f"request-{number}"})
        inside.print(f"printed-{number}")
        await inside.propose("note", f"payload-{number}", f"rationale-{number}")
    inside.print("printed-4")
    return 0


async def _lines(home: Path, **options: Any) -> list[dict[str, Any]]:
    small = Small(home, _agent, notebook=Marked(), policy=Counting(), **options)
    row = small.new()
    await small.live(row)
    with Store.open(home) as store:
        return list(export_lines(store, row.run))


async def test_a_line_trains_on_its_own_segment_and_nothing_else(tmp_path: Path) -> None:
    """Trainable is what the policy did in the segment; no earlier or later segment is in it."""
    lines = await _lines(tmp_path, auditors=[SetAuditor(approve())])
    for number, line in enumerate(lines[:3], 1):
        trainable = json.dumps(line["trainable"])
        for other in (1, 2, 3, 4):
            for what in ("response", "printed", "payload", "rationale"):
                assert (f"{what}-{other}" in trainable) == (other == number), (number, what, other)
            assert f"request-{other}" not in trainable
            assert f"outcome-{other}" not in trainable


async def test_a_line_holds_nothing_after_its_proposal(tmp_path: Path) -> None:
    """No outcome of the line's own step, and nothing later, is anywhere in the line."""
    lines = await _lines(tmp_path, auditors=[SetAuditor(approve())])
    for number, line in enumerate(lines[:3], 1):
        whole = json.dumps(line)
        for other in (1, 2, 3, 4):
            assert (f"outcome-{other}" in whole) == (other < number)
            for what in ("request", "response", "printed"):
                if other > number:
                    assert f"{what}-{other}" not in whole


async def test_unaudited_and_unmeasured_are_null_and_not_zero(tmp_path: Path) -> None:
    """A segment nobody judged, one whose audit failed and one scored 0 can be told apart."""
    never = await _lines(tmp_path / "never", rate=0.0)
    failed = await _lines(tmp_path / "failed", auditors=[SetAuditor(AuditFailed("broke"))])
    zero = await _lines(tmp_path / "zero", auditors=[SetAuditor(approve(0.0))])
    assert [(line["audited"], line["reward"]) for line in never[:3]] == [(False, None)] * 3
    assert [(line["audited"], line["reward"]) for line in failed[:3]] == [(True, None)] * 3
    assert [(line["audited"], line["reward"]) for line in zero[:3]] == [(True, 0.0)] * 3
    assert "broke" in failed[0]["unmeasured"]


async def test_lines_come_in_order_one_for_each_segment(tmp_path: Path) -> None:
    """The last line is the segment in which the agent ended without a proposal."""
    lines = await _lines(tmp_path, rate=0.0)
    assert [line["index"] for line in lines] == [1, 2, 3, 4]
    assert lines[3]["trainable"]["proposal"] is None
    assert lines[3]["trainable"]["printed"]["text"] == "printed-4\n"


async def test_what_no_model_answered_is_in_no_line(tmp_path: Path) -> None:
    """An error is nothing that the policy did; whoever trains does not read it as an answer."""
    request = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    call = {"api": "openai.chat", "request": request}

    async def agent(inside: Any) -> int:
        told = [(await inside.model(call))["status"] for _ in range(2)]
        assert told == [503, 200]
        await inside.propose("note", "payload", "why")
        return 0

    small = Small(tmp_path, agent, policy=Counting(), rate=0.0)
    row = small.new()
    await small.live(row)
    with Store.open(tmp_path) as store:
        first, _ = export_lines(store, row.run)
    assert first["context"]["requests"] == [call]
    (answer,) = first["trainable"]["responses"]
    assert answer["response"] == {"answer": "response-2"}
