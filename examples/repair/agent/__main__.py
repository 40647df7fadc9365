"""Repair a Python repository whose tests fail: ``python3 agent REPO``.

The agent measures the suite, picks a group of failing tests, searches for a small change that mends
some of them and breaks nothing, and proposes it as a commit. What is accepted it commits to its own
clone too, and goes on until the suite is green or nothing more is found.

Exit codes: 0 the suite is green, 1 failing tests remain, 2 bad input.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from propose import Earlier, Outcome, ProposeError, change_of, propose_patch, read_history
from repository import GitError, Repository
from search import Bench, Mend, Tally
from spectrum import clusters
from suite import Measurement, Suite, Test


def say(thought: str) -> None:
    """Print one thought on one line."""
    print(" ".join(thought.split())[:300], flush=True)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="agent", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("repository", type=Path, metavar="REPO")
    parser.add_argument("--max-seconds", type=float, default=900.0, help="for the whole run")
    parser.add_argument(
        "--cluster-seconds", type=float, default=30.0, help="for one group of tests"
    )
    parser.add_argument("--test-seconds", type=float, default=5.0, help="for one test")
    parser.add_argument("--run-seconds", type=float, default=300.0, help="for the whole suite once")
    parser.add_argument("--propose", default="propose", help="the command that proposes a step")
    parser.add_argument("--alone", action="store_true", help="propose nothing, keep what is found")
    return parser.parse_args(given)


class Agent:
    """The run: what is refused, what was given up, what it cost."""

    def __init__(self, options: argparse.Namespace, repository: Repository) -> None:
        """Begin with nothing known but the repository."""
        self.options = options
        self.repository = repository
        self.deadline: float = time.monotonic() + options.max_seconds
        name = hashlib.sha256(str(repository.root).encode()).hexdigest()[:12]
        self.scratch = Path(tempfile.gettempdir(), f"repair-agent-{name}")
        self.refused: set[str] = set()
        self.given_up: dict[str, int] = {}
        self.fixes = 0
        self.changed: str | None = None
        self.tally = Tally()

    # The middle of a run.

    def catch_up(self, history: list[Earlier]) -> None:
        """Commit the steps that were done but not yet committed here; remember the others."""
        for earlier in history:
            if not earlier.outcome.done:
                self.refused.add(change_of(earlier.patch))
                continue
            patch = earlier.outcome.patch or earlier.patch
            if self.repository.applies(patch, reverse=True):
                continue
            if self.repository.applies(patch):
                commit = self.repository.commit(patch, earlier.message)
                step = earlier.outcome.step
                say(f"step {step} was done but not kept here; committed as {commit[:10]}")
            else:
                say(f"step {earlier.outcome.step} was done, but its patch no longer applies here")
        if history:
            say(
                f"history: {len(history)} earlier proposals, {len(self.refused)} not to be repeated"
            )

    # The loop.

    def run(self) -> int:
        """Repair until the suite is green or nothing more is found."""
        unsteady: frozenset[str] | None = None
        measured: Measurement | None = None
        while True:
            options, root = self.options, self.repository.root
            suite = Suite(root, self.scratch, options.test_seconds, options.run_seconds)
            measured = self.measure(suite, measured)
            if not any(not test.module or test.failed for test in measured.tests.values()):
                say(f"pytest finds no test in {root}")
                return 2
            say(f"measured {measured.summary()} in {measured.seconds:.1f} s")
            if not measured.failing:
                return self.report(measured)
            bench = Bench(suite, measured, self.tally, unsteady)
            unsteady = bench.unsteady
            try:
                found = self.repair_one(bench)
            finally:
                bench.close()
            if not found:
                return self.report(measured)

    def measure(self, suite: Suite, previous: Measurement | None) -> Measurement:
        """Measure what the last fix may have changed; all of it at the beginning and the end."""
        if previous is None or self.changed is None:
            return suite.measure()
        measured = suite.remeasure(previous, self.changed)
        if measured.partial and not measured.failing:
            return suite.measure()
        return measured

    def repair_one(self, bench: Bench) -> bool:
        """Try the groups of failing tests one after the other; return whether one was mended."""
        measured = bench.measured
        for path in bench.unreadable:
            say(f"cannot parse {bench.suite.relative(path)}; nothing can be mutated there")
        if bench.unsteady:
            say(f"{len(bench.unsteady)} tests end otherwise in a fork and are left to the full run")
        groups = clusters(measured.failing, measured.passing)
        fresh = [group for group in groups if not self._tried_at(group)]
        again = [group for group in groups if self._tried_at(group) not in (0, self.fixes + 1)]
        for group in fresh + again:
            if self._out_of_time():
                return False
            if self.repair_group(bench, group):
                return True
            for test in group:
                self.given_up[test.id] = self.fixes + 1
        return False

    def _tried_at(self, group: list[Test]) -> int:
        """Return 0 for a group with a test never tried, else 1 + the fixes there were then."""
        return min(self.given_up.get(test.id, 0) for test in group)

    def _out_of_time(self) -> bool:
        return time.monotonic() >= self.deadline

    def repair_group(self, bench: Bench, group: list[Test]) -> bool:
        """Search for a mend of one group, and propose until one is accepted."""
        first = group[0]
        say(f"looking at {len(group)} failing: {first.id}: {first.message}")
        if not any(test.lines for test in group):
            say("gave up: these tests run no line of the repository that could be traced")
            return False
        started, tried = time.monotonic(), self.tally.tried
        deadline = min(self.deadline, started + self.options.cluster_seconds)

        def refused(mend: Mend) -> bool:
            return change_of(self.patch_of(bench, mend)) in self.refused

        for mend in bench.mends(group, refused, deadline):
            searched = time.monotonic() - started
            mutation = mend.candidate.mutation
            say(
                f"plausible after {self.tally.tried - tried} candidates in {searched:.1f} s: "
                f"{bench.suite.relative(mutation.path)}:{mutation.line}: {mutation.note}"
            )
            after, fixed, broken = bench.validate(mend)
            if broken or not fixed:
                say(f"the whole suite says no: {len(fixed)} mended, {len(broken)} broken")
                continue
            before_waiting = time.monotonic()
            outcome = self.propose(bench, mend, after, fixed)
            waited = time.monotonic() - before_waiting
            self.deadline += waited
            if self.keep(bench, mend, outcome):
                return True
            if time.monotonic() >= deadline + waited:
                break
        say(f"gave up on this group for now: {self.tally.tried - tried} candidates tried")
        return False

    # Proposing.

    def patch_of(self, bench: Bench, mend: Mend) -> str:
        """Return the patch that a mend stands for."""
        path = bench.suite.relative(mend.candidate.mutation.path)
        with tempfile.TemporaryDirectory() as folder:
            changed = Path(folder, path)
            changed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(mend.candidate.mutation.path, changed)  # keeps the mode
            changed.write_bytes(mend.changed)
            return self.repository.diff(Path(folder), path)

    def propose(self, bench: Bench, mend: Mend, after: Measurement, fixed: list[str]) -> Outcome:
        """Propose one mend as a commit."""
        mutation = mend.candidate.mutation
        path = bench.suite.relative(mutation.path)
        message = f"{Path(path).stem}: {mutation.note}\n\nMends {listed(fixed)}"
        measured = bench.measured
        failing = measured.tests[fixed[0]]
        rationale = "\n".join(
            [
                f"Failing: {failing.id}: {failing.message}",
                f"Suspicious: {path}:{mutation.line}, Ochiai {mend.candidate.suspiciousness:.2f}",
                f"Change: {mutation.note}",
                f"Whole suite before: {measured.summary()}; with the patch: {after.summary()}",
                f"Mended: {listed(fixed)}; no test that passed fails now",
            ]
        )
        evidence = {"pytest-before.txt": told(measured), "pytest-after.txt": told(after)}
        patch = self.patch_of(bench, mend)
        if self.options.alone:
            return Outcome("done", None, patch, None)
        say(f"proposing: {message.splitlines()[0]}")
        return propose_patch(self.options.propose, message, patch, rationale, evidence)

    def keep(self, bench: Bench, mend: Mend, outcome: Outcome) -> bool:
        """Commit a step that was done; remember one that was not."""
        own = self.patch_of(bench, mend)
        if not outcome.done:
            said = f": {outcome.feedback}" if outcome.feedback else ""
            say(f"step {outcome.step} {outcome.status}{said}")
            self.refused.add(change_of(own))
            return False
        patch = outcome.patch or own
        path = bench.suite.relative(mend.candidate.mutation.path)
        message = f"{Path(path).stem}: {mend.candidate.mutation.note}"
        try:
            commit = self.repository.commit(patch, message)
        except GitError as error:
            say(f"step {outcome.step} was done with a patch that does not apply here: {error}")
            self.refused.add(change_of(own))
            return False
        self.fixes += 1
        same = change_of(patch) == change_of(own)
        self.changed = mend.candidate.mutation.path if same else None
        remark = "" if same else " (as the auditor changed it)"
        say(f"step {outcome.step} done, kept as {commit[:10]}{remark}")
        return True

    # The end.

    def report(self, measured: Measurement) -> int:
        """Say how it ended and return the exit code."""
        tally = self.tally
        pace = tally.tried / tally.seconds if tally.seconds else 0.0
        say(
            f"{self.fixes} fixes; {tally.tried} candidates in {tally.seconds:.1f} s "
            f"({pace:.0f} a second; {tally.cold} imported anew, {tally.overran} cut short)"
        )
        if not measured.failing:
            say(f"the suite is green: {measured.summary()}")
            return 0
        why = "time is up" if self._out_of_time() else "no mend found"
        say(f"{why}; still failing: {len(measured.failing)} tests")
        for test in measured.failing[:20]:
            say(f"still failing: {test.id}: {test.message}")
        return 1


def listed(names: list[str]) -> str:
    """Name a few tests and count the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def told(measured: Measurement) -> str:
    """Tell a measurement as pytest's short summary does."""
    lines = [f"FAILED {test.id} - {test.message}" for test in measured.failing]
    return "\n".join([*lines[:200], measured.summary()]) + "\n"


def main(given: list[str] | None = None) -> int:
    """Run the agent."""
    options = arguments(given)
    try:
        repository = Repository(options.repository)
        history = read_history(os.environ.get("MONASTERY_HISTORY"))
        agent = Agent(options, repository)
        if repository.clean():
            say("found changes that were not committed; put them aside with git stash")
        agent.catch_up(history)
        try:
            return agent.run()
        finally:
            shutil.rmtree(agent.scratch, ignore_errors=True)
    except (GitError, ProposeError) as error:
        print(f"agent: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
