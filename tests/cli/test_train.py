"""`monastery train`: a local model is changed by what its audited segments earned, by no more."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.cli import compose
from monastery.runtime.errors import BadInput
from monastery.runtime.journal import records
from monastery.runtime.project_file import load
from monastery.runtime.store import Store
from monastery.runtime.training import training_items
from tests.model_server import alone
from tests.tiny_model import LEARNED

PAGE = Path(__file__).parents[2] / "docs" / "learning.md"
MONASTERY = str(Path(sys.executable).parent / "monastery")

AGENT = """
import sys
from monastery_box import history, model, propose
messages = [{"role": "user", "content": "Say hello."}]
request = {"model": "tiny", "messages": messages, "max_tokens": 6, "temperature": 0}
for step in range(len(history()), 3):
    told = model({"api": "openai.chat", "request": request})
    text = told["response"]["choices"][0]["message"]["content"]
    propose("plan", "say " + text, "It was asked for.")
"""

AUDITOR = """
import os, signal
from pathlib import Path
from monastery.auditor.program import receive, vote

case = receive()
seen = Path("seen")
seen.write_text(seen.read_text() + "x" if seen.exists() else "x")
victim = Path("victim")
if victim.exists() and len(seen.read_text()) == 5:  # the second step of the second episode
    os.kill(int(victim.read_text()), signal.SIGKILL)
vote("approve", 0.0 if b"Hello" in case.payload else 1.0)
"""

PROJECT = """
name: polite
goal: Say something.
agent: {{command: [python3, agent.py]}}
box:
  waive: [disk]
  files: [{{from: agent.py, to: agent.py}}]
steps:
  plan: {{}}
audit:
  rate: {rate}
  auditors: [{{command: [{python}, auditor.py]}}]
