"""Export files: each format holds what its readers look for, and nothing of another step."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monastery.policies import trainers
from monastery.runtime.credit import TrainingItem
from monastery.runtime.errors import BadInput
from monastery.runtime.exports.notes import LOUD, PROMISE
from monastery.runtime.exports.process_labels import rating, run_object
from monastery.runtime.exports.steps import COLUMNS
from monastery.runtime.exports.tally import Tally
from monastery.runtime.exports.write import FORMATS, write_export
from tests.runtime.lived import segment

ITEMS = (
    segment("a", ([1, 2], [3, 4]), ([1, 2, 3, 4, 9], [5]), score=0.9, probability=0.5),
    segment("b", ([1, 6], [7]), score=None, probability=0.5, index=2),
    segment("c", ([1, 8], [2]), score=0.0, index=3),
)
PAIR = (
    segment("good", ([1], [2]), score=0.9, moment="m"),
    segment("bad", ([1], [3]), ([1, 3, 4], [5]), score=0.2, moment="m", live=False),
)


def _export(to: str, folder: Path, items: Sequence[TrainingItem] = ITEMS, **more: Any) -> Tally:
    folder.mkdir()
    tally = Tally(["run-1"])
    write_export(to, folder, items, tally, **more)
    return tally


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_steps_have_all_rows_with_null_for_what_was_not_measured(tmp_path: Path) -> None:
    """And the columns of the page, in JSON lines as in parquet."""
    parquet = pytest.importorskip("pyarrow.parquet")
    _export("steps", tmp_path / "out")
    lines = _lines(tmp_path / "out/steps.jsonl")
    assert [line["reward"] for line in lines] == [1.8, None, 0.0]
    assert [line["advantage"] for line in lines] == [1.8, None, 0.0]
    assert all(list(line) == list(COLUMNS) for line in lines)
    table = parquet.read_table(tmp_path / "out/steps.parquet")
    kinds = {field.name: str(field.type).replace("element: ", "") for field in table.schema}
    assert kinds == COLUMNS
    for told, line in zip(table.to_pylist(), lines, strict=True):
        line["logprobs"] = pytest.approx(line["logprobs"])
        line["reward"] = line["reward"] and pytest.approx(line["reward"])
        line["advantage"] = line["reward"]
        assert told == line


def test_trainers_get_what_was_measured_and_how_many_there_were(tmp_path: Path) -> None:
    """Sums are divided by all segments: the number is beside the rows."""
    _export("trl", tmp_path / "out")
    assert [line["segment_id"] for line in _lines(tmp_path / "out/rows.jsonl")] == ["a", "c"]
    told = json.loads((tmp_path / "out/metadata.json").read_text())
    assert (told["segments"], told["rows"], told["rows_with_advantage"]) == (3, 3, 2)


@pytest.mark.parametrize("to", FORMATS)
def test_every_export_says_what_breaks_the_boundary(tmp_path: Path, to: str) -> None:
    """Beside the rows, where whoever trains will look."""
    if to == "verl":
        pytest.importorskip("pyarrow")
    solutions = [run_object(ITEMS, goal="g", done=True, at=None)]
    items = PAIR if to == "preferences" else ITEMS
    _export(to, tmp_path / "out", items, solutions=solutions)
    page = (tmp_path / "out/README.md").read_text()
    assert LOUD in page
    assert PROMISE in page
    assert "1/probability" in page


def test_preferences_are_of_one_moment(tmp_path: Path) -> None:
    """The better one is chosen, with all that followed in its segment and nothing else."""
    other = segment("later", ([1], [9]), score=1.0, index=2)
    _export("preferences", tmp_path / "out", [*PAIR, other])
    (pair,) = _lines(tmp_path / "out/preferences.jsonl")
    assert pair["prompt"] == [{"role": "user", "content": "begin"}]
    assert [one["content"] for one in pair["chosen"]] == ["good-0"]
    assert [one["content"] for one in pair["rejected"]] == ["bad-0", "fed-bad-0", "bad-1"]
    assert (pair["score_chosen"], pair["score_rejected"], pair["weight"]) == (0.9, 0.2, 1.0)


def test_a_run_without_alternatives_has_no_preferences(tmp_path: Path) -> None:
    """Two steps of a run are no alternatives, whatever they scored."""
    with pytest.raises(BadInput, match="run run-1: no moment has two alternatives"):
        _export("preferences", tmp_path / "out")


def test_verl_reads_its_columns(tmp_path: Path) -> None:
    """The five that its documentation names, in its shapes, and the recorded ones beside them."""
    parquet = pytest.importorskip("pyarrow.parquet")
    _export("verl", tmp_path / "out")
    first, second = parquet.read_table(tmp_path / "out/train.parquet").to_pylist()
    assert first["data_source"] == "monastery"
    assert first["prompt"] == [{"role": "user", "content": "begin"}]
    assert isinstance(first["ability"], str)
    assert set(first["reward_model"]) == {"style", "ground_truth"}
    assert (first["extra_info"], second["extra_info"]) == ({"index": 0}, {"index": 1})
    assert (first["completion_ids"], second["completion_ids"]) == ([3, 4, 9, 5], [2])


@pytest.mark.parametrize(("recorded", "told"), [(0.5, 0.5), (None, 1.0), (0.0, 1.0)])
def test_prime_rl_is_told_no_temperature_that_it_cannot_divide_by(
    tmp_path: Path, recorded: float | None, told: float
) -> None:
    """What it is told of each token is what logits were divided by, or 1."""
    _export("prime-rl", tmp_path / "out", [segment("a", ([1], [2, 3]), temperature=recorded)])
    (row,) = _lines(tmp_path / "out/rows.jsonl")
    assert row["temperatures"] == [told] * 3
    assert row["completion_temperatures"] == [told] * 2


PRIME_RL = {
    "of early 2026": """
    prompt_ids: list[int]
    prompt_mask: list[bool]
    completion_ids: list[int]
    completion_mask: list[bool]
    completion_logprobs: list[float]
    completion_temperatures: list[float]
    env_name: str
    advantage: float | None = None
    reward: float | None = None
