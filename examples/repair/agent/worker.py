"""The process in which the repository's tests run; ``suite.py`` starts it and talks to it.

    worker.py measure SETTINGS    run the suite once and write what each test did, one JSON a line
    worker.py warm SETTINGS       collect the suite, then try candidates from stdin, a fork for each
    worker.py cold SETTINGS       the same, but each fork imports and collects anew

A warm fork swaps the code of the functions that a candidate changes, which takes about a
millisecond. A candidate that changes what runs at import (a constant, a default) needs a cold one.
This file runs beside foreign code, so it imports nothing of the agent's.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.machinery
import json
import os
import resource
import select
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

HEADROOM_BYTES = 256 << 20


class TestClock:
    """Fails a test that runs too long, by an alarm that is raised inside of it."""

    def __init__(self) -> None:
        """Begin without a limit."""
        self.seconds = 0.0
        self.expired = False
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, number: int, frame: Any) -> None:
        self.expired = True
        pytest.fail(f"time limit of {self.seconds:.1f} s", pytrace=False)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Hold what happens inside to the limit; ring again if the first alarm was swallowed."""
        signal.setitimer(signal.ITIMER_REAL, self.seconds, 0.5)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


class Outcomes:
    """A pytest plugin that notes how each test and each collected module ended."""

    def __init__(self, clock: TestClock) -> None:
        """Take the clock that bounds each test."""
        self.clock = clock
        self.outcome = "passed"
        self.uncollected: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Fold the reports of set-up, call and tear-down into one outcome."""
        if report.failed:
            self.outcome = "failed"
        elif report.skipped and self.outcome == "passed":
            self.outcome = "skipped"

    def pytest_collectreport(self, report: Any) -> None:
        """Note a module that cannot be collected."""
        if report.failed:
            self.uncollected[report.nodeid] = last_line(str(report.longrepr))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        """Bound the set-up."""
        with self.clock.running():
            yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        """Bound the call."""
        with self.clock.running():
            yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        """Bound the tear-down."""
        with self.clock.running():
            yield


# ---------------------------------------------------------------------------- measuring


class Tracer:
    """Notes the lines that run in the repository's own files."""

    def __init__(self, sources: list[str]) -> None:
        """Take the absolute paths of the files to watch."""
        self.sources = set(sources)
        self.hits: set[tuple[str, int]] = set()

    def start(self) -> None:
        """Watch this thread and those started from now on."""
        threading.settrace(self._call)
        sys.settrace(self._call)

    def _call(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        path = frame.f_code.co_filename
        if path not in self.sources:
            return None
        add = self.hits.add
        add((path, frame.f_lineno))

        def line(frame: types.FrameType, event: str, argument: Any) -> Any:
            add((path, frame.f_lineno))
            return line

        return line

    def taken(self) -> dict[str, list[int]]:
        """Return the lines by file since the last time, and forget them."""
        lines: dict[str, list[int]] = {}
        for path, number in sorted(self.hits):
            lines.setdefault(path, []).append(number)
        self.hits.clear()
        return lines


class Measure(Outcomes):
    """Writes one JSON line for each test: outcome, seconds, lines, and where it broke."""

    def __init__(self, clock: TestClock, tracer: Tracer, trace: bool, path: str) -> None:
        """Write to a path; without ``trace``, no lines are noted."""
        super().__init__(clock)
        self.tracer = tracer
        self.trace = trace
        self.out = Path(path).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - the process's life
        self.broke: dict[str, Any] = {}

    def write(self, record: dict[str, Any]) -> None:
        """Write a record at once: the process may be killed."""
        self.out.write(json.dumps(record) + "\n")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector: Any) -> Iterator[None]:
        """Note what ran at import, and whether the module could be collected."""
        before = self.tracer.taken()
        with self.clock.running():
            outcome: Any = yield
        lines = self.tracer.taken()
        self.write({"imported": before})
        self.write({"imported": lines})
        report = outcome.get_result()
        if report.failed:
            message = last_line(str(report.longrepr))
            failed = {"outcome": "failed", "seconds": 0.0, "module": True, "message": message}
            self.write({"id": report.nodeid, **failed, "lines": lines})
        elif isinstance(collector, pytest.Module):
            self.write({"id": report.nodeid, "outcome": "passed", "seconds": 0.0, "module": True})

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """Note one test."""
        self.write({"start": item.nodeid})
        self.tracer.hits.clear()
        self.outcome, self.broke = "passed", {}
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        record = {"id": item.nodeid, "outcome": self.outcome, "seconds": seconds, **self.broke}
        self.write({**record, "lines": self.tracer.taken()})

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, call: Any) -> Iterator[None]:
        """Keep where the first exception came from."""
        yield
        if call.excinfo is not None and not self.broke:
            frames = [[str(entry.path), entry.lineno + 1] for entry in call.excinfo.traceback]
            kept = [frame for frame in frames if frame[0] in self.tracer.sources]
            text = last_line(call.excinfo.exconly(), first=True)
            self.broke = {"frames": kept, "message": text}


