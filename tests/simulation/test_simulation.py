"""Nothing lost and nothing done twice, in simulated worlds and with planted bugs."""

from pathlib import Path

import pytest

from tests.simulation.lives import live
from tests.simulation.mutants import BUGS, Bug, planted, simulated

CRASHES = 150


def test_nothing_is_wrong_after_many_deaths() -> None:
    """Runtimes die between any two awaits, over virtual weeks, and every run comes to its end."""
    report = simulated(Path(), "--crashes", str(CRASHES), "--seed", "1")
    assert report["faults"] == 0, report
    assert report["crashes"] >= CRASHES
    assert report["virtual_days"] > 14


def test_a_seed_can_be_replayed(tmp_path: Path) -> None:
    """The same seed gives the same events at the same moments, and another seed others."""
    lived = []
    for name, seed in (("a", "5/3"), ("b", "5/3"), ("c", "5/4")):
        (tmp_path / name).mkdir()
        lived.append(live(tmp_path / name, seed))
    first, again, other = lived
    assert (first.told, first.deaths, first.days) == (again.told, again.deaths, again.days)
    assert first.told != other.told


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
def test_a_planted_bug_is_caught(bug: Bug, tmp_path: Path) -> None:
    """Each bug is found within a thousand crashes, and named for what it does."""
    report = simulated(planted(bug, tmp_path), "--crashes", "1000", "--faults", "4")
    assert set(report["kinds"]) & set(bug.caught), f"{bug.name!r} was not caught: {report}"
