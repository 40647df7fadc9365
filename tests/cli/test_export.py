"""`monastery export` for trainers, on runs whose policy told its tokens."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.errors import AuditFailed
from monastery.runtime.exports.write import FORMATS
from tests.cli.conftest import Cli
from tests.runtime.world import SetAuditor, Small, approve

Told = Mapping[str, Any]


class Telling:
    """A policy that keeps its tokens as a model on this machine does."""

    name = "telling"

    async def call(self, body: Told) -> Told:
        """Answer with one token; say of which temperature, if it is asked for one."""
        request = body["request"]
        number = len(request["messages"])
        told = {"choices": [{"message": {"role": "assistant", "content": f"token {number}"}}]}
        sample = {"ids": [number, 7], "logprobs": [-9.0, -9.0], "drawn_logprobs": [-0.5, -0.25]}
        sampled = {"prompt_ids": [1, *range(number)], "samples": [sample], "temperature": 0.5}
        return {"status": 200, "response": told, "sampled": sampled}


class Silent(Telling):
    """A policy that tells nothing of its tokens."""

    async def call(self, body: Told) -> Told:
        """Answer."""
        return {"status": 200, "response": (await super().call(body))["response"]}


async def _agent(inside: Any) -> int:
    for number in (1, 2, 3):
        messages = [{"role": "user", "content": "on"}] * number
        request = {"model": "m", "messages": messages}
        await inside.model({"api": "openai.chat", "request": request})
        await inside.propose("note", f"note {number}", "why")
    return 0


Live = Callable[..., str]


@pytest.fixture
def live(cli: Cli) -> Live:
    """Lives a run of three steps in the folder's home; returns its name."""

    def one(*votes: Any, policy: Any = None, rate: float = 1.0) -> str:
        home = cli.folder / ".monastery"
        home.mkdir(exist_ok=True)
        auditors = [SetAuditor(*votes or (approve(0.8), AuditFailed("broke"), approve(0.4)))]
        extra = {"policy": {"models": ["m"], "local": "m", "version": "third"}}
        small = Small(home, _agent, auditors, rate, policy=policy or Telling(), extra=extra)
        row = small.new()
        trio.run(small.live, row)
        return str(row.run)

    return one


def test_rows_hold_what_the_journal_says(cli: Cli, live: Live) -> None:
    """What was drawn, with the chances of the draw; what failed to be measured is null."""
    run = live()
    ran = cli("export", run, "--to", "steps")
    assert ran.code == 0
    first, second, third = map(json.loads, ran.out.splitlines())
    assert (first["episode_id"], first["step_index"]) == (run, 1)
    assert (first["prompt_ids"], first["completion_ids"]) == ([1, 0], [1, 7])
    assert first["logprobs"] == [-0.5, -0.25]
    assert (first["reward"], second["reward"], third["reward"]) == (0.8, None, 0.4)
    assert first["policy_version"] == 0
    assert len({line["group_id"] for line in (first, second, third)}) == 3
    assert "WARNING: A row's reward is for that row's own step." in ran.err


def test_several_runs_make_one_export(cli: Cli, live: Live) -> None:
    """In the order in which they are named; the metadata names them."""
    runs = [live(), live()]
    ran = cli("export", *runs, "--to", "trl", "--out", "rows", "--baseline", "0.5")
    assert (ran.code, ran.out) == (0, "2 runs: 6 rows, 6 steps, 4 of them scored; in rows\n")
    told = json.loads((cli.folder / "rows/metadata.json").read_text())
    assert (told["runs"], told["temperature"]) == (runs, 0.5)
    assert told["policy_versions"] == ["third"]
    lines = (cli.folder / "rows/rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["advantage"] for line in lines] == pytest.approx([0.3, -0.1] * 2)
    assert "RecordedTrainer" in (cli.folder / "rows/train.py").read_text()
    assert "scale_rewards" in ran.err
    lines = cli("export", *runs, "--to", "jsonl").out.splitlines()
    assert [json.loads(line)["run"] for line in lines] == [runs[0]] * 4 + [runs[1]] * 4


def test_every_format_can_be_had(cli: Cli, live: Live) -> None:
    """But preferences: a run has no alternatives."""
    pytest.importorskip("pyarrow")
    live()
    for to in FORMATS:
        ran = cli("export", "last", "--to", to, "--output", to)
        if to == "preferences":
            assert ran.code == 2
            assert "no moment has two alternatives with different scores" in ran.err
            assert not (cli.folder / to).exists()
        else:
            assert ran.code == 0, ran.err
            assert {"README.md", "metadata.json"} < {p.name for p in (cli.folder / to).iterdir()}
    line = json.loads((cli.folder / "prm800k/solutions.jsonl").read_text())
    assert [step["completions"][0]["rating"] for step in line["label"]["steps"]] == [1, None, 0]


def test_without_tokens_it_says_what_to_do(cli: Cli, live: Live) -> None:
    """One line, before anything is written; what needs no tokens goes on."""
    live(policy=Silent())
    for to in ("steps", "trl", "prime-rl"):
        ran = cli("export", "last", "--to", to, "--output", "out")
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert "are the tokens recorded, and" in ran.err
        assert "policy.local" in ran.err
    assert [path.name for path in cli.folder.iterdir()] == [".monastery"]
    assert cli("export", "last", "--to", "prm800k", "--output", "out").code == 0


def test_without_a_score_there_is_nothing_to_train_with(cli: Cli, live: Live) -> None:
    """Unscored rows are steps all the same."""
    live(rate=0.0)
    ran = cli("export", "last", "--to", "trl", "--output", "out")
    assert ran.code == 2
    assert "none of 3 steps has a score" in ran.err
    assert len(cli("export", "last", "--to", "steps").out.splitlines()) == 3


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--to", "trl"), "--to trl writes a folder; name a new one with --output FOLDER"),
        (("--to", "steps", "--out", "full"), "'full' is there already; name a new folder"),
        (("--to", "steps", "--out", "gone/x"), "cannot write 'gone/x'"),
        (("--to", "journal", "last"), "--to journal writes one run, not 2"),
        (("--to", "steps", "--baseline", "nan"), "--baseline nan is no score"),
        (("--to", "steps", "--without-content"), "--without-content is for --to journal"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, live: Live, args: tuple[str, ...], said: str) -> None:
    """It names the value and the mend, and leaves nothing behind."""
    live()
    (cli.folder / "full").mkdir()
    (cli.folder / "full/kept").write_text("")
    ran = cli("export", "last", *args)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
    assert {path.name for path in cli.folder.iterdir()} == {".monastery", "full"}


def test_what_was_erased_is_left_out_and_told(cli: Cli, live: Live, tmp_path: Path) -> None:
    """An erased segment has no tokens any more; the others are exported."""
    run = live()
    assert cli("erase", run, "--segment", "1", "--yes").code == 0
    ran = cli("export", run, "--to", "trl", "--output", "out")
    assert ran.code == 0, ran.err
    assert "NOTE: 1 of 2 scored steps are left out" in ran.err
    (line,) = (tmp_path / "out/rows.jsonl").read_text().splitlines()
    assert json.loads(line)["step_index"] == 3
