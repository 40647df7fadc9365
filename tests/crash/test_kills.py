"""Real processes with real boxes, killed with SIGKILL: nothing is lost and nothing done twice."""

from pathlib import Path
from typing import Any

import pytest

from tests.crash.oracle import COUNTS
from tests.simulation.mutants import BUGS, ROOT, Bug, planted, reported

KILLS = 25
EXECUTED, COMPLETING = "after execute", "before append step.completed"

JUDGED_AGAIN = Bug(
    "what a box asks again is judged again",
    ("steps_twice", "steps_lost", "wrong bytes"),
    "runtime/loop.py",
    (("if missed is not None and said.call == missed.call:", "if False:"),),
)


def _crash(*arguments: str, path: Path = ROOT) -> tuple[dict[str, Any], str]:
    """Kill with the packages in `path`; return the report, and what was said of each fault."""
    return reported("tests.crash", path, *arguments)


def test_runs_that_are_killed_go_on_as_if_they_were_not() -> None:
    """At named points and at any moment: all events, each step once, true verdicts, no box left."""
    report, said = _crash("--kills", str(KILLS), "--seed", "1")
    assert {name: report[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0), said
    assert report["other_faults"] == 0, said
    assert report["kills"] >= KILLS
    assert report["resumed"] >= KILLS / 2
    assert report["joined"] >= KILLS / 4


@pytest.mark.parametrize(
    ("name", "point", "kinds"),
    [
        ("a started step is simply done again", "after execute", {"steps_twice", "recorded twice"}),
        (
            "an event is acknowledged before it is kept",
            "before append step.completed",
            {"events_lost"},
        ),
    ],
)
def test_a_planted_bug_is_caught(name: str, point: str, kinds: set[str], tmp_path: Path) -> None:
    """The harness sees what a bug does to real runs that are killed where it shows."""
    (bug,) = (bug for bug in BUGS if bug.name == name)
    path = planted(bug, tmp_path)
    report, said = _crash("--kills", "12", "--seed", "2", "--point", point, path=path)
    assert kinds & set(report["kinds"]), said


def test_the_same_points_without_the_bug() -> None:
    """What the planted bugs are caught by is silent without them."""
    for point in (EXECUTED, COMPLETING):
        report, said = _crash("--kills", "2", "--seed", "1", "--point", point)
        assert report["kinds"] == [], said
        assert report["kills"] >= 2


def test_a_proposal_that_is_asked_again_and_judged_again_is_caught(tmp_path: Path) -> None:
    """A box that lived on asks for the step that was just recorded; it must be told, not done."""
    path = planted(JUDGED_AGAIN, tmp_path)
    at = ("--point", "after append step.completed")
    report, said = _crash("--kills", "3", "--seed", "1", *at, path=path)
    assert set(report["kinds"]) & set(JUDGED_AGAIN.caught), said
    report, said = _crash("--kills", "3", "--seed", "1", *at)
    assert report["joined"] > 0, said
    assert not report["kinds"], said
