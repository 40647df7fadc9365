"""A box as a sandbox of Inspect AI, just far enough for Inspect's own checks of sandboxes."""

import shlex
from typing import Any, Literal, NoReturn, overload

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentLimits,
    SandboxUserUnsupportedError,
)

from monastery.runtime.errors import BadInput
from monastery.runtime.ports import Cell

SHELL_SIGNALLED = 128
KINDS = {
    "No such file": FileNotFoundError,
    "symbolic link or no folder": FileNotFoundError,
    "no such command": FileNotFoundError,
    "ermission denied": PermissionError,
    "directory": IsADirectoryError,
    "not a regular file": IsADirectoryError,
}
"""What Inspect calls the reasons for which a box refuses."""


class InspectBox(SandboxEnvironment):
    """Speaks to a box as Inspect would."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,  # noqa: A002 - Inspect's name
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,  # noqa: ASYNC109 - Inspect's name
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Run a command."""
        if user is not None:
            raise SandboxUserUnsupportedError(f"a box has one user; {user!r} is not it")
        limit = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
        try:
            done = await self._cell.run(
                cmd,
                cwd=cwd or "/work",
                env=env,
                stdin=input.encode() if isinstance(input, str) else input or b"",
                timeout_seconds=timeout or 600.0,
                max_output_bytes=limit,
            )
        except BadInput as exc:
            _translate(exc, cmd[0])
        if done.exit_code is None:
            raise TimeoutError(f"{cmd[0]!r} took longer than {timeout} s")
        if done.truncated:
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR, None)
        code = done.exit_code if done.exit_code >= 0 else SHELL_SIGNALLED - done.exit_code
        return ExecResult(code == 0, code, done.stdout.decode(), done.stderr.decode())

    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Write a file, unless its mode forbids it: a box's `write_file` would replace it."""
        quoted = shlex.quote(file)
        may = await self._cell.run(["sh", "-c", f"test ! -f {quoted} || test -w {quoted}"])
        if may.exit_code:
            raise PermissionError(f"{file!r} may not be written")
        data = contents.encode() if isinstance(contents, str) else contents
        try:
            await self._cell.write_file(file, data)
        except BadInput as exc:
            _translate(exc, file)

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        """Return a file."""
        try:
            limit = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE
            content = await self._cell.read_file(file, max_bytes=limit)
        except BadInput as exc:
            if "more than" in str(exc):
                limit_text = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR
                raise OutputLimitExceededError(limit_text, None) from exc
            _translate(exc, file)
        return content.decode() if text else content

    @classmethod
    async def sample_cleanup(cls, *args: Any, **kwargs: Any) -> None:
        """Leave that to who opened the box."""


def _translate(refusal: BadInput, what: str) -> NoReturn:
    for sign, kind in KINDS.items():
        if sign in str(refusal):
            words = "is a directory" if kind is IsADirectoryError else ""
            raise kind(f"{what}: {refusal} {words}") from refusal
    raise refusal
