"""The search for a mend: candidates in order of promise, tried quickly, then for certain."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

from mutate import Mutation, Mutator
from scope import Classes
from spectrum import ochiai
from suite import Measurement, Suite, Test, Worker

CRASH_BONUS = 1.3
KEEP_LOOKING = 0.5
KEEP_LOOKING_SECONDS = 2.0
MOST_WORKERS = 2
SMALLEST_SCORE = 0.01


@dataclass(frozen=True)
class Candidate:
    """A mutation that may mend something, with its promise: suspiciousness times prior."""

    mutation: Mutation
    suspiciousness: float
    score: float


@dataclass(frozen=True)
class Mend:
    """A candidate that mended failing tests and broke none of those that run its lines."""

    candidate: Candidate
    fixed: frozenset[str]
    changed: bytes


@dataclass
class Tally:
    """What the search has cost so far."""

    tried: int = 0
    cold: int = 0
    overran: int = 0
    seconds: float = 0.0
    lock: Lock = field(default_factory=Lock)

    def count(self, anew: bool, overran: bool) -> None:
        """Count one candidate, from any thread."""
        with self.lock:
            self.tried += 1
            self.cold += anew
            self.overran += overran


@dataclass
class Bench:
    """The suite as it stands at one commit, with its workers and what was tried already."""

    suite: Suite
    measured: Measurement
    tally: Tally
    unsteady: frozenset[str] | None = None
    sources: dict[str, bytes] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Parse the sources, and let the workers show which tests are steady in them."""
        count = min(os.cpu_count() or 1, MOST_WORKERS)
        self.pool = ThreadPoolExecutor(count)  # threads only wait: the work is in the workers
        self.idle: SimpleQueue[tuple[Worker, Worker]] = SimpleQueue()
        self.workers = [
            (Worker(self.suite, "warm"), Worker(self.suite, "cold")) for _ in range(count)
        ]
        for pair in self.workers:
            self.idle.put(pair)
        self.stride = 4 * count if count > 1 else 1
        self.results: dict[tuple[str, bytes], frozenset[str]] = {}
        self.trees: dict[str, ast.Module] = {}
        for path in self.suite.sources:
            data = Path(path).read_bytes()
            try:
                self.trees[path] = ast.parse(data)
                data.decode()  # positions count bytes of utf-8
                self.sources[path] = data
            except (SyntaxError, ValueError):
                self.unreadable.append(path)
        self.sources = {path: data for path, data in self.sources.items() if path in self.trees}
        self.classes = Classes(self.trees.values())
        self.uses = uses_of_names(self.trees)
        if self.unsteady is None:
            self.unsteady = self._find_unsteady()

    def close(self) -> None:
        """End the workers."""
        self.pool.shutdown()
        for warm, cold in self.workers:
            warm.close()
            cold.close()

    def _find_unsteady(self) -> frozenset[str]:
        """Return the tests that end otherwise in a worker than they did when measured."""
        tests = [test for test in self.measured.tests.values() if test.failed or test.passed]
        names = [test.id for test in tests if not test.module]
        seconds = 10 + 3 * self.measured.seconds
        phases = [{"rule": "note", "tests": names}]
        asked = request("", "", "", phases, seconds, self.suite.test_seconds)
        answer = self.workers[0][0].ask(asked)
        outcomes = answer["outcomes"] if answer else {}
        known = {test.id: test.outcome for test in tests if not test.module}
        return frozenset(name for name in names if outcomes.get(name) != known[name])

    # Candidates in order.

    def candidates(self, cluster: Sequence[Test]) -> list[Candidate]:
        """Return all mutations on lines that the failing tests run, the most promising first."""
        suspicious = ochiai(cluster, self.measured.passing)
        crashed = {frame for test in cluster for frame in test.frames[-1:]}
        files = {path for path, _ in suspicious} & set(self.sources)
        found: list[Candidate] = []
        for path in sorted(files):
            mutator = Mutator(path, self.sources[path], self.trees[path], self.classes)
            for mutation in mutator.mutations():
                lines = {(path, number) for number in mutation.lines}
                for name in mutation.names:
                    lines |= self.uses.get(name, set())
                value = max((suspicious.get(line, 0.0) for line in lines), default=0.0)
                bonus = CRASH_BONUS if lines & crashed else 1.0
                score = value * mutation.prior * bonus
                if score >= SMALLEST_SCORE:
                    found.append(Candidate(mutation, value, score))
        return sorted(found, key=lambda one: -one.score)

    # Trying.

    def try_quickly(
        self, batch: Sequence[Candidate], cluster: Sequence[Test]
    ) -> Iterator[tuple[Candidate, frozenset[str]]]:
        """Yield each candidate with the failing tests that it mends.

        A candidate that breaks a passing test counts as mending none.
        """
        started = time.monotonic()
        jobs = []
        for candidate in batch:
            mutation = candidate.mutation
            key = (mutation.path, mutation.apply(self.sources[mutation.path]))
            jobs.append((candidate, key))
        keys = [key for key in dict.fromkeys(key for _, key in jobs) if key not in self.results]
        mutations = {key: candidate.mutation for candidate, key in reversed(jobs)}
        tries = self.pool.map(lambda key: self._try(mutations[key], key[1], cluster), keys)
        for key, fixed in zip(keys, tries):  # noqa: B905 - strict= is new in Python 3.10
            self.results[key] = fixed
        self.tally.seconds += time.monotonic() - started
        for candidate, key in jobs:
            yield candidate, self.results[key]

    def _try(self, mutation: Mutation, changed: bytes, cluster: Sequence[Test]) -> frozenset[str]:
        nothing: frozenset[str] = frozenset()
        try:
            ast.parse(changed)
        except (SyntaxError, ValueError):
            return nothing
        lines = {(mutation.path, number) for number in mutation.lines}
        for name in mutation.names:
            lines |= self.uses.get(name, set())
        names = {test.id for test in cluster}
        unsteady = self.unsteady or frozenset()
        steady = [test for test in self.measured.tests.values() if test.id not in unsteady]
        touched = [test for test in steady if test.lines & lines]
        mine = [test for test in touched if test.failed and test.id in names]
        others = [test for test in touched if test.failed and test.id not in names]
        others = [test for test in others if not test.module]  # left to the run of the whole suite
        passing = [test for test in touched if test.passed]
        phases = [
            {"rule": "any", "tests": [test.id for test in mine]},
            {"rule": "note", "tests": [test.id for test in others]},
            {"rule": "all", "tests": [test.id for test in passing]},
        ]
        warm = mutation.warm and not any(test.module for test in mine)
        warm = warm and not lines & self.measured.imported
        expected = sum(test.seconds for test in (*mine, *others, *passing))
        slowest = max((test.seconds for test in (*mine, *others, *passing)), default=0.0)
        asked = request(
            mutation.path,
            self.sources[mutation.path].decode(),
            changed.decode(),
            phases,
            seconds=5 + 3 * expected,
            test_seconds=min(1 + 5 * slowest, self.suite.test_seconds),
        )
        pair = self.idle.get()
        try:
            answer = pair[0].ask(asked) if warm else None
            anew = answer is None or not answer["swapped"]
            if anew:
                answer = pair[1].ask(asked)
        finally:
            self.idle.put(pair)
        overran = answer is None or not answer["ended"]
        self.tally.count(anew, overran)
        if answer is None or overran:
            return nothing
        outcomes = answer["outcomes"]
        if any(outcomes.get(test.id) != "passed" for test in passing):
            return nothing
        known = self.measured.tests
        return frozenset(  # tests of a module that can now be collected are not known yet
            name
            for name, outcome in outcomes.items()
            if outcome == "passed" and (name not in known or known[name].failed)
        )

    # Searching.

    def mends(
        self, cluster: Sequence[Test], refused: Callable[[Mend], bool], deadline: float
    ) -> Iterator[Mend]:
        """Yield mends of a cluster, best first: by how many tests they mend, then by promise.

        Once something is found, the search looks on for a few seconds among candidates of not much
        less promise, because the first change that turns tests green is not always the right one.
        """
        ordered = self.candidates(cluster)
        names = {test.id for test in cluster}
        position = 0
        waiting: list[Mend] = []
        while True:
            patience = float("inf")
            floor = 0.0
            more = not waiting
            while more and position < len(ordered) and time.monotonic() < min(deadline, patience):
                if ordered[position].score < floor:
                    break
                batch = ordered[position : position + self.stride]
                position += len(batch)
                for candidate, fixed in self.try_quickly(batch, cluster):
                    if not fixed:
                        continue
                    changed = candidate.mutation.apply(self.sources[candidate.mutation.path])
                    mend = Mend(candidate, fixed, changed)
                    if refused(mend):
                        continue
                    waiting.append(mend)
                    patience = min(patience, time.monotonic() + KEEP_LOOKING_SECONDS)
                    if names <= fixed:
                        floor = max(floor, KEEP_LOOKING * candidate.score)
            if not waiting:
                return
            best = max(waiting, key=lambda mend: (len(mend.fixed), mend.candidate.score))
            waiting.remove(best)
            yield best

    def validate(self, mend: Mend) -> tuple[Measurement, list[str], list[str]]:
        """Run the whole suite with a mend written to the scratch copy.

        Returns:
            The measurement, the tests that it mends, and those that it breaks.
        """
        path = Path(mend.candidate.mutation.path)
        before = path.stat()
        try:
            path.write_bytes(mend.changed)
            # Python trusts compiled code by whole seconds and size: make sure that they differ.
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 7_000_000_000))
            after = self.suite.measure(trace=False)
        finally:
            path.write_bytes(self.sources[str(path)])
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        known = self.measured.tests
        fixed = [name for name, test in after.tests.items() if test.passed and _failed(known, name)]
        broken = [
            name
            for name, test in known.items()
            if test.passed and not (name in after.tests and after.tests[name].passed)
        ]
        return after, sorted(fixed), sorted(broken)


def _failed(tests: dict[str, Test], name: str) -> bool:
    return name in tests and tests[name].failed


def request(
    path: str,
    original: str,
    source: str,
    phases: Sequence[Mapping[str, object]],
    seconds: float,
    test_seconds: float,
) -> dict[str, object]:
    """Build what a worker is asked; an empty path asks for the program as it is."""
    return {
        "path": path,
        "original": original,
        "source": source,
        "phases": phases,
        "seconds": seconds,
        "test_seconds": test_seconds,
    }


def uses_of_names(trees: dict[str, ast.Module]) -> dict[str, set[tuple[str, int]]]:
    """Return for every name and attribute the lines that read it, in any file."""
    uses: dict[str, set[tuple[str, int]]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                uses.setdefault(node.id, set()).add((path, node.lineno))
            elif isinstance(node, ast.Attribute):
                uses.setdefault(node.attr, set()).add((path, node.lineno))
    return uses
