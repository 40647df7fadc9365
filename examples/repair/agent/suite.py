"""The repository's test-suite, seen from the agent: measured once, then tried many times."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

WORKER = Path(__file__).resolve().parent / "worker.py"
PYTEST = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
LEFT_OUT = (".git", ".hg", ".tox", ".nox", ".venv", "venv", "node_modules", "__pycache__")
MOST_ARGUMENTS = 1000
TIME_LIMIT = "time limit"
TEST_FOLDERS = {"test", "tests", "testing"}
NOT_SOURCE = {"conftest.py", "setup.py", "noxfile.py"}


@dataclass(frozen=True)
class Test:
    """One test as it was measured; a module that cannot be collected counts as a test that fails.

    Attributes:
        lines: what it ran of the repository's own code, as (path, line).
        frames: the lines that its exception came through, outermost first.
    """

    id: str
    outcome: str
    seconds: float = 0.0
    lines: frozenset[tuple[str, int]] = frozenset()
    frames: tuple[tuple[str, int], ...] = ()
    message: str = ""
    module: bool = False

    @property
    def failed(self) -> bool:
        """Whether it fails."""
        return self.outcome == "failed"

    @property
    def passed(self) -> bool:
        """Whether it passes."""
        return self.outcome == "passed"


@dataclass
class Measurement:
    """What a whole run of the suite showed."""

    tests: dict[str, Test] = field(default_factory=dict)
    imported: set[tuple[str, int]] = field(default_factory=set)
    seconds: float = 0.0
    partial: bool = False

    @property
    def failing(self) -> list[Test]:
        """The tests that fail."""
        return [test for test in self.tests.values() if test.failed]

    @property
    def passing(self) -> list[Test]:
        """The tests that pass."""
        return [test for test in self.tests.values() if test.passed]

    def summary(self) -> str:
        """Say in one line how it went."""
        tests = [test for test in self.tests.values() if test.failed or not test.module]
        failed = sum(test.failed for test in tests)
        return f"{failed} failed, {sum(test.passed for test in tests)} passed"


class Suite:
    """A scratch copy of the repository, in which tests run; the repository is never touched."""

    def __init__(
        self, repository: Path, scratch: Path, test_seconds: float, run_seconds: float
    ) -> None:
        """Copy the repository to a scratch folder, which is emptied first."""
        self.root = scratch / "copy"
        self.out = scratch / "measured.jsonl"
        self.test_seconds = test_seconds
        self.run_seconds = run_seconds
        self.hanging: list[str] = []
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(repository, self.root, symlinks=True, ignore=left_out)
        self.sources = sorted(
            str(path) for path in self.root.rglob("*.py") if self._is_source(path)
        )

    def _is_source(self, path: Path) -> bool:
        parts = path.relative_to(self.root).parts
        name = parts[-1]
        is_test = name.startswith("test_") or name.endswith("_test.py") or name in NOT_SOURCE
        return not is_test and not TEST_FOLDERS & set(parts[:-1]) and path.is_file()

    def relative(self, path: str) -> str:
        """Return the path of a source file as the repository names it."""
        return str(Path(path).relative_to(self.root))

    def environment(self) -> dict[str, str]:
        """Return the environment that the tests get: the copy comes first on the path."""
        folders = [self.root / "src", self.root, *os.environ.get("PYTHONPATH", "").split(":")]
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST") and name[:10] != "MONASTERY_"
        }
        path = ":".join(str(folder) for folder in folders if str(folder))
        return {**kept, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}

    def settings(self, only: Sequence[str] = (), **more: Any) -> str:
        """Return what a worker is told, as JSON."""
        skipped = [part for name in self.hanging for part in ("--deselect", name)]
        base = {"pytest": PYTEST, "arguments": [*skipped, *only], "sources": self.sources}
        return json.dumps({**base, **more})

    def remeasure(self, previous: Measurement, changed: str) -> Measurement:
        """Run again only what failed or ran a line of a changed file, and keep the rest."""
        again = [
            test.id
            for test in previous.tests.values()
            if test.failed or any(path == changed for path, _ in test.lines)
        ]
        if len(again) > min(len(previous.tests) / 2, MOST_ARGUMENTS):
            return self.measure()
        partial = self.measure(only=again)
        if not set(again) <= set(partial.tests):
            return self.measure()
        kept = {line for line in previous.imported if line[0] != changed}
        tests = {**previous.tests, **partial.tests}
        return Measurement(tests, kept | partial.imported, partial.seconds, partial=True)

    def measure(self, trace: bool = True, only: Sequence[str] = ()) -> Measurement:
        """Run the whole suite (or some of it) once in a process of its own.

        A test that hangs so hard that no alarm reaches it costs the run its time limit; it then
        counts as failing and is left out of later runs.
        """
        started = time.monotonic()
        hung: list[str] = []
        while True:
            measured, running = self._measure_once(trace, only)
            if running is None or len(hung) == 3:
                break
            hung.append(running)
            self.hanging.append(running)
        if trace:
            self._doubt(measured, all_of_them=not only)
        for name in self.hanging:
            measured.tests[name] = Test(name, "failed", message="hangs beyond the time limit")
        measured.seconds = time.monotonic() - started
        return measured

    def _doubt(self, measured: Measurement, all_of_them: bool) -> None:
        """Run failing tests again without tracing; one that then passes was only slow or flaky."""
        doubtful = [
            test
            for test in measured.failing
            if not test.module and (all_of_them or TIME_LIMIT in test.message)
        ]
        if not doubtful or len(doubtful) > MOST_ARGUMENTS:
            return
        plain, _ = self._measure_once(False, [test.id for test in doubtful])
        for test in doubtful:
            again = plain.tests.get(test.id)
            if again is not None and again.passed:
                passed = replace(test, outcome="passed", seconds=again.seconds, frames=())
                measured.tests[test.id] = passed

    def _measure_once(self, trace: bool, only: Sequence[str]) -> tuple[Measurement, str | None]:
        test_seconds = self.test_seconds * (3 if trace else 1)
        settings = self.settings(only, trace=trace, out=str(self.out), test_seconds=test_seconds)
        with contextlib.suppress(FileNotFoundError):
            self.out.unlink()
        ended = run_bounded(
            [sys.executable, str(WORKER), "measure", settings],
            self.root,
            {**self.environment(), "PYTHONDONTWRITEBYTECODE": "" if trace else "1"},
            self.run_seconds,
        )
        measured = Measurement()
        running = None
        for line in self.out.read_text("utf-8").splitlines() if self.out.exists() else []:
            with contextlib.suppress(ValueError):  # the last line of a killed run may be cut
                record = json.loads(line)
                running = record.get("start", None if "id" in record else running)
                note(measured, record)
        return measured, None if ended else running


def left_out(folder: str, names: list[str]) -> list[str]:
    """Say which names of a folder are not copied: histories, caches, virtual environments."""
    return [name for name in names if name in LEFT_OUT or Path(folder, name, "pyvenv.cfg").exists()]


def note(measured: Measurement, record: dict[str, Any]) -> None:
    """Put one record of the worker into a measurement."""
    lines = record.get("lines") or record.get("imported") or {}
    hits = {(path, number) for path, numbers in lines.items() for number in numbers}
    if "imported" in record:
        measured.imported |= hits
    elif "id" in record:
        frames = tuple((path, number) for path, number in record.get("frames", []))
        measured.tests[record["id"]] = Test(
            record["id"],
            record["outcome"],
            record["seconds"],
            frozenset(hits),
            frames,
            record.get("message", ""),
            record.get("module", False),
        )


def run_bounded(
    command: Sequence[str], folder: Path, environment: dict[str, str], seconds: float
) -> bool:
    """Run a command, its output thrown away; return whether it ended in time."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    finally:
        end_group(process)
    return True


def end_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process with all that it started, and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Worker:
    """A worker process that tries candidates; started when first needed, anew when it breaks."""

    def __init__(self, suite: Suite, mode: str) -> None:
        """Take ``warm`` or ``cold`` for the mode."""
        self.suite = suite
        self.mode = mode
        self.process: subprocess.Popen[bytes] | None = None
        self.waiting = b""

    def ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Try one candidate; None when the worker itself broke or did not start."""
        if self.process is None and not self._start():
            return None
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            self.close()
            return None
        answer = self._read(request["seconds"] + 10)
        if answer is None:
            self.close()
        return answer

    def _start(self) -> bool:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), self.mode, self.suite.settings()],
            cwd=self.suite.root,
            env=self.suite.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.waiting = b""
        if self._read(self.suite.run_seconds) is None:
            self.close()
            return False
        return True

    def _read(self, seconds: float) -> dict[str, Any] | None:
        assert self.process is not None
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self.waiting:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(descriptor, 1 << 16) if ready else b""
            if not part:
                return None
            self.waiting += part
        line, _, self.waiting = self.waiting.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process is None:
            return
        end_group(self.process)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.process = None