def last_line(text: str, first: bool = False) -> str:
    """Return the last (or first) line that says something, cut to 200 characters."""
    lines = [line for line in text.splitlines() if line.strip()]
    return (lines[0 if first else -1] if lines else "")[:200]


def measure(settings: dict[str, Any]) -> int:
    """Run the suite once."""
    clock = TestClock()
    clock.seconds = settings["test_seconds"]
    tracer = Tracer(settings["sources"])
    plugin = Measure(clock, tracer, settings["trace"], settings["out"])
    if settings["trace"]:
        tracer.start()
    return int(pytest.main([*settings["pytest"], *settings["arguments"]], plugins=[plugin]))


# ---------------------------------------------------------------------------- candidates


class Candidate(Outcomes):
    """Runs the phases of one request, in the fork that was made for it.

    A phase is a rule and tests: after ``any`` it goes on only when one of them passed, with ``all``
    it ends at the first that does not pass, after ``note`` it goes on in any case.
    """

    request: dict[str, Any]
    answer = -1

    def begin(self, request: dict[str, Any], answer: int) -> None:
        """Take a request; its outcomes go to the descriptor ``answer``."""
        self.clock.seconds = request["test_seconds"]
        self.request = request
        self.answer = answer

    def say(self, **record: Any) -> None:
        """Write one line of the answer."""
        os.write(self.answer, json.dumps(record).encode() + b"\n")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        """Take the place of pytest's own loop, in a cold fork."""
        self.run_phases(session)
        return True

    def run_phases(self, session: Any) -> None:
        """Run the tests as the phases ask."""
        places = prepared(session)
        for phase in self.request["phases"]:
            strict = phase["rule"] == "all"
            passed = sum(self._collected(name) for name in phase["tests"] if "::" not in name)
            tests = self._with_tests_of_modules(phase["tests"], places)
            if strict and not set(tests) <= set(places):
                self.say(id="", outcome="missing")
                return
            order = sorted(places[name] for name in tests if name in places)
            for index, place in enumerate(order):
                following = session.items[order[index + 1]] if index + 1 < len(order) else None
                item = session.items[place]
                self.outcome = "passed"
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                self.say(id=item.nodeid, outcome=self.outcome)
                passed += self.outcome == "passed"
                if self.clock.expired or (strict and self.outcome == "failed"):
                    return
            if phase["rule"] == "any" and not passed:
                return

    def _collected(self, module: str) -> bool:
        """Say whether a module that could not be collected now can."""
        collected = module not in self.uncollected
        self.say(id=module, outcome="passed" if collected else "failed")
        return collected

    def _with_tests_of_modules(self, names: list[str], places: dict[str, int]) -> list[str]:
        """Return the tests named, and those in modules that are named."""
        modules = {name for name in names if "::" not in name}
        inside = [name for name in places if name.split("::")[0] in modules]
        return [name for name in names if "::" in name] + inside


def prepared(session: Any) -> dict[str, int]:
    """Make ready the collected tests and return their places by name; done once for all forks."""
    if not hasattr(session, "places_of_tests"):
        session.places_of_tests = {item.nodeid: place for place, item in enumerate(session.items)}
        for item in session.items:
            item.repr_failure = brief  # nobody reads the long story, and it costs most of the time
    places: dict[str, int] = session.places_of_tests
    return places


def brief(excinfo: Any, style: Any = None) -> str:
    """Stand in for the report of a failure."""
    return "failed"