""",
    "of late 2026": """
    token_ids: list[int]
    mask: list[bool]
    logprobs: list[float]
    temperatures: list[float]
    env_name: str
    reward: float | None = None
    rl_weights: list[float] | None = None
    advantages: list[float] | None = None
""",
    "unknown": """
    token_ids: list[int]
    colour: str
""",
    "another": """
    token_ids: list[int]
    advantages: list[list[float]]
""",
}


def _prime_rl(folder: Path, fields: str) -> None:
    """Lay out the documented part of a prime-rl: it is no package that could be installed here."""
    package = folder / "prime_rl/transport"
    package.mkdir(parents=True)
    (package / "types.py").write_text(
        "import msgspec\n"
        "class TrainingSample(msgspec.Struct, array_like=True, gc=False, omit_defaults=True):"
        f"{fields}\n"
        "class TrainingBatch(msgspec.Struct, array_like=True, gc=False, omit_defaults=True):\n"
        "    examples: list[TrainingSample]\n    step: int\n    run_idx: int | None = None\n"
    )


def _hand_over(folder: Path, fields: str) -> subprocess.CompletedProcess[str]:
    program = (Path(trainers.__file__).parent / "prime_rl_batch.py").read_bytes()
    _export("prime-rl", folder / "out", programs={"batch.py": program})
    _prime_rl(folder / "site", fields)
    return subprocess.run(
        [sys.executable, str(folder / "out/batch.py"), str(folder / "run"), "--step", "4"],
        env={"PYTHONPATH": str(folder / "site")},
        capture_output=True,
        text=True,
    )


READ = """
import sys, json, msgspec
from prime_rl.transport.types import TrainingBatch
batch = msgspec.msgpack.decode(open(sys.argv[1], "rb").read(), type=TrainingBatch)
print(json.dumps([batch.step, [{n: getattr(one, n) for n in one.__struct_fields__}
                               for one in batch.examples]]))
"""


@pytest.mark.parametrize("which", ["of early 2026", "of late 2026"])
def test_prime_rl_decodes_the_batch(tmp_path: Path, which: str) -> None:
    """With its own classes as documented, by whose names the fields are filled in."""
    done = _hand_over(tmp_path, PRIME_RL[which])
    assert done.returncode == 0, done.stderr
    read = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "run/rollouts/step_4/rollouts.bin")],
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert read.returncode == 0, read.stderr
    step, (first, _) = json.loads(read.stdout)
    assert step == 4
    if which == "of early 2026":
        assert first["prompt_mask"] == [False, False]
        assert first["completion_ids"] == [3, 4, 9, 5]
        assert first["completion_mask"] == [True, True, False, True]
        assert first["advantage"] == first["reward"] == 1.8
    else:
        assert first["token_ids"] == [1, 2, 3, 4, 9, 5]
        assert first["mask"] == [False, False, True, True, False, True]
        assert first["advantages"] == [0, 0, 1.8, 1.8, 0, 1.8]
        assert first["logprobs"] == pytest.approx([0, 0, -0.3, -0.4, 0, -0.5])


@pytest.mark.parametrize(
    ("which", "said"), [("unknown", "wants colour"), ("another", "holds samples otherwise")]
)
def test_a_prime_rl_that_is_not_known_is_refused(tmp_path: Path, which: str, said: str) -> None:
    """Nothing is made up for a field that a row has not."""
    done = _hand_over(tmp_path, PRIME_RL[which])
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "run").exists()


def test_prm800k_labels_each_step(tmp_path: Path) -> None:
    """The fields that its page names; the trajectory can be put together as it says."""
    line = run_object([*ITEMS[:1], *PAIR], goal="write notes", done=True, at=None)
    _export("prm800k", tmp_path / "out", solutions=[line])
    (told,) = _lines(tmp_path / "out/solutions.jsonl")
    assert told["question"]["problem"] == "write notes"
    assert told["label"]["finish_reason"] == "solution"
    steps = told["label"]["steps"]
    chosen = [
        step["human_completion"]
        if step["chosen_completion"] is None
        else step["completions"][step["chosen_completion"]]["text"]
        for step in steps
    ]
    assert chosen == ["note: why a\n\ndo a", "note: why good\n\ndo good"]
    assert [[one["rating"] for one in step["completions"]] for step in steps] == [[1], [1, -1]]
    assert steps[0]["completions"][0]["probability"] == 0.5


def test_a_rating_is_the_nearest_and_none_is_none() -> None:
    """Unmeasured is not a neutral step."""
    assert [rating(one) for one in (0.0, 0.2, 0.25, 0.5, 0.75, 0.8, 1.0, None)] == [
        *(-1, -1, 0, 0, 0, 1, 1),
        None,
    ]
