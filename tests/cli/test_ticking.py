"""Progress of what takes long: for who watches, and in a log; never among results."""

import io

import pytest
from rich.console import Console

from monastery.runtime.cli.ticking import ticking


def test_where_nobody_watches_a_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """On the error stream; none for what is quick."""
    with ticking("training", 3) as tick:
        tick()
    assert capsys.readouterr() == ("", "")
    with ticking("training", 3, line_seconds=0.0) as tick:
        tick()
        tick()
    said = "training: 1 of 3, 0 s\ntraining: 2 of 3, 0 s\n"
    assert capsys.readouterr() == ("", said)


def test_on_a_terminal_there_is_a_bar_and_in_the_end_nothing() -> None:
    """Not for what is over soon; and it is taken away when the work fails."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True)
    with ticking("training", 2, patience_seconds=1e6, console=console) as tick:
        tick()
    assert screen.getvalue() == ""
    with pytest.raises(RuntimeError, match="planted"):
        _fails(console)
    shown = screen.getvalue()
    assert "training" in shown
    assert "━" in shown
    assert shown.endswith("\x1b[2K")  # the line is cleared


def _fails(console: Console) -> None:
    with ticking("training", 2, patience_seconds=0.0, console=console) as tick:
        tick()
        raise RuntimeError("planted")