class Server:
    """Reads requests, makes a fork for each, and writes the answers."""

    def __init__(self, settings: dict[str, Any], requests: TextIO, answers: int) -> None:
        """Read requests from a file and write answers to a descriptor."""
        self.settings = settings
        self.requests = requests
        self.answers = answers
        self.candidate = Candidate(TestClock())
        self.data_bytes = 0
        self.functions: list[types.FunctionType] = []
        self.compiled: dict[str, types.CodeType] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        """Serve, in the warm worker, once the suite is collected."""
        sources = set(self.settings["sources"])
        self.functions = [
            thing
            for thing in gc.get_objects()
            if isinstance(thing, types.FunctionType) and thing.__code__.co_filename in sources
        ]
        self.serve(session)
        return True

    def serve(self, session: Any) -> None:
        """Answer requests until there are no more."""
        if session is not None:
            session.config.pluginmanager.register(self.candidate)
            prepared(session)
        self.data_bytes = most_data_bytes()
        gc.collect()
        gc.freeze()
        gc.disable()  # a fork is short-lived, and collecting would copy every page
        os.write(self.answers, b'{"ready": true}\n')
        for line in self.requests:
            request = json.loads(line)
            answer = self.fork(session, request)
            os.write(self.answers, json.dumps(answer).encode() + b"\n")

    def fork(self, session: Any, request: dict[str, Any]) -> dict[str, Any]:
        """Try one candidate in a fork, and gather what it says until it ends or its time is up."""
        path = request["path"]
        if session is not None and path and path not in self.compiled:
            self.compiled[path] = compile(request["original"], path, "exec", dont_inherit=True)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setpgid(0, 0)
                os.close(reader)
                limit_resources(request["seconds"], self.data_bytes)
                self.try_candidate(session, request, writer)
                os.write(writer, b'{"end": true}\n')
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        said = read_until_end(reader, time.monotonic() + request["seconds"])
        os.close(reader)
        for kill, target in ((os.killpg, child), (os.kill, child)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(target, signal.SIGKILL)
        os.waitpid(child, 0)
        records = [json.loads(line) for line in said.splitlines() if line.endswith(b"}")]
        return {
            "outcomes": {one["id"]: one["outcome"] for one in records if "id" in one},
            "ended": any("end" in one for one in records),
            "swapped": not any("unswapped" in one for one in records),
        }

    def try_candidate(self, session: Any, request: dict[str, Any], writer: int) -> None:
        """Put the changed source in place and run the tests asked for."""
        candidate = self.candidate
        candidate.begin(request, writer)
        path, changed = request["path"], request["source"]
        if session is None:
            if path:
                override_import(path, changed)
            files = {name.split("::")[0] for phase in request["phases"] for name in phase["tests"]}
            pytest.main([*self.settings["pytest"], *sorted(files)], plugins=[candidate])
            return
        if path and not swap_code(self.functions, self.compiled[path], changed):
            candidate.say(unswapped=True)
            return
        candidate.run_phases(session)


def most_data_bytes() -> int:
    """Return how much memory a candidate may have: what the worker has, and some headroom."""
    try:
        pages = int(Path("/proc/self/statm").read_text("utf-8").split()[5])
    except (OSError, ValueError, IndexError):
        return resource.RLIM_INFINITY
    return pages * resource.getpagesize() + HEADROOM_BYTES


def limit_resources(seconds: float, data_bytes: int) -> None:
    """Bound processor time and memory of a candidate."""
    cpu = int(seconds) + 2
    with contextlib.suppress(OSError, ValueError):  # a harder limit may be in force already
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))


def read_until_end(reader: int, deadline: float) -> bytes:
    """Read what a candidate says until it says that it ended, it dies, or the deadline passes."""
    said = b""
    while not said.endswith(b'{"end": true}\n'):
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(reader, 1 << 16) if ready else b""
        if not part:
            break
        said += part
    return said


def override_import(path: str, changed: str) -> None:
    """Make the import of one file see changed source."""
    loader = importlib.machinery.SourceFileLoader
    original = loader.get_code

    def get_code(self: Any, fullname: str) -> Any:
        if os.path.realpath(self.path) == path:
            return compile(changed, self.path, "exec", dont_inherit=True)
        return original(self, fullname)

    loader.get_code = get_code  # type: ignore[method-assign]


def swap_code(functions: list[types.FunctionType], old: types.CodeType, changed: str) -> bool:
    """Give the living functions of a file the code that they have in the changed source.

    Returns:
        Whether all that changed could be swapped.
    """
    path = old.co_filename
    new = compile(changed, path, "exec", dont_inherit=True)
    living: dict[Any, list[types.FunctionType]] = {}
    for function in functions:
        if function.__code__.co_filename == path:
            living.setdefault(function.__code__, []).append(function)
    swapped = False
    for before, after in changed_pairs(old, new):
        for function in living.get(before, []):
            try:
                function.__code__ = after
            except ValueError:  # it closes over other variables now
                return False
            swapped = True
    return swapped


def changed_pairs(old: types.CodeType, new: types.CodeType) -> Iterator[tuple[Any, Any]]:
    """Yield the (old, new) code of everything nested that is not the same in both."""
    before = [const for const in old.co_consts if isinstance(const, types.CodeType)]
    after = [const for const in new.co_consts if isinstance(const, types.CodeType)]
    for index in range(min(len(before), len(after))):
        if before[index] != after[index]:
            yield before[index], after[index]
            yield from changed_pairs(before[index], after[index])


def preload() -> None:
    """Import what pytest will need, so that a cold fork does not have to."""
    from _pytest.config import default_plugins

    for name in default_plugins:
        with contextlib.suppress(ImportError):
            importlib.import_module(f"_pytest.{name}")


def serve(settings: dict[str, Any], warm: bool) -> int:
    """Serve candidates over what was stdin and stdout; the tests get neither."""
    requests, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    server = Server(settings, requests, answers)
    if warm:
        return int(pytest.main([*settings["pytest"], *settings["arguments"]], plugins=[server]))
    preload()
    server.serve(None)
    return 0


def main() -> int:
    """Do what the first argument says."""
    mode, settings = sys.argv[1], json.loads(sys.argv[2])
    del sys.path[0]  # the agent's own folder: its names must not hide the repository's
    if mode == "measure":
        return measure(settings)
    return serve(settings, warm=mode == "warm")


if __name__ == "__main__":
    sys.exit(main())
