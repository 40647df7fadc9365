"""What is put out for probes to find: a listener of the host's, and another box's."""

import ctypes
import json
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import trio

from monastery.runtime.errors import BadInput, BoxError
from monastery.runtime.ports import Cell
from monastery.sandbox.nursery import background

_LISTENS_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Bait:
    """What the host puts out for probes to find.

    Attributes:
        abstract: An abstract socket's name on which we listen.
        shared_memory: The key of a piece of shared memory; both are None where the engine is not on
            this machine.
        neighbour: Another box that listens: `abstract`, `addresses`, `port`.
    """

    abstract: str | None = None
    shared_memory: int | None = None
    neighbour: Mapping[str, Any] | None = None
    gateways: Sequence[str] = ()


@contextmanager
def bait(gateways: Sequence[str] = (), *, local: bool = True) -> Iterator[Bait]:
    """Put out what probes are to find: an abstract socket, and a piece of shared memory."""
    with ExitStack() as stack:
        if not local or sys.platform != "linux":
            yield Bait(gateways=gateways)
            return
        name = f"monastery-{secrets.token_hex(8)}"
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind("\0" + name)
        listener.listen(16)
        key = secrets.randbelow(1 << 30) + 1
        libc = ctypes.CDLL(None, use_errno=True)
        number = libc.shmget(key, 4096, 0o1600)
        if number >= 0:
            stack.callback(libc.shmctl, number, 0, None)
        yield Bait(name, key if number >= 0 else None, None, gateways)


@asynccontextmanager
async def listening(box: Cell, known: Bait) -> AsyncIterator[Bait]:
    """Let another box listen while the block runs; add it to the bait.

    Raises:
        BoxError: It did not, or not to the end: then nobody can say that it cannot be reached.
    """
    name = f"monastery-{secrets.token_hex(8)}"

    async def listen() -> None:
        argv = ["python3", "-c", _LISTENER, name]
        ended = await box.run(argv, timeout_seconds=_LISTENS_SECONDS)
        words = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise BoxError(f"the box that was to listen stopped: {words or 'its time was over'}")

    async with background() as nursery:
        nursery.start_soon(listen)
        while True:
            try:
                ready = json.loads(await box.read_file(f"/tmp/{name}"))  # noqa: S108
                break
            except (BadInput, ValueError):
                await trio.sleep(0.01)
        yield replace(known, neighbour={"abstract": name, **ready})


_LISTENER = """
import json, os, socket, sys, time
name = sys.argv[1]
door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
door.bind("\\0" + name)
door.listen(8)
tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
tcp.bind(("0.0.0.0", 0))
tcp.listen(8)
try:
    addresses = [a for a in socket.gethostbyname_ex(socket.gethostname())[2] if a[:4] != "127."]
except OSError:
    addresses = []
with open("/tmp/." + name, "w") as file:
    json.dump({"port": tcp.getsockname()[1], "addresses": addresses or ["10.0.0.1"]}, file)
os.rename("/tmp/." + name, "/tmp/" + name)
time.sleep(3600)
"""
