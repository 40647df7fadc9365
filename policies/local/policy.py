"""The policy that thinks with a local model: the runtime's end of the process that holds it."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import trio

from monastery.policies.local import answers
from monastery.policies.local.conversations import Asked, NotTaken, asked
from monastery.policies.local.worker import Call, Load, Ready, Reply
from monastery.runtime.errors import PolicyFailed, Unfit
from monastery.runtime.project import LocalPolicySettings

_END_SECONDS = 5.0
_SEND_SECONDS = 60.0


class LocalPolicy:
    """Thinks with a model of transformers that lies in a folder.

    It is loaded by the first call, in a process of its own, and stays; should that break, the next
    call starts another. Calls are thought about one after another. One that nobody waits for is
    called off between two tokens.

    Args:
        settings: How it is loaded, and what a request that does not say gets.
        folder: The model's.

    Raises:
        Unfit: torch or transformers is not installed.
    """

    name = "local"

    def __init__(self, settings: LocalPolicySettings, folder: Path) -> None:
        missing = [
            name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None
        ]
        if missing:
            told = " and ".join(missing)
            raise Unfit(f"policy.local needs {told}; pip install 'monastery[local]'")
        self._settings, self._folder = settings, folder
        self._load = Load(
            str(folder.resolve()), settings.device, settings.dtype, settings.context_tokens
        )
        self._turn = trio.Lock()
        self._worker: _Worker | None = None
        self._number = 0

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Go on with the conversation.

        Returns:
            `status` and `response`, and where tokens were sampled `sampled`: the tokens of the
            prompt and of each answer with their log-probabilities, and how they were drawn.

        Raises:
            PolicyFailed: The model cannot be loaded, or broke.
        """
        api, request = body["api"], body["request"]
        try:
            want = asked(
                api,
                request,
                max_tokens=self._settings.max_tokens,
                temperature=self._settings.temperature,
            )
        except NotTaken as exc:
            return answers.failure(api, str(exc), code="unsupported_parameter")
        async with self._turn:
            reply = await self._ask(want)
        if reply.failed is not None:
            raise PolicyFailed(f"the local model failed: {reply.failed}")
        if reply.sampled is not None:
            told = answers.answer(api, request["model"], want, reply.sampled)
            return {"status": 200, "response": told, "sampled": answers.kept(reply.sampled)}
        assert reply.prompt_tokens is not None, "a count, or too many"
        if reply.context is not None:
            why = f"the context of this model is {reply.context} tokens long; the prompt has"
            why = f"{why} {reply.prompt_tokens}, which leaves no room for an answer"
            return answers.failure(api, why, code="context_length_exceeded")
        return {"status": 200, "response": answers.counted(reply.prompt_tokens)}

    async def aclose(self) -> None:
        """End the process."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.end()

    async def _ask(self, want: Asked) -> Reply:
        """Have one call thought about; call it off if we are cancelled."""
        if self._worker is None:
            self._worker = await _Worker.start(self._load)
        worker = self._worker
        self._number += 1
        call = Call(self._number, want.messages, want.tools, want.sampling)
        try:
            await worker.ready()
            try:
                await worker.send(call)
                return await worker.reply(call.number)
            except trio.Cancelled:
                await worker.send(Call(call.number))
                raise
        except PolicyFailed:
            self._worker = None
            await worker.end()
            raise


class _Worker:
    """The process, and the lines to and from it."""

    def __init__(self, process: trio.Process, errors: IO[bytes]) -> None:
        self._process, self._errors = process, errors
        self._rest = bytearray()
        self._is_ready = False

    @classmethod
    async def start(cls, load: Load) -> "_Worker":
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when the worker ends
        argv = [sys.executable, "-m", "monastery.policies.local.worker"]
        with trio.CancelScope(shield=True):  # or it would be started and nobody's
            process = await trio.lowlevel.open_process(
                [*argv, msgspec.json.encode(load).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
                cwd="/",
            )
        return cls(process, errors)

    async def ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            PolicyFailed: It cannot be.
        """
        if not self._is_ready:
            told = msgspec.json.decode(await self._line(), type=Ready)
            if told.unfit is not None:
                raise PolicyFailed(f"the local model cannot be loaded: {told.unfit}")
            self._is_ready = True

    async def send(self, call: Call) -> None:
        """Send a call, whole: half a line would spoil those after it.

        Raises:
            PolicyFailed: It does not take it.
        """
        assert self._process.stdin is not None, "a pipe"
        with trio.move_on_after(_SEND_SECONDS, shield=True):
            try:
                await self._process.stdin.send_all(msgspec.json.encode(call) + b"\n")
            except trio.BrokenResourceError as exc:
                raise PolicyFailed(await self._why_ended()) from exc
            return
        raise PolicyFailed("the local model's process does not listen")

    async def reply(self, number: int) -> Reply:
        """Return what came of a call; what came of those that were called off is passed over.

        Raises:
            PolicyFailed: The process ended.
        """
        while True:
            reply = msgspec.json.decode(await self._line(), type=Reply)
            if reply.number == number:
                return reply

    async def end(self) -> None:
        """End the process at once."""
        with trio.move_on_after(_END_SECONDS, shield=True):
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            for end in (self._process.stdin, self._process.stdout):
                if end is not None:
                    await end.aclose()
        self._errors.close()

    async def _line(self) -> bytes:
        assert self._process.stdout is not None, "a pipe"
        while b"\n" not in self._rest:
            data = await self._process.stdout.receive_some(1 << 16)
            if not data:
                raise PolicyFailed(await self._why_ended())
            self._rest += data
        line, _, rest = bytes(self._rest).partition(b"\n")
        self._rest = bytearray(rest)
        return line

    async def _why_ended(self) -> str:
        """Return how the process ended, with the last line that it said."""
        with trio.move_on_after(_END_SECONDS, shield=True):
            await self._process.wait()
        self._errors.seek(0)
        said = self._errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        last = f": {said[-1][:200]}" if said else ""
        return f"the local model's process ended with {self._process.returncode}{last}"
