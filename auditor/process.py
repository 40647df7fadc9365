"""A program of which nothing is left when the block ends, and which learns no secret of ours."""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import trio

from monastery.runtime.errors import AuditFailed

_KEEPER = Path(__file__).with_name("keeper.py")
_CLEAN_UP_SECONDS = 10.0


class Program:
    """A running program: lines in, lines out, and the end of what it complained about."""

    def __init__(self, process: trio.Process, control: int, *, most_line_bytes: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._control: int | None = control
        self._in, self._out, self._err = process.stdin, process.stdout, process.stderr
        self._most_line_bytes = most_line_bytes
        self._read = bytearray()
        self._complaints = b""

    async def write_line(self, line: bytes) -> None:
        """Write a line; a program that no longer reads is no error."""
        try:
            await self._in.send_all(line + b"\n")
        except trio.BrokenResourceError:
            return

    async def read_line(self) -> bytes | None:
        """Return the next line, the last one also without its newline, or None at the end.

        Raises:
            ValueError: It is longer than allowed.
        """
        searched = 0
        while (end := self._read.find(b"\n", searched)) < 0:
            searched = len(self._read)
            if searched > self._most_line_bytes:
                raise ValueError(f"a line is longer than {self._most_line_bytes} bytes")
            chunk = await self._out.receive_some(1 << 16)
            if not chunk:
                rest, self._read = bytes(self._read), bytearray()
                return rest or None
            self._read += chunk
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line

    async def listen_to_complaints(self) -> None:
        """Read standard error to its end, keeping only the last of it."""
        async for chunk in self._err:
            self._complaints = (self._complaints + chunk)[-4096:]

    @property
    def last_complaint(self) -> str:
        """The last line on standard error."""
        lines = self._complaints.decode(errors="replace").split("\n")
        return next((line.strip()[-500:] for line in reversed(lines) if line.strip()), "")

    async def wait(self) -> int:
        """Return the exit code when the program and all that it started have ended."""
        return await self._process.wait()

    async def end(self) -> None:
        """Kill it with all that it started, if anything is left, and wait until that is done."""
        if self._control is not None:
            os.close(self._control)
            self._control = None
        with trio.move_on_after(_CLEAN_UP_SECONDS, shield=True):
            await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            with trio.CancelScope(shield=True):
                await self._process.wait()

    async def close(self) -> None:
        """End it, and close our ends of its streams."""
        await self.end()
        for stream in (self._in, self._out, self._err):
            # Closes, and then raises in a cancelled task: the others must be closed still.
            with trio.CancelScope(shield=True):
                await stream.aclose()


def environment() -> dict[str, str]:
    """Return what a program is told of ours: PATH, HOME and LANG.

    The folder of our own interpreter comes first in PATH, so that ``python3`` is one that has
    monastery installed, whether or not its virtual environment was activated.
    """
    paths = [str(Path(sys.executable).parent)] if sys.executable else []
    return {
        "PATH": os.pathsep.join([*paths, os.environ.get("PATH", os.defpath)]),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }


@asynccontextmanager
async def started(
    argv: Sequence[str], folder: Path, *, most_line_bytes: int
) -> AsyncIterator[Program]:
    """Run a program in a session of its own; at the end of the block kill all that is left of it.

    Raises:
        AuditFailed: The folder does not exist, or no process can be made. A program that does not
            exist ends with 127 instead, and a complaint.
    """
    theirs, ours = os.pipe()
    try:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-I", "-S", str(_KEEPER), str(theirs), *argv],
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=folder,
            env=environment(),
            start_new_session=True,
            pass_fds=[theirs],
        )
    except OSError as exc:
        os.close(ours)
        raise AuditFailed(f"no program can be started in {str(folder)!r}: {exc}") from exc
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    program = Program(process, ours, most_line_bytes=most_line_bytes)
    try:
        yield program
    finally:
        await program.close()
