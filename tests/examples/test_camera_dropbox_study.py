"""Camera Dropbox's command: what it answers, what it refuses, what it draws."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "camera_dropbox"
FIGURES = EXAMPLE / "figures"
TABLES = ("horizon", "noise", "blend", "iterated", "learning")


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The command as a module, by its path: other examples have a study too."""
    spec = importlib.util.spec_from_file_location("camera_dropbox_study", EXAMPLE / "study.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_question_from_the_shell() -> None:
    """One JSON object a row, nothing else, in the order asked."""
    argv = [sys.executable, "examples/camera_dropbox/study.py", "--rows", "4", "--cols", "4"]
    argv += ["--boxes", "2", "--blockers", "1", "--horizons", "12,1", "--approval", "good"]
    argv += ["--noise", "0", "--seeds", "1", "--json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["horizon"] for row in rows] == [12, 1]
    assert rows[0]["hack"] == 0.5625
    assert rows[1] == {
        "horizon": 1,
        "failure": 0.0,
        "desired": 1.0,
        "hack": 0.0,
        "observed_return": 0.936904761905,
        "true_return": 0.936904761905,
        "spread": dict.fromkeys(
            ("failure", "desired", "hack", "observed_return", "true_return"), 0.0
        ),
        "rows": 4,
        "cols": 4,
        "boxes": 2,
        "blockers": 1,
        "steps": 50,
        "approval": "good",
        "noise": 0.0,
        "seeds": 1,
        "states": 1937,
        "starts": 84,
    }


def _rows(
    study: ModuleType, capsys: pytest.CaptureFixture[str], *arguments: str
) -> list[dict[str, object]]:
    assert study.main([*arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_rounds_and_ranges(study: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each horizon and round; a horizon asked twice has one row."""
    options = ("--rows", "3", "--steps", "9", "--horizons", "2-3,1,3", "--iterate", "2")
    rows = _rows(study, capsys, *options)
    found = [(row["horizon"], row["round"]) for row in rows]
    assert found == [(2, 1), (2, 2), (3, 1), (3, 2), (1, 1), (1, 2)]


def test_seeds(study: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The same seeds give the same rows; of one noisy seed the spread is not known, not 0."""
    options = ("--rows", "3", "--noise", "0.5", "--horizons", "1")
    (one,) = _rows(study, capsys, *options)
    (many,) = _rows(study, capsys, *options, "--seeds", "5")
    assert one["spread"]["failure"] is None
    assert many["spread"]["failure"] > 0
    assert many["failure"] != one["failure"]
    assert [many] == _rows(study, capsys, *options, "--seeds", "5")


def test_a_table_for_people(study: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json, and with a spread where there is one."""
    assert study.main(["--rows", "3", "--horizons", "1", "--noise", "0.5", "--seeds", "3"]) == 0
    title, heads, row, note = capsys.readouterr().out.splitlines()
    assert title.startswith("3x4, 2 boxes")
    assert heads.split() == ["horizon", "failure", "desired", "hack", "observed", "true"]
    assert row.split()[0] == "1"
    assert row.count("±") == 5
    assert note == "mean of 3 seeds ± standard deviation between them"


WRONG = {
    "--rows 3 --cols 3": "has no start state",
    "--rows 2": "has no start state",
    "--rows 1": "2 rows and 2 columns at least",
    "--boxes 0": "at least 1",
    "--boxes 16": "15 boxes at most",
    "--boxes 15": "has no start state",
    "--rows 30 --cols 30 --boxes 4": "a smaller grid or fewer boxes",
    "--blockers -1": "-1 blockers",
    "--steps 1": "1 steps are no episode",
    "--steps 1000000000 --horizons 1": "fewer steps or a smaller grid",
    "--steps 1000000 --horizons 1-1000000": "fewer steps or a smaller grid",
    "--horizons 51": "horizon 51 is outside 0 to 50",
    "--horizons 1,,2": "'1,,2'",
    "--horizons -1": "--horizons",
    "--horizons 5-3": "'5-3'",
    "--horizons one": "'one'",
    "--approval best": "'best'",
    "--approval blend": "'blend'",
    "--approval blend:1.5": "W from 0 to 1",
    "--approval blend:nan": "W from 0 to 1",
    "--noise -0.5": "noise -0.5",
    "--noise nan": "noise nan",
    "--noise inf": "noise inf",
    "--seeds 0": "0 seeds",
    "--iterate 0": "0 rounds",
    "--iterate 100000000": "from 1 to 10,000",
    "--rows four": "'four'",
    "--what": "--what",
    "--horizons 1 --only noise": "--only belong",
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
        assert study.main([*arguments, "--rows", "3", "--cols", "4", "--boxes", "2"]) == 0


def test_figures_and_tables(
    study: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """They come out the same twice, and as they were committed."""
    pytest.importorskip("matplotlib", reason="figures need the extra `study`")
    for folder in ("one", "two"):
        options = ["--only", "iterated,worlds", "--out", str(tmp_path / folder)]
        assert study.main(options) == 0
    one, two = (sorted((tmp_path / folder).iterdir()) for folder in ("one", "two"))
    assert [path.name for path in one] == [
        "iterated.jsonl",
        "iterated.md",
        "iterated.svg",
        "worlds.svg",
    ]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert one[1].read_text() == (FIGURES / "iterated.md").read_text()
    assert capsys.readouterr().out.count((FIGURES / "iterated.md").read_text()) == 2


def test_the_page_shows_what_was_computed() -> None:
    """Each table of docs/results.md is the one that the study wrote; each picture is there."""
    page = (ROOT / "docs" / "results.md").read_text()
    for name in TABLES:
        assert (FIGURES / f"{name}.md").read_text() in page, name
        assert f"camera_dropbox/figures/{name}.svg" in page
        assert (FIGURES / f"{name}.svg").stat().st_size > 1000
