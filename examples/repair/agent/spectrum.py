"""Where the fault may lie: suspicious lines, and failing tests that belong together.

A line is the more suspicious the more failing and the fewer passing tests run it. The measure is
the Ochiai coefficient, found best among its like by Abreu, Zoeteweij and van Gemund ("An evaluation
of similarity coefficients for software fault localization", PRDC 2006; "On the accuracy of
spectrum-based fault localization", TAIC PART 2007):

    suspiciousness = ef / sqrt((ef + nf) * (ef + ep))

with ef and ep the failing and passing tests that run the line, nf the failing ones that do not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from suite import Test

ALIKE = 0.5


def ochiai(failing: Sequence[Test], passing: Iterable[Test]) -> dict[tuple[str, int], float]:
    """Return the suspiciousness of every line that a failing test runs, above 0 and up to 1."""
    by_failing = Counter(line for test in failing for line in test.lines)
    by_passing = Counter(line for test in passing for line in test.lines)
    return {
        line: ef / math.sqrt(len(failing) * (ef + by_passing[line]))
        for line, ef in by_failing.items()
    }


def clusters(failing: Sequence[Test], passing: Sequence[Test]) -> list[list[Test]]:
    """Group failing tests that run the same unusual lines, the most promising group first.

    Each line weighs log((1 + passing tests) / (1 + those that run it)): what every test runs says
    nothing. Two tests are alike when the weighted Jaccard index of their lines is at least one
    half, and a group is joined by single links. A group is promising when some line is run by it
    and by little else; among equals, the one that runs fewer lines.
    """
    runs = Counter(line for test in passing for line in test.lines)
    weight = {
        line: math.log((1 + len(passing)) / (1 + runs[line]))
        for test in failing
        for line in test.lines
    }
    groups: list[list[Test]] = []
    for test in failing:
        near = [group for group in groups if any(_alike(test, one, weight) for one in group)]
        groups = [group for group in groups if group not in near]
        groups.append([one for group in near for one in group] + [test])
    return sorted(groups, key=lambda group: _promise(group, passing))


def _alike(one: Test, other: Test, weight: dict[tuple[str, int], float]) -> bool:
    either = sum(weight[line] for line in one.lines | other.lines)
    both = sum(weight[line] for line in one.lines & other.lines)
    return either > 0 and both >= ALIKE * either


def _promise(group: list[Test], passing: Sequence[Test]) -> tuple[float, int]:
    suspiciousness = ochiai(group, passing)
    return -max(suspiciousness.values(), default=0.0), len(suspiciousness)
