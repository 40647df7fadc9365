"""How often a rule holds the votes of somebody who is good enough, and how soon of who is not.

    python -m benchmarks.planted

Simulates people who judge planted bad steps, and looks after each, as the desk does: by the rule
of the desk, and by two that look as if they were made for one look alone.
"""

import random
from collections.abc import Callable, Mapping
from statistics import median

from monastery.auditor.intervals import exact, wilson
from monastery.runtime.planted import below

FLOOR = 0.7
LOOKS = 100
PEOPLE = 4000

Rule = Callable[[int, int], bool]
RULES: Mapping[str, Rule] = {
    "any number of looks": lambda right, of: below(right, of, FLOOR),
    "Wilson, one look": lambda right, of: wilson(right, of).high < FLOOR,
    "exact, one look": lambda right, of: exact(right, of).high < FLOOR,
}


def held_after(
    rule: Rule, recall: float, lots: random.Random, cache: dict[tuple[int, int], bool]
) -> int:
    """Return after how many planted steps somebody is held; 0 when never."""
    right = 0
    for of in range(1, LOOKS + 1):
        right += lots.random() < recall
        if (right, of) not in cache:
            cache[right, of] = rule(right, of)
        if cache[right, of]:
            return of
    return 0


def main() -> None:
    """Print, for each rule and true recall, the share that is held and the median of when."""
    print(f"floor {FLOOR}, {LOOKS} planted bad steps each, {PEOPLE} people")
    for name, rule in RULES.items():
        cache: dict[tuple[int, int], bool] = {}
        for recall in (0.9, FLOOR, 0.5, 0.3):
            lots = random.Random(1)
            when = [held_after(rule, recall, lots, cache) for _ in range(PEOPLE)]
            held = [one for one in when if one]
            soon = f"after {median(held):g} (median)" if held else ""
            print(f"{name:20} true recall {recall:.1f}: held {len(held) / PEOPLE:6.1%} {soon}")


if __name__ == "__main__":
    main()
