"""A runtime that is stopped past its lease and woken: real processes, and a world that counts."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from tests.runtime.stopped import TERMS

TRIES = int(os.environ.get("MONASTERY_STOP_TRIES", "3"))
ROOT = Path(__file__).parents[2]


def _start(home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.stopped", str(home), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class Tried:
    """What came of one try: how the woken process ended, and who acted."""

    ended: int
    first: str
    acted: list[str]


def _stopped(home: Path, *words: str) -> tuple[subprocess.Popen[str], str]:
    """Start a runtime and return it when it has stopped itself between its intent and its deed."""
    while True:
        process = _start(home, "--stop", *words)
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return process, run
        # So slow a machine that the timer ended it before: once more, with a run of its own.
        assert os.WIFSIGNALED(status), status
        assert os.WTERMSIG(status) == signal.SIGALRM
        process.returncode = -signal.SIGALRM


def _try(home: Path, *words: str) -> Tried:
    """Stop a runtime, let another take its run over and end it, wake the first."""
    home.mkdir()
    process, run = _stopped(home, *words)
    with process:
        time.sleep(TERMS.lease_seconds)  # not for luck: the lease must run out
        with _start(home, run) as second:
            _, err = second.communicate()
            assert second.returncode == 0, err
        process.send_signal(signal.SIGCONT)
        ended = process.wait()
    with Store.open(home) as store:
        assert store.run(run).status == "done"
        assert [one for one in verify(store, run) if one.verdict is False] == []
    return Tried(ended, str(process.pid), (home / "effects").read_text().split())


def _tries(folder: Path, *words: str) -> list[Tried]:
    with ThreadPoolExecutor(max_workers=10) as pool:
        return list(pool.map(lambda n: _try(folder / str(n), *words), range(TRIES)))


def test_a_runtime_that_was_stopped_past_its_lease_does_not_act(tmp_path: Path) -> None:
    """Woken, it is dead before its first instruction: the deed was done once, by its successor."""
    for tried in _tries(tmp_path):
        assert tried.ended == -signal.SIGALRM
        assert len(tried.acted) == 1
        assert tried.first not in tried.acted


def test_without_the_kernels_timer_it_acts(tmp_path: Path) -> None:
    """The planted bug, which the test above catches: the journal is fenced, the deed is not."""
    for tried in _tries(tmp_path, "--untimed"):
        assert tried.ended == 1
        assert tried.first in tried.acted
        assert len(tried.acted) == 2


def test_a_living_runtimes_run_is_refused_and_a_dead_ones_taken_at_once(tmp_path: Path) -> None:
    """While the lease is valid a second one gets one line; after kill -9 nobody waits."""
    process, run = _stopped(tmp_path, "--patient")
    with process:
        with _start(tmp_path, run) as second:
            _, err = second.communicate()
        assert second.returncode == 1, err
        assert "is being run by another process" in err
        process.kill()
    with _start(tmp_path, run) as third:
        _, err = third.communicate()
    assert third.returncode == 0, err
    assert "waiting" not in err
    assert len((tmp_path / "effects").read_text().split()) == 1


@pytest.mark.parametrize("ignored", [False, True])
def test_the_timer_is_deadly_even_where_its_signal_was_ignored(ignored: bool) -> None:
    """A parent's ignored or blocked SIGALRM is inherited; the timer undoes both."""
    code = (
        "import signal, time\n"
        "from monastery.runtime.kernel_timer import KernelTimer\n"
        "from monastery.runtime.lease import boot_seconds\n"
        "timer = KernelTimer()\n"
        "timer.arm('other', boot_seconds() + 3600)\n"
        "timer.arm('gone', boot_seconds() + 0.01)\n"
        "timer.arm('gone', None)\n"
        "time.sleep(0.1)\n"
        "print('alive', flush=True)\n"
        "timer.arm('run', boot_seconds() - 1)\n"
        "while True: pass\n"
    )

    def inherit() -> None:
        if ignored:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])

    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        preexec_fn=inherit,
        timeout=60,
        check=False,
    )
    assert ended.stdout == b"alive\n"
    assert ended.returncode == -signal.SIGALRM, ended.stderr
