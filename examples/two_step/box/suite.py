"""Runs a folder's tests with real pytest, again and again; pytest is started once.

    suite = Suite(folder)
    suite.run()    # {"passed": 3, "failed": 0}

pytest is stopped where it would begin to collect. For each run it forks there: the child collects
and runs what lies in the folder now, as any pytest would, and tells what came of it.
"""

import gc
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = "test_solution.py"
QUIET = ["-q", "-p", "no:cacheprovider", "--tb=no", "--capture=no", "--assert=plain"]


class Suite:
    """A folder with tests, and the process that runs them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def write(self, name: str, content: str) -> None:
        """Write one of its files."""
        (self.folder / name).write_text(content)

    def run(self) -> dict[str, int]:
        """Run the tests; return how many passed and failed. What cannot be collected failed."""
        self._process.stdin.write("run\n")
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the process that runs the tests is gone")
        return json.loads(line)


class Forks:
    """A plugin of pytest: waits instead of collecting, and forks for each run."""

    def __init__(self, asked: int, answers: int) -> None:
        self.asked = os.fdopen(asked, buffering=1)
        self.answers = os.fdopen(answers, "w", buffering=1)
        self.told = {"passed": 0, "failed": 0}
        self.write = -1

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Wait to be asked; return in a child only, which goes on as pytest does."""
        gc.freeze()  # what is collected in a child is never shared with its parent again
        gc.disable()
        while self.asked.readline():
            read, self.write = os.pipe()
            child = os.fork()
            if child == 0:
                importlib.invalidate_caches()
                return
            os.close(self.write)
            with os.fdopen(read) as said:
                line = said.read()
            os.waitpid(child, 0)
            self.answers.write((line or json.dumps({"passed": 0, "failed": 1})) + "\n")
        os._exit(0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test."""
        if report.when == "call" or report.failed:
            self.told["failed" if report.failed else "passed"] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count what could not be collected."""
        self.told["failed"] += report.failed

    def pytest_sessionfinish(self) -> None:
        """Tell, and end the child."""
        os.write(self.write, json.dumps(self.told).encode())
        os._exit(0)


def main() -> None:
    """Serve over what was standard input and output; the tests have neither."""
    asked, answers, nowhere = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)
    sys.dont_write_bytecode = True  # of a file that is written twice in a second, it would be stale
    del sys.path[0]
    pytest.main([*QUIET, TESTS], plugins=[Forks(asked, answers)])


if __name__ == "__main__":
    main()
