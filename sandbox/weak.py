"""A deliberately weak container, as the engine makes them by default: network, root, no limits.

It is the positive control of every containment probe: what does not come out open here proves
nothing when it comes out closed in a box. Nothing of the project is put into it.
"""

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import docker
import docker.errors
import docker.utils.socket
import requests
import trio

from monastery.runtime.errors import BadInput, EngineUnavailable, ImageUnfit, Unfit
from monastery.runtime.owner import this_process
from monastery.runtime.records import CommandResult, RunId
from monastery.sandbox.engine import OWNER_LABEL, PURPOSE_LABEL, RUN_LABEL


async def run_weak(
    run: RunId,
    image: str,
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout_seconds: float = 60.0,
    max_output_bytes: int = 1 << 20,
    weaker: Mapping[str, Any] | None = None,
) -> CommandResult:
    """Run one command in a fresh weak container, and remove it.

    Args:
        weaker: The "HostConfig" of the Engine API, for doors that the engine's defaults close.

    Raises:
        EngineUnavailable: No engine answers.
        ImageUnfit: The image is missing.
        BadInput: The command does not exist.
    """
    out, err = _Kept(max_output_bytes), _Kept(max_output_bytes)
    exit_code: int | None = None
    try:
        async with _container(run, image, argv, weaker or {}) as container:
            with trio.move_on_after(timeout_seconds):
                # Abandoned at the time limit: the thread ends when the container is removed.
                exit_code = await trio.to_thread.run_sync(
                    partial(_converse, container, stdin, out, err), abandon_on_cancel=True
                )
    except docker.errors.ImageNotFound as exc:
        raise ImageUnfit(f"no image {image!r}; make it with `make setup`, or name another") from exc
    except docker.errors.APIError as exc:
        said = str(exc.explanation)
        if "executable file not found" in said or "no such file" in said:
            raise BadInput(f"no program {argv[0]!r} in the image {image!r}") from exc
        raise Unfit(f"the engine refused a container: {said}") from exc
    except (docker.errors.DockerException, requests.exceptions.RequestException) as exc:
        raise EngineUnavailable(f"no Docker engine answers ({exc}); start it") from exc
    return CommandResult(exit_code, bytes(out.kept), bytes(err.kept), out.seen, err.seen)


class _Kept:
    """The first bytes of a stream, and how many there were."""

    def __init__(self, limit_bytes: int) -> None:
        self.kept = bytearray()
        self.seen = 0
        self._limit_bytes = limit_bytes

    def take(self, piece: bytes | None) -> None:
        if piece:
            self.seen += len(piece)
            self.kept += piece[: max(0, self._limit_bytes - len(self.kept))]


@asynccontextmanager
async def _container(
    run: RunId, image: str, argv: Sequence[str], weaker: Mapping[str, Any]
) -> AsyncIterator[Any]:
    config = {
        "Image": image,
        "Entrypoint": list(argv),
        "Cmd": [],
        "User": "0:0",
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Labels": {RUN_LABEL: run, OWNER_LABEL: this_process(), PURPOSE_LABEL: "weak"},
        "HostConfig": dict(weaker),
    }
    client = await trio.to_thread.run_sync(docker.from_env)
    create = partial(client.api.create_container_from_config, config)
    made = await trio.to_thread.run_sync(create)
    container = await trio.to_thread.run_sync(client.containers.get, made["Id"])
    try:
        yield container
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(partial(container.remove, force=True, v=True))
            await trio.to_thread.run_sync(client.close)


def _converse(container: Any, stdin: bytes, out: _Kept, err: _Kept) -> int:
    """Start the container, feed it, read it to its end; return its exit code. In a thread."""
    stdio = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    # The SDK hands out a file object that can only read; the socket is below it.
    raw: socket.socket = stdio._sock
    with stdio, raw:
        container.start()
        feeder = threading.Thread(target=_feed, args=(raw, stdin), daemon=True)
        feeder.start()
        for kind, piece in docker.utils.socket.frames_iter(stdio, tty=False):
            (err if kind == docker.utils.socket.STDERR else out).take(piece)
        feeder.join()
    return int(container.wait()["StatusCode"])


def _feed(raw: socket.socket, stdin: bytes) -> None:
    """Write all of stdin, beside the reading: neither may wait for the other."""
    with contextlib.suppress(OSError):  # it may end without reading, which is its right
        raw.sendall(stdin)
        raw.shutdown(socket.SHUT_WR)
