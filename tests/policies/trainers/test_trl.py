"""TRL trains on what a local model lived, was recorded, audited and exported; nothing is faked.

Importing TRL takes most of the time, so there is one process for all that is asked of it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import trio

from monastery.policies.local.policy import LocalPolicy
from monastery.runtime.errors import AuditFailed
from monastery.runtime.project import LocalPolicySettings
from tests.cli.conftest import MAIN
from tests.model_server import ROOT, alone
from tests.runtime.world import SetAuditor, Small, approve


async def _agent(inside: Any) -> int:
    """Each segment asks twice; in every other one the history is cut in between."""
    for number in range(6):
        messages: list[Any] = [{"role": "user", "content": f"Note {number}."}]
        for _ in range(2):
            request = {"model": "tiny", "messages": messages, "temperature": 1.0, "seed": number}
            said = await inside.model({"api": "openai.chat", "request": request})
            message = said["response"]["choices"][0]["message"]
            before = [] if number % 2 else [*messages, message]
            messages = [*before, {"role": "user", "content": "What is 2 and 3?"}]
        await inside.propose("note", f"note {number}", "why")
    return 0


async def _lived(home: Path, model: Path) -> str:
    policy = LocalPolicy(LocalPolicySettings(local="tiny", max_tokens=40), model)
    votes = [approve(0.9), approve(0.2), AuditFailed("broke"), approve(0.6), approve(0.0)]
    extra = {"policy": {"local": "tiny", "models": ["tiny"]}}
    small = Small(home, _agent, [SetAuditor(*votes)], policy=policy, extra=extra)
    try:
        row = small.new()
        await small.live(row)
    finally:
        await policy.aclose()
    return row.run


def test_trl_trains_on_an_export_and_keeps_to_the_boundary(
    tmp_path: Path, tiny_model: Path
) -> None:
    """It trains; its gradient is the rows' policy gradient, and is zero outside of segments."""
    trio.run(_lived, tmp_path / "home", tiny_model)
    argv = [*MAIN, "export", "last", "--to", "trl", "--output", str(tmp_path / "rows")]
    done = subprocess.run(
        [*argv, "--home", str(tmp_path / "home")], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "6 steps, 5 of them scored" in done.stdout
    assert "train.py" in done.stderr
    lines = (tmp_path / "rows/rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert any(0 in row["completion_mask"] for row in rows)
    assert len({row["segment_id"] for row in rows}) < len(rows)
    program = [sys.executable, "-m", "tests.policies.trainers.trl_check"]
    ran = subprocess.run(
        [*program, str(tmp_path / "rows"), str(tiny_model), str(tmp_path / "trained")],
        cwd=ROOT,
        env={**alone(), "HF_HOME": str(tmp_path / "hub"), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    before = (tiny_model / "model.safetensors").read_bytes()
    assert (tmp_path / "trained/model.safetensors").read_bytes() != before
    assert told["reach"]["outside"] == 0.0
    assert told["reach"]["inside"] > 0.0
    assert told["apart"] < 1e-3
    holds = ("repeats", "watched", "unmeasured", "credit", "rewards", "choices", "future")
    assert told["check"] == {**dict.fromkeys(holds, True), "past": None}
    assert told["leak"]["rewards"] is False
    assert "max_grad_norm is 1.0" in told["refused"]
