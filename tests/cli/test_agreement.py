"""`monastery agreement`, on the recorded votes of runs whose boxes were in memory."""

import json
import re
from pathlib import Path

import pytest
import trio

from monastery.runtime.records import RunId, Vote
from tests.cli.conftest import Cli
from tests.desk.test_record import judge, settle
from tests.desk.world import World
from tests.runtime.world import SetAuditor, Small, notes

DOCS = Path(__file__).parents[2] / "docs"
HOSTILE = "\x1b[31mcy\u202e"
SCORES = {
    "ann": (0.9, 0.9, 0.1, 0.9, 0.8, 0.1),
    "bob": (0.8, 0.9, 0.1, 0.1, 0.9, 0.2),
    "cy": (0.9, 0.7, 0.2, 0.9, 0.9, 0.9),
}
SCORES[HOSTILE] = SCORES["cy"]


def judged(home: Path, names: list[str], steps: int = 6) -> RunId:
    """Live a run whose steps these auditors judge, each with the scores above; return its name."""
    auditors = [
        SetAuditor(
            *(
                Vote(name, "approve" if score > 0.5 else "reject", score)
                for score in SCORES[name][:steps]
            ),
            name=name,
        )
        for name in names
    ]
    small = Small(home, notes(*(f"note {number}" for number in range(steps))), auditors)
    row = small.new()
    trio.run(small.live, row)
    return row.run


@pytest.fixture
def run(tmp_path: Path) -> RunId:
    """A run of six steps that three auditors judged."""
    return judged(tmp_path / ".monastery", ["ann", "bob", HOSTILE])


def test_agreement_tells_how_far_auditors_agree(cli: Cli, run: RunId) -> None:
    """Both coefficients with what they rest on, the warning, each auditor, and each dispute."""
    ran = cli("agreement")
    lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert lines[0] == "18 votes on 6 steps of 1 run"
    approval = next(line for line in lines if line.startswith("approval"))
    # On four steps all three say the same, on two one pair of three does.
    assert approval.split()[1] == "77.8%"
    assert approval.split()[2] == "0.53"
    assert approval.split()[5] == "0.60"
    assert approval.split()[-2:] == ["6", "18"]
    assert any("Alpha misleads when bad steps are rare" in line for line in lines)
    assert "~ is estimated" in ran.out
    assert [line.split()[0] for line in lines if line.startswith(run)] == [f"{run}.4", f"{run}.6"]
    assert "ann approve 0.90, bob reject 0.10" in ran.out


def test_no_escape_in_a_name_reaches_the_terminal(cli: Cli, run: RunId) -> None:
    """Names are a stranger's text as well."""
    out = cli("agreement", run).out
    assert "‹U+001B›" in out
    assert all(char == "\n" or char.isprintable() for char in out)


def test_programs_get_all_of_it_as_json(cli: Cli, run: RunId) -> None:
    """Coefficients with errors, items and votes; members; disputes with each vote."""
    told = cli("agreement", "last", "--json").json
    assert told["runs"] == [run]
    assert (told["items"], told["compared"], told["votes"]) == (6, 6, 18)
    approval = told["agreement"][0]
    # Reckoned by hand: 12 of 18 approve; 4 of 18 pairs of votes differ.
    assert approval["raw"] == pytest.approx(14 / 18)
    assert approval["alpha"]["value"] == pytest.approx(1 - (4 / 18) / (2 * 12 * 6 / (18 * 17)))
    chance = 2 * (12 / 18) * (6 / 18)
    assert approval["ac1"]["value"] == pytest.approx((14 / 18 - chance) / (1 - chance))
    assert approval["alpha"]["items"] == 6
    assert {one["auditor"] for one in told["members"]} == {"ann", "bob", HOSTILE}
    (first, second) = told["disputed"]
    assert (first["item"], second["item"]) == (f"{run}.4", f"{run}.6")
    assert [vote["decision"] for vote in first["ballots"]].count("approve") == 2


def test_known_steps_give_sensitivity_and_specificity(cli: Cli, run: RunId, tmp_path: Path) -> None:
    """Exact intervals for each auditor; what is known stands beside the disputes too."""
    known = tmp_path / "known.json"
    known.write_text(json.dumps({f"{run}.3": "bad", f"{run}.6": "bad", f"{run}.1": "good"}))
    out = cli("agreement", "--known", known).out
    ann = next(line for line in out.splitlines() if line.startswith("ann"))
    assert "1.00 of 2 (0.16 to 1.00)  1.00 of 1 (0.03 to 1.00)" in ann
    assert "0.50 of 2 (0.01 to 0.99)" in out
    assert "~" not in ann
    dispute = next(line for line in out.splitlines() if line.startswith(f"{run}.6"))
    assert dispute.split()[1:3] == ["0.80", "no"]
    members = cli("agreement", "--known", known, "--json").json["members"]
    assert [one["known"]["sensitivity"]["count"] for one in members].count(1) == 1


