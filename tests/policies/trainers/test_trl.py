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
from tests.model_server import ROOT, alone, make
from tests.runtime.world import SetAuditor, Small, approve


async def _agent(inside: Any) -> int:
    """Each segment asks twice, the second time with the answer to the first, and proposes."""
    for number in range(6):
        messages = [{"role": "user", "content": f"Note {number}."}]
        for _ in range(2):
            request = {"model": "tiny", "messages": messages, "temperature": 1.0, "max_tokens": 12}
            said = await inside.model(
                {"api": "openai.chat", "request": {**request, "seed": number}}
            )
            message = said["response"]["choices"][0]["message"]
            messages = [*messages, message, {"role": "user", "content": "Do go on."}]
        await inside.propose("note", f"note {number}", "why")
    return 0


async def _lived(home: Path, model: Path) -> str:
    policy = LocalPolicy(LocalPolicySettings(local="tiny"), model)
    votes = [approve(0.9), approve(0.2), AuditFailed("broke"), approve(0.6), approve(0.0)]
    extra = {"policy": {"local": "tiny", "models": ["tiny"]}}
    small = Small(home, _agent, [SetAuditor(*votes)], policy=policy, extra=extra)
    try:
        row = small.new()
        await small.live(row)
    finally:
        await policy.aclose()
    return row.run


def test_trl_trains_on_an_export_and_keeps_to_the_boundary(tmp_path: Path) -> None:
    """It trains; its gradient is the rows' policy gradient, and is zero outside of segments.

    The model's weights are as they were drawn: what it says is noise, bytes that are no text. So
    after long answers the second prompt does not go on from the first, and is a row of its own.
    """
    model = make(tmp_path / "model", "--random")
    trio.run(_lived, tmp_path / "home", model)
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
        [*program, str(tmp_path / "rows"), str(model), str(tmp_path / "trained")],
        cwd=ROOT,
        env={**alone(), "HF_HOME": str(tmp_path / "hub"), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    before = (model / "model.safetensors").read_bytes()
    assert (tmp_path / "trained/model.safetensors").read_bytes() != before
    assert told["reach"]["outside"] == 0.0
    assert told["reach"]["inside"] > 0.0
    assert told["apart"] < 1e-3
    holds = ("repeats", "watched", "unmeasured", "credit", "rewards", "choices", "future")
    assert told["check"] == {**dict.fromkeys(holds, True), "past": None}
    assert told["leak"]["rewards"] is False
    assert "max_grad_norm is 1.0" in told["refused"]
