"""A terminal in a scripted box: a line that is typed runs one of its commands."""

import shlex
from collections.abc import Awaitable, Callable, Sequence

import trio

from monastery.runtime.errors import BadInput
from monastery.runtime.records import CommandResult

PROMPT = b"$ "


class ScriptedShell:
    """Echoes what is typed, runs it at Enter, and shows what it wrote; ``exit`` ends it.

    Args:
        run: Runs a command.
    """

    def __init__(self, run: Callable[[Sequence[str]], Awaitable[CommandResult]]) -> None:
        self._run = run
        self._line, self._ended = b"", False
        # What is shown and not received yet; whoever types reads too, so it stays short.
        self._show, self._shown = trio.open_memory_channel[bytes](1 << 16)
        self._show.send_nowait(PROMPT)

    async def receive(self) -> bytes:
        """Return what it shows next; nothing at its end."""
        try:
            return await self._shown.receive()
        except trio.EndOfChannel:
            return b""

    async def type(self, data: bytes) -> None:
        """Type."""
        await trio.lowlevel.checkpoint()
        for byte in data.replace(b"\r", b"\n"):
            if self._line == b"exit" and byte == 10:
                self._ended = True
                self._show.close()
            if self._ended:
                return
            if byte != 10:
                self._line += bytes([byte])
                self._show.send_nowait(bytes([byte]))
                continue
            line, self._line = self._line, b""
            self._show.send_nowait(b"\r\n" + await self._told(line) + PROMPT)

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: lines have no end here."""
        await trio.lowlevel.checkpoint()

    async def _told(self, line: bytes) -> bytes:
        try:
            argv = shlex.split(line.decode(errors="replace"))
            result = await self._run(argv) if argv else None
        except (BadInput, ValueError) as exc:
            return f"{exc}\r\n".encode()
        written = b"" if result is None else result.stdout + result.stderr
        return written.replace(b"\n", b"\r\n")
