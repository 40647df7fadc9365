"""The runtime's end of a cached web: asks the program that reads it, and ends it when it must."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import trio

from monastery.runtime.errors import WebFailed

ANSWER_BYTES = 4 << 20
"""The longest answer that is taken from the reader."""

_OPEN_SECONDS = 900.0
_ASK_SECONDS = 120.0
_END_SECONDS = 5.0


class CachedWeb:
    """A ZIM file or a folder, to be searched and read.

    Its reader is started by the first who asks, for nobody waits for an index that is not used, and
    again by the next one should it break.

    Args:
        path: The file or the folder.
        ask_seconds: How long one answer may take.
    """

    def __init__(self, path: Path, *, ask_seconds: float = _ASK_SECONDS) -> None:
        self._path = path
        self._ask_seconds = ask_seconds
        self._turn = trio.Lock()
        self._process: trio.Process | None = None
        self._rest = bytearray()

    async def fetch(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the reader; see `monastery.runtime.fetches` for the shapes.

        Raises:
            WebFailed: It cannot be opened, took too long, or broke.
        """
        async with self._turn:
            try:
                if self._process is None:
                    await self._open()
                return await self._ask(asked)
            except BaseException:
                await self._end()  # or the next one would get this one's answer
                raise

    async def aclose(self) -> None:
        """End the reader."""
        async with self._turn:
            await self._end()

    async def _open(self) -> None:
        self._process = await trio.lowlevel.open_process(
            [sys.executable, "-I", "-m", "monastery.runtime.web.reader", str(self._path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            cwd="/",
        )
        with trio.move_on_after(_OPEN_SECONDS):
            said = await self._line()
            if "broken" in said:
                raise WebFailed(f"the cached web cannot be opened: {said['broken']}")
            return
        raise WebFailed(f"the cached web was not open after {_OPEN_SECONDS:g} s")

    async def _ask(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._process is not None, "opened before"
        assert self._process.stdin is not None, "a pipe"
        with trio.move_on_after(self._ask_seconds):
            try:
                await self._process.stdin.send_all(msgspec.json.encode(asked) + b"\n")
            except trio.BrokenResourceError as exc:
                raise WebFailed("the cached web's reader ended") from exc
            return await self._line()
        raise WebFailed(f"the cached web took longer than {self._ask_seconds:g} s")

    async def _line(self) -> dict[str, Any]:
        assert self._process is not None, "opened before"
        assert self._process.stdout is not None, "a pipe"
        while b"\n" not in self._rest:
            data = await self._process.stdout.receive_some(1 << 16)
            if not data:
                raise WebFailed("the cached web's reader ended: it broke on this page or search")
            self._rest += data
            if len(self._rest) > ANSWER_BYTES:
                raise WebFailed(f"the cached web's answer is longer than {ANSWER_BYTES} bytes")
        line, _, rest = bytes(self._rest).partition(b"\n")
        self._rest = bytearray(rest)
        try:
            return msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as exc:
            raise WebFailed("the cached web's reader answered nonsense") from exc

    async def _end(self) -> None:
        process, self._process = self._process, None
        self._rest.clear()
        if process is not None:
            with trio.move_on_after(_END_SECONDS, shield=True):
                process.kill()
                await process.wait()
                for end in (process.stdin, process.stdout):
                    if end is not None:
                        await end.aclose()
