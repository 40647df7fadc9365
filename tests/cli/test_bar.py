"""Progress: there once something takes long, gone when it is over, never among results."""

import os
import pty
import subprocess
import sys

SLOW = """
from monastery.runtime.cli.bar import Bar

time = [0.0]
bar = Bar("things", 4, clock=lambda: time[0])
bar.goes_on("early", by=1)
time[0] = 2.0
bar.goes_on("late", by=1)
bar.hide()
print("between")
bar.goes_on("again", by=1)
bar.hide()
"""


def _on_a_terminal(program: str) -> tuple[str, str]:
    """Return what a program writes to stdout, a pipe, and to stderr, a terminal."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "100", "TERM": "xterm-256color", "NO_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=theirs, env=env, text=True
    ) as process:
        os.close(theirs)
        told = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            told += piece
        os.close(ours)
        assert process.stdout is not None
        said = process.stdout.read()
    assert process.returncode == 0, told
    return said, told.decode()


def test_a_bar_is_there_when_it_takes_long_and_results_stay_results() -> None:
    """It says what is done and how much; off the terminal it is gone, and comes again."""
    said, told = _on_a_terminal(SLOW)
    assert said == "between\n"
    assert "early" not in told
    first, second = told.index("late"), told.index("again")
    assert "50%" in told[first:second]
    assert "75%" in told[second:]
    assert "\x1b[2K" in told[second:]  # the line is emptied


def test_no_bar_where_nobody_looks() -> None:
    """A log gets none, however long it takes."""
    done = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "between\n", "")


TICKING = """
from monastery.runtime.cli import bar

bar.PATIENCE_SECONDS = 0.0
bar.LINE_SECONDS = SECONDS
try:
    with bar.ticking("training", 3) as tick:
        tick()
        tick()
        raise RuntimeError("planted")
except RuntimeError:
    pass
"""


def test_in_a_log_work_of_minutes_says_a_line_now_and_then() -> None:
    """On the error stream; none for what is quick."""
    for seconds, said in (
        ("1e6", ""),
        ("0.0", "training: 1 of 3, 0 s\ntraining: 2 of 3, 0 s\n"),
    ):
        program = TICKING.replace("= SECONDS", f"= {seconds}")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", said)


def test_work_that_fails_takes_its_bar_with_it() -> None:
    """The line is cleared on the way out."""
    said, told = _on_a_terminal(TICKING.replace("= SECONDS", "= 1e6"))
    assert said == ""
    assert "training" in told
    assert "━" in told
    assert told.rstrip("\r\n").endswith("\x1b[2K")
