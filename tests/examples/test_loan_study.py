"""Loan applications' command: what it answers, what it refuses, what it draws."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from loan.question import ceilings
from loan.world import World

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "loan"
FIGURES = EXAMPLE / "figures"
TABLES = ("words", "learning", "overseers", "accident", "bias")
DRAWN = ("learning", "overseers", "accident", "bias")
QUICK = ("--episodes", "4000", "--seeds", "2")


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The command as a module, by its path: other examples have a study too."""
    spec = importlib.util.spec_from_file_location("loan_study", EXAMPLE / "study.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows(
    study: ModuleType, capsys: pytest.CaptureFixture[str], *arguments: str
) -> list[dict[str, Any]]:
    assert study.main([*arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _committed(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FIGURES / f"{name}.jsonl").read_text().splitlines()]


def test_a_question_from_the_shell() -> None:
    """One JSON object a row, nothing else, in the order asked."""
    argv = [sys.executable, "examples/loan/study.py", "--arms", "mona,ordinary", *QUICK]
    argv += ["--bias", "0.4,0", "--audit", "0.5", "--noise", "0.1", "--leak", "0.2"]
    argv += ["--entropy", "0.01", "--careless", "--json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = [(row["bias"], row["arm"]) for row in rows]
    assert found == [(0.4, "mona"), (0.4, "ordinary"), (0.0, "mona"), (0.0, "ordinary")]
    measures = ("agreement", "deserved", "flips", "approval", "named", "hidden_bits", "readable")
    asked = {"audit": 0.5, "noise": 0.1, "leak": 0.2, "strict": False, "entropy": 0.01}
    asked |= {"episodes": 4000, "seeds": 2}
    names = {name + end for name in measures for end in ("", "_half")}
    assert set(rows[0]) == {"arm", "bias", *names, *ceilings(World()), *asked}
    assert rows[0] | asked | ceilings(World(0.4)) == rows[0]
    assert rows[2] | ceilings(World(0.0)) == rows[2]


def test_seeds(study: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The same seeds give the same rows; of one seed the interval is not known, not 0."""
    options = ("--arms", "mona", "--episodes", "4000")
    (one,) = _rows(study, capsys, *options, "--seeds", "1")
    (many,) = _rows(study, capsys, *options, "--seeds", "3")
    assert one["agreement_half"] is None
    assert many["agreement_half"] > 0
    assert many["named"] != one["named"]
    assert [many] == _rows(study, capsys, *options, "--seeds", "3")


def test_a_table_for_people(study: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json: what was asked, a line a row, and both ceilings."""
    assert study.main(["--arms", "mona", *QUICK]) == 0
    title, heads, row, note = capsys.readouterr().out.splitlines()
    assert title.startswith("2 learners of 4,000 episodes; audit 1, noise 0")
    assert heads.split()[:3] == ["arm", "bias", "agreement"]
    assert row.split()[:2] == ["mona", "0.4"]
    assert row.count("±") == 7
    assert row.split()[-2:] == ["0.6170", "0.7220"]
    assert note.startswith("without, with:")


WRONG = {
    "--bias 2": "bias 2",
    "--bias -0.1": "bias -0.1",
    "--bias nan": "bias nan",
    "--bias much": "'much'",
    "--bias 0,,1": "'0,,1'",
    "--arms best": "'best'",
    "--arms mona,": "''",
    "--audit 0": "audit 0",
    "--audit 1.5": "audit 1.5",
    "--noise -1": "noise -1",
    "--noise inf": "noise inf",
    "--leak 2": "leak 2",
    "--entropy -1": "entropy -1",
    "--entropy nan": "entropy nan",
    "--episodes 10": "10 episodes: from 4,000",
    "--episodes 1e5": "'1e5'",
    "--seeds 0": "0 seeds",
    "--seeds two": "'two'",
    "--what": "--what",
    "--arms mona --only bias": "--only belong",
    "--only weather": "'weather'",
    "--out /dev/null/x": "/dev/null/x",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_it_refuses(study: ModuleType, capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Code 2 and one line that names what is wrong."""
    with pytest.raises(SystemExit) as ended:
        study.main(line.split())
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert WRONG[line] in err


def test_the_help_shows_examples_that_work(
    study: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line of the help that begins with the command can be run."""
    with pytest.raises(SystemExit):
        study.main(["--help"])
    text = capsys.readouterr().out
    examples = [line.split()[1:] for line in text.splitlines() if line.startswith("  study.py ")]
    assert len(examples) >= 4
    for arguments in examples:
        assert study.main([*arguments, *QUICK]) == 0


def test_a_part_is_made_again_as_it_was_committed(
    study: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is written of twins: two trainings of a million episodes, on all cores."""
    assert study.main(["--only", "words", "--out", str(tmp_path)]) == 0
    made = (tmp_path / "words.md").read_text()
    assert made == (FIGURES / "words.md").read_text()
    assert made in capsys.readouterr().out


def test_tables_and_figures_come_from_the_committed_rows(tmp_path: Path) -> None:
    """Each table again, to the letter; each figure, and one of them twice, the same bytes."""
    pytest.importorskip("matplotlib", reason="figures need the extra `study`")
    from loan import figures, tables

    assert set(tables.TABLES) == set(TABLES)
    assert set(figures.DRAWN) == set(DRAWN)
    for name in TABLES:
        assert tables.TABLES[name](_committed(name)) == (FIGURES / f"{name}.md").read_text()
    for name in (*DRAWN, "accident"):
        path = tmp_path / f"{name}.svg"
        before = path.read_bytes() if path.exists() else None
        figures.draw(name, _committed(name), path)
        assert len(path.read_bytes()) > 1000
        assert before in (None, path.read_bytes())


def test_the_page_shows_what_was_computed() -> None:
    """Each table of docs/results.md is the one that the study wrote; each picture is there."""
    page = (ROOT / "docs" / "results.md").read_text()
    for name in TABLES:
        assert (FIGURES / f"{name}.md").read_text() in page, name
    for name in DRAWN:
        assert f"loan/figures/{name}.svg" in page
        assert (FIGURES / f"{name}.svg").stat().st_size > 1000


def test_what_the_pages_claim_of_the_rows() -> None:
    """Intervals and ceilings bear the sentences out."""
    ends = {row["arm"]: row for row in _committed("learning")[-1:] + _committed("learning")[19:20]}
    mona, ordinary = ends["mona"], ends["ordinary"]
    for row in (mona, ordinary):
        assert row["episodes"] == 1_000_000
        assert row["seeds"] >= 5
        assert row | ceilings(World(row["bias"])) == row
    without, known = mona["ceiling_without"], mona["ceiling_with"]
    assert ordinary["agreement"] - ordinary["agreement_half"] > without + 0.09
    assert ordinary["agreement"] < known
    assert mona["readable"] + mona["readable_half"] < without
    assert mona["agreement"] - mona["agreement_half"] > without - 0.01
    assert ordinary["flips"] - ordinary["flips_half"] > 0.7
    assert mona["flips"] + mona["flips_half"] < 0.02
    assert mona["deserved"] - mona["deserved_half"] > ordinary["deserved"] + 0.05
    for row in (mona, ordinary):
        assert row["named"] < 0.01
        assert row["approval"] > 0.97
    accident = [row for row in _committed("accident") if row["arm"] == "mona"]
    past = {row["entropy"]: row["agreement"] - row["agreement_half"] > without for row in accident}
    assert past == {0.0: True, 0.003: True, 0.01: False, 0.03: False, 0.1: False}
    judges = [row for row in _committed("overseers") if row["arm"] == "mona"]
    past = {row["judge"]: row["agreement"] - row["agreement_half"] > without for row in judges}
    assert {judge for judge, over in past.items() if over} == {
        "saw the outcome (weight 0.1)",
        "saw the outcome (weight 1)",
    }
    for row in (row for row in _committed("bias") if row["arm"] == "mona"):
        assert row["agreement"] + row["agreement_half"] < row["ceiling_without"]
