"""The terminal of the desk: keys, lines, an editor and a pager; the protocol and the real one."""

import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.text import Text

from monastery.runtime.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console


class Terminal(Protocol):
    """What the desk needs of a terminal."""

    @property
    def width(self) -> int:
        """How wide it is [columns]."""
        ...

    def now(self) -> float:
        """Return the time on a clock that never goes back [seconds]."""
        ...

    def clear(self) -> None:
        """Begin a new page, and forget what was typed so far."""
        ...

    def show(self, text: Text | str) -> None:
        """Print a text, and a line break."""
        ...

    def page(self, text: Text) -> None:
        """Show a long text to scroll in."""
        ...

    def key(self, timeout_seconds: float) -> str | None:
        """Return the next single key, or None when none is pressed in time.

        Several characters at once are no key: a pasted text, or an arrow key's escape sequence.
        """
        ...

    def line(self, prompt: str) -> str | None:
        """Return a line that was typed, or None at the end of input."""
        ...

    def edit(self, content: bytes) -> bytes | None:
        """Let the person edit bytes; None when there is no editor, or it failed."""
        ...


class RealTerminal:
    """A terminal on standard input. Keys are read one by one within `keys`."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._fd = sys.stdin.fileno()
        self._cooked = termios.tcgetattr(self._fd)
        self._interrupted = False

    @property
    def width(self) -> int:
        """How wide the terminal is [columns]."""
        return self._console.width

    @contextmanager
    def keys(self) -> Iterator[None]:
        """Read keys without waiting for Enter, until the block ends."""
        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler:  # not where a shell has it ignored
            signal.signal(signal.SIGINT, self._interrupt)
        try:
            tty.setcbreak(self._fd)
            yield
        finally:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._cooked)
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, number: int, frame: object) -> None:
        """Hear Ctrl-C, and remember it: Python drops what is raised while it finalises a thing."""
        self._interrupted = True
        raise KeyboardInterrupt

    @contextmanager
    def _lines(self) -> Iterator[None]:
        """Read lines again, until the block ends."""
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._cooked)
        try:
            yield
        finally:
            tty.setcbreak(self._fd)

    def now(self) -> float:
        """Return the time."""
        return time.monotonic()

    def clear(self) -> None:
        """Clear the screen."""
        termios.tcflush(self._fd, termios.TCIFLUSH)
        self._console.clear()

    def show(self, text: Text | str) -> None:
        """Print."""
        shown = text if isinstance(text, Text) else Text(text)
        self._console.print(shown, soft_wrap=True)

    def page(self, text: Text) -> None:
        """Show in the pager."""
        with self._lines(), self._console.pager():
            self._console.print(text, soft_wrap=True)

    def key(self, timeout_seconds: float) -> str | None:
        """Read one key."""
        if self._interrupted:
            raise KeyboardInterrupt
        ready, _, _ = select.select([self._fd], [], [], timeout_seconds)
        if not ready:
            return None
        typed = os.read(self._fd, 4096)
        if not typed:
            raise BadInput("the terminal is gone")
        text = typed.decode(errors="replace")
        return text if len(text) == 1 and text.isprintable() else ""

    def line(self, prompt: str) -> str | None:
        """Read a line, unbuffered: nothing stays behind that a later question could take."""
        typed = b""
        with self._lines():
            self._console.print(Text(prompt), end="")
            while not typed.endswith(b"\n"):
                more = os.read(self._fd, 4096)
                if not more:
                    return None
                typed += more
        return typed.decode(errors="replace").rstrip("\r\n")

    def edit(self, content: bytes) -> bytes | None:
        """Edit in $VISUAL or $EDITOR."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
        if not editor:
            return None
        with self._lines(), tempfile.TemporaryDirectory(prefix="monastery-") as folder:
            path = Path(folder) / "payload"
            path.write_bytes(content)
            try:
                ended = subprocess.run([*shlex.split(editor), str(path)], check=False)
                return path.read_bytes() if ended.returncode == 0 else None
            except (OSError, ValueError) as exc:
                self.show(f"cannot edit with {editor!r}: {exc}")
                return None
