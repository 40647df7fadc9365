"""The bar: there once something takes long on a terminal, and gone when it is over."""

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