policy: {{local: {model}, models: [tiny], device: cpu, version: v1}}
"""


def _project(folder: Path, model: Path, rate: float = 1.0) -> Path:
    folder.mkdir()
    (folder / "agent.py").write_text(AGENT)
    (folder / "auditor.py").write_text(AUDITOR)
    path = folder / "project.yaml"
    path.write_text(PROJECT.format(python=sys.executable, model=model, rate=rate))
    return path


def _train(project: Path, *options: str, dies: bool = False) -> "subprocess.CompletedProcess[str]":
    argv = [MONASTERY, "train", "project.yaml", "--checkpoint", "training", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, cwd=project.parent, env=alone(), stdout=pipe, stderr=pipe, text=True
    ) as process:
        if dies:
            (project.parent / "victim").write_text(str(process.pid))
        out, err = process.communicate()
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def _from_python(project: Path) -> str:
    """Live one episode by the program of the page, with the settings of `FAST`."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (program,) = [block for block in blocks if "compose.episodes" in block]
    for shown, here in (("< 100", "< 1"), ("1e-5", '0.003, "seed": 5')):
        assert shown in program
        program = program.replace(shown, here)
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=project.parent, env=alone(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _weights(project: Path) -> bytes:
    (found,) = (project.parent / "training").glob("model-*/model.safetensors")
    return found.read_bytes()


def _curve(project: Path) -> list[dict[str, Any]]:
    lines = (project.parent / "training" / "curve.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


FAST = ("--episodes", "2", "--learning-rate", "0.003", "--seed", "5")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A project whose model was trained for two episodes of three steps."""
    project = _project(tmp_path_factory.mktemp("train") / "whole", tiny_model)
    done = _train(project, *FAST)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 updates in 2 episodes" in done.stdout
    return project


def test_each_audited_segment_is_an_update_and_the_journal_names_the_version(
    trained: Path,
) -> None:
    """Tokens are drawn from the model itself, whatever the agent asked; a version is one update."""
    curve = _curve(trained)
    assert [one["updates"] for one in curve] == [3, 6]
    assert [one["measured"] for one in curve] == [3, 3]
    versions = []
    with Store.open(trained.parent / ".monastery") as store:
        for point in curve:
            for item in training_items(store, point["run"]):
                versions += [one.version for one in item.trainable.answers]
            for record in records(store, point["run"]):
                if record.event.type == "model.called":
                    how = json.loads(store.blob(record.event.sampled.ref))
                    assert (how["temperature"], how["top_p"], how["top_k"]) == (1.0, 1.0, 0)
    assert versions == [f"v1+{number}" for number in range(6)]


def test_what_earned_nothing_becomes_less_probable(trained: Path, tiny_model: Path) -> None:
    """The model had its greeting by heart; the auditor gave 0 for it, and 1 for anything else."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, asked, answer = LEARNED[0]

    def chance(folder: Path) -> float:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        told = tokenizer.apply_chat_template(
            [{"role": "user", "content": asked}], add_generation_prompt=True, return_dict=True
        )
        prompt, said = told["input_ids"], tokenizer(answer)["input_ids"][:1]
        with torch.no_grad():
            logits = model(torch.tensor([prompt])).logits[0, -1]
        return float(logits.softmax(-1)[said[0]])

    (after,) = (trained.parent / "training").glob("model-*")
    assert chance(after) < chance(tiny_model) - 0.05


def test_stopped_and_killed_it_comes_to_the_same_weights(
    trained: Path, tmp_path: Path, tiny_model: Path
) -> None:
    """After an end, and in the middle of an episode: no update is lost, and none made twice.

    Not a bit of the model differs from one that was trained at a stretch. The first episode is
    lived from Python, as the page shows it.
    """
    project = _project(tmp_path / "killed", tiny_model)
    said = _from_python(project)
    *_, point, model = said.splitlines()  # logs stand above
    assert point.startswith("1 "), said
    assert point.endswith(" 3"), said
    assert model == "training/model-000001"
    killed = _train(project, "--episodes", "2", "--resume", dies=True)
    assert killed.returncode == -9, killed.stdout + killed.stderr
    assert len(_curve(project)) == 1
    again = _train(project, "--episodes", "2", "--resume", "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    assert json.loads(again.stdout)["episode"] == 2
    assert [one["updates"] for one in _curve(project)] == [3, 6]
    assert _weights(project) == _weights(trained)


def test_what_was_not_audited_changes_nothing(tmp_path: Path, tiny_model: Path) -> None:
    """Without an audit there is no reward, which is not reward 0: the weights are as they were."""
    project = _project(tmp_path / "unaudited", tiny_model, rate=0.0)
    done = _train(project, "--episodes", "1", "--learning-rate", "0.003")
    assert done.returncode == 0, done.stdout + done.stderr
    (point,) = _curve(project)
    assert (point["segments"], point["audited"], point["score"]) == (3, 0, None)
    assert "0 updates in 1 episodes" in done.stdout
    from safetensors.numpy import load as read

    before, after = (
        read(data) for data in ((tiny_model / "model.safetensors").read_bytes(), _weights(project))
    )
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize(
    ("folder", "resume", "asked", "said"),
    [
        ("training", False, {}, "holds a training of 2 episodes; go on with it by --resume"),
        ("training", True, {"seed": 6}, "--seed 6: the training began with 5; leave it out"),
        ("none", True, {}, "there is no training in '.*none'; leave it out"),
        ("none", False, {"learning_rate": -1.0}, "--learning-rate -1: choose a number above 0"),
        ("none", False, {"baseline": float("nan")}, "--baseline nan: choose a number"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_refused(
    trained: Path, folder: str, resume: bool, asked: dict[str, Any], said: str
) -> None:
    """In one line, before a model is loaded."""
    loaded = load(trained)
    place, home = trained.parent / folder, trained.parent / ".monastery"
    with pytest.raises(BadInput, match=said):
        compose.episodes(loaded, place, home, asked, resume=resume)


def test_a_project_with_another_policy_is_refused(tmp_path: Path) -> None:
    """It says which policy can be trained."""
    (tmp_path / "project.yaml").write_text(
        "name: p\ngoal: g\nagent: {command: [python3, -c, pass]}\nsteps: {plan: {audit: never}}\n"
        "audit: {rate: never}\n"
    )
    done = _train(tmp_path / "project.yaml", "--episodes", "1")
    assert done.returncode == 2
    assert "trains `policy: {local: FOLDER}`" in done.stderr
