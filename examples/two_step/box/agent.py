"""The agent in the box: plans tests, has them published, writes code, tries it, hands it over.

    agent.py EPISODES HINT [ask-about-zero]

What it plans and writes the policy says; it knows the hint of the first episode, and is told each
further one with the outcome of the step before.
"""

import json
import sys
from pathlib import Path

from monastery_box import history, model, propose
from suite import TESTS, Suite


def plan(hint: int, *, asks: bool) -> dict:
    """Plan tests and have them published; return what came of it."""
    text = model({"asked": "tests", "hint": hint})["text"]
    Path("plan.txt").write_text(text)
    doubtful = asks and "solution(0)" in text
    return propose("ask" if doubtful else "plan", text, "What the solution is to be tested on.")


def solve(hint: int, tests: str, suite: Suite) -> dict:
    """Write code, run the published tests on it, and hand it over; return what came of it."""
    code = model({"asked": "code", "hint": hint})["text"]
    suite.write(TESTS, tests)
    suite.write("solution.py", code)
    tried = json.dumps(suite.run())
    payload = json.dumps({"files": {"solution.py": {"text": code}}})
    return propose("file", payload, f"My tests: {tried}", {"pytest.json": tried.encode()})


def main() -> int:
    """Play the episodes that are not over."""
    episodes, first, asks = int(sys.argv[1]), int(sys.argv[2]), "ask-about-zero" in sys.argv
    past = history()
    known = past[-1]["content"] if past else {"hint": first}
    suite = Suite(Path("suite"))
    for step in range(len(past), 2 * episodes):
        if step % 2 == 0:
            outcome = plan(known["hint"], asks=asks)
        else:
            outcome = solve(known["hint"], known["tests"], suite)
        if outcome["status"] != "done":
            print("step", step + 1, "was", outcome["status"], flush=True)
            return 1
        known = outcome["content"]
    return 0


if __name__ == "__main__":
    sys.exit(main())