def test_several_runs_are_one_panel(cli: Cli, run: RunId) -> None:
    """All of the home by default, else those that are named, each once."""
    other = judged(cli.folder / ".monastery", ["ann"], steps=2)
    assert cli("agreement").out.startswith("20 votes on 8 steps of 2 runs\n")
    assert cli("agreement", run, run).out.startswith("18 votes on 6 steps of 1 run\n")
    alone = cli("agreement", other).out
    assert alone.startswith("2 votes on 2 steps of 1 run\n")
    assert "no step has votes of two auditors: whether they agree cannot be told" in alone
    assert "SENSITIVITY" not in alone


def test_persuasion_and_what_is_left_out_are_told(cli: Cli) -> None:
    """Of who voted twice on a settled step; an open one is counted and no more is said of it."""
    world = World(cli.folder / ".monastery")
    settle(world, judge(world, 1, ("reject", 0.25), ("approve", 0.95)), 1, 0.25)
    settle(world, judge(world, 2, ("approve", 0.75), ("approve", 0.85)), 2, 0.75)
    judge(world, 3, ("terminate", 0.0123), ("reject", 0.5))
    world.book.close()
    world.questions.store.close()
    out = cli("agreement", "--persuasion").out
    row = next(line for line in out.splitlines() if line.startswith("ada"))
    # Student's t with one degree of freedom: 12.706 times .3.
    assert row.split() == ["ada", "2", "+0.40", "(-3.41", "to", "+4.21)", "1", "0", "0"]
    assert "left out: 1 audited step, of which someone may still be asked" in out
    assert "ALPHA" not in out
    whole = cli("agreement").out
    assert row in whole
    assert whole.startswith("2 votes on 2 steps of 1 run\n")
    told = cli("agreement", "--json")
    assert "0.0123" not in told.out
    assert (told.json["hidden"], told.json["settled"]) == (1, None)
    assert told.json["persuasion"][0]["differences"] == pytest.approx([0.7, 0.1])


def test_bad_input_is_one_line(cli: Cli, run: RunId, tmp_path: Path) -> None:
    """A file that is none, words that are none, steps that nobody voted on, a run that is none."""
    known = tmp_path / "known.json"
    for text, complaint in (
        ("{", "cannot be read as JSON"),
        (f'{{"{run}.1": "fine"}}', "write good or bad"),
        (f'{{"{run}.1": "bad", "{run}.1": "good"}}', "named twice"),
        ('{"nobody.1": "bad"}', "names no step that these runs' auditors voted on"),
    ):
        known.write_text(text)
        ran = cli("agreement", "--known", known)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert complaint in ran.err
    for arguments in (("--known", tmp_path / "none.json"), ("nobody",)):
        ran = cli("agreement", *arguments)
        assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_the_page_shows_what_the_command_prints(cli: Cli) -> None:
    """The example is this one, line by line, but for how long the votes took."""
    judged(cli.folder / ".monastery", ["ann", "bob", "cy"])
    page = (DOCS / "auditing.md").read_text()
    (example,) = re.findall(r"```\n(18 votes.*?)```", page, re.DOTALL)
    printed = [_without_seconds(line) for line in cli("agreement").out.splitlines()]
    for line in filter(None, example.splitlines()):
        assert _without_seconds(line) in printed


def test_the_page_scores_alternatives_as_python_does() -> None:
    """Its lines run as they stand."""
    page = (DOCS / "auditing.md").read_text()
    (example,) = re.findall(r"```python\n(from monastery.auditor.bradley.*?)```", page, re.DOTALL)
    told: dict[str, dict[str, float]] = {}
    exec(example, told)
    assert {name: round(score, 2) for name, score in told["scores"].items()} == {
        "b": 0.84,
        "a": 0.33,
        "c": 0.33,
    }
    assert "# b .84, a and c .33" in example


def _without_seconds(line: str) -> list[str]:
    """Return the words of a line, without the seconds of an auditor's row."""
    words = line.split()
    return words[:4] + words[5:] if line.startswith(("ann", "bob", "cy")) else words
