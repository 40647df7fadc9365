"""The desk on a real terminal: a process behind a pseudo-terminal, with keys typed into it."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.questions import Questions, question


@pytest.fixture
def questions(tmp_path: Path) -> Questions:
    """A home with a run that asks nothing yet."""
    return Questions(tmp_path / "home")


class Screen:
    """A `monastery audit` on a pseudo-terminal."""

    def __init__(self, questions: Questions, *words: str, editor: str = "") -> None:
        self._read = b""
        ours, theirs = pty.openpty()
        environment = {**os.environ, "MONASTERY_HOME": str(questions.home), "TERM": "xterm"}
        environment |= {"EDITOR": editor, "VISUAL": "", "COLUMNS": "100", "PAGER": "cat"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "monastery.runtime.cli.main", "audit", *words],
            stdin=theirs,
            stdout=subprocess.PIPE if "--json" in words else theirs,
            stderr=theirs if "--json" in words else subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self._fd = ours

    def expect(self, text: str, seconds: float = 240.0) -> str:
        """Read until this text is on the screen; return what came up to it, without colours."""
        end = time.monotonic() + seconds
        while text not in (plain := _plain(self._read)):
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not come; the screen says:\n{plain}"
            if select.select([self._fd], [], [], left)[0]:
                try:
                    chunk = os.read(self._fd, 65536)
                except OSError:
                    chunk = b""
                assert chunk, f"{text!r} did not come before the end:\n{plain}"
                self._read += chunk
        self._read = b""
        return plain

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._fd, keys.encode())

    def press(self, key: str, text: str) -> str:
        """Press a key again and again until the desk, blind at first, answers with this text."""
        for _ in range(100):
            self.type(key)
            with contextlib.suppress(AssertionError):
                return self.expect(text, 0.2)
        raise AssertionError(f"{key!r} never led to {text!r}")

    def end(self, seconds: float = 240.0) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was said beside the terminal."""
        output, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, (output or errors or b"").decode()


def _plain(shown: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode(errors="replace")).replace("\r", "")


@pytest.fixture
def screen(questions: Questions) -> Iterator[Callable[..., Screen]]:
    """Opens screens; ends them."""
    screens: list[Screen] = []

    def opened(*words: str, editor: str = "") -> Screen:
        screens.append(Screen(questions, *words, editor=editor))
        return screens[-1]

    yield opened
    for one in screens:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()
        for pipe in (one.process.stdout, one.process.stderr):
            if pipe is not None:
                pipe.close()
        os.close(one._fd)


def test_real_terminal(questions: Questions, screen: Callable[..., Screen], tmp_path: Path) -> None:
    """On a real terminal: look, edit, vote, wait for the next, answer it, leave."""
    item = questions.put(question(payload=b"echo \x1b[31mhello\n"))
    editor = tmp_path / "editor.sh"
    editor.write_text("#!/bin/sh\nprintf 'echo bye' > \"$1\"\n")
    editor.chmod(0o755)
    desk = screen("--wait", "--by", "alice", editor=str(editor))
    page = desk.expect("q quit")
    assert "│ echo ‹U+001B›[31mhello" in page
    assert "because it is late" not in page
    desk.press("1", "│ all green")
    desk.press("m", "to think again: ")
    desk.type("0.75\n")
    desk.expect("note, if any: ")
    desk.type("shorter — better\n")
    desk.expect("waiting for questions")
    answer = questions.answer(item)
    assert answer is not None
    assert answer["modified_base64"] == "ZWNobyBieWU="
    assert (answer["score"], answer["note"]) == (0.75, "shorter — better")
    deed = questions.put(question("human"))
    desk.expect("d done")
    desk.press("d", "what came of it")
    desk.type("rang\n")
    desk.expect("waiting for questions")
    assert questions.said(deed) == {"status": "done", "content": "rang"}
    desk.press("q", "")
    assert desk.end()[0] == 0


def test_pasted_text_and_arrows_are_no_keys(
    questions: Questions, screen: Callable[..., Screen]
) -> None:
    """Several characters at once, typed ahead or pasted, and escape sequences decide nothing."""
    item = questions.put(question())
    desk = screen()
    desk.type("a")  # before there is anything to approve
    desk.expect("q quit")
    desk.press("?", "leave it for later")
    for keys in ("approve", "\x1b[a", "\x1bOa", "aa", "a\n"):
        desk.type(keys)
        desk.press("?", "leave it for later")
    desk.press("q", "")
    code, errors = desk.end()
    assert (code, errors) == (0, "")
    assert questions.answer(item) is None


def test_interrupt_leaves_the_terminal_as_it_was(
    questions: Questions, screen: Callable[..., Screen]
) -> None:
    """Ctrl-C ends with 130, sends nothing, and lines are read as before."""
    item = questions.put(question())
    desk = screen()
    desk.expect("q quit")
    desk.process.send_signal(signal.SIGINT)
    assert desk.end()[0] == 130
    assert questions.answer(item) is None
    assert termios.tcgetattr(desk._fd)[3] & termios.ICANON


DROPPED = """
import os, signal
from rich.console import Console
from monastery.runtime.cli.audit_terminal import RealTerminal

class Presses:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

terminal = RealTerminal(Console())
with terminal.keys():
    thing = Presses()
    del thing
    print("dropped", flush=True)
    while True:
        terminal.key(0.01)
"""


def test_an_interrupt_that_python_drops_is_not_lost() -> None:
    """Ctrl-C while an object is finalised is raised nowhere: the next key asked for tells it."""
    ours, theirs = pty.openpty()
    ended = subprocess.run(
        [sys.executable, "-c", DROPPED], stdin=theirs, capture_output=True, check=False, timeout=240
    )
    os.close(ours)
    os.close(theirs)
    assert ended.stdout == b"dropped\n"
    assert ended.returncode == -signal.SIGINT, ended.stderr
    assert ended.stderr.rstrip().endswith(b"KeyboardInterrupt")


def test_json_after_the_sitting(questions: Questions, screen: Callable[..., Screen]) -> None:
    """With --json the desk is on standard error, and what was answered on standard output."""
    item = questions.put(question("ask"))
    desk = screen("--json", "--by", "alice")
    desk.expect("q quit")
    desk.press("w", "your answer")
    desk.type("blue\n")
    desk.expect("nothing more waits")
    code, output = desk.end()
    (told,) = json.loads(output)
    assert (code, told["item"], told["by"]) == (0, item.id, "alice")
    assert told["body"]["content"] == "blue"


def test_nobody_decides_unseen(questions: Questions) -> None:
    """Where the page would go to a file, the desk does not begin: keys would act unseen."""
    questions.put(question())
    ours, theirs = pty.openpty()
    ended = subprocess.run(
        [sys.executable, "-m", "monastery.runtime.cli.main", "audit"],
        stdin=theirs,
        capture_output=True,
        check=False,
        env={**os.environ, "MONASTERY_HOME": str(questions.home)},
    )
    os.close(ours)
    os.close(theirs)
    assert ended.returncode == 2
    assert b"needs a terminal" in ended.stderr
