"""Byte streams to a guest: the container's attached stdio on trio, and a process's pipes.

The attach request is written by hand and not through the SDK: the connection must end up on
trio, cancellable, and the SDK hides the socket below its HTTP library.
"""

import ssl
from dataclasses import dataclass
from typing import Protocol

import trio

from monastery.runtime.errors import BoxDied, EngineUnavailable

LAST_WORDS_BYTES = 4096


class GuestStream(Protocol):
    """A guest's stdin and stdout; what it wrote to stderr is kept as its last words."""

    async def send_all(self, data: bytes) -> None:
        """Write to its stdin."""
        ...

    async def receive(self) -> bytes:
        """Return what it wrote to its stdout; nothing at the end."""
        ...

    def last_words(self) -> str:
        """Return the end of what it wrote to stderr, on one line."""
        ...

    async def aclose(self) -> None:
        """Hang up."""
        ...


@dataclass(frozen=True)
class Address:
    """Where an engine listens: a unix socket's path, or host and port, with TLS or without."""

    path: str | None
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None


async def connect(address: Address) -> trio.abc.Stream:
    """Open a connection to an engine.

    Raises:
        OSError: Nobody listens there.
    """
    if address.path is not None:
        return await trio.open_unix_socket(address.path)
    if address.tls is None:
        return await trio.open_tcp_stream(address.host, address.port)
    return await trio.open_ssl_over_tcp_stream(address.host, address.port, ssl_context=address.tls)


async def attach(address: Address, container: str) -> "AttachedStream":
    """Attach to the stdio of a container that is not started yet, so that no byte is missed.

    Raises:
        EngineUnavailable: The engine cannot be reached or does not attach.
    """
    try:
        stream = await connect(address)
    except OSError as exc:
        raise EngineUnavailable(f"the Docker engine does not answer: {exc}") from exc
    await stream.send_all(
        f"POST /containers/{container}/attach?stdin=1&stdout=1&stderr=1&stream=1 HTTP/1.1\r\n"
        "Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = await stream.receive_some(4096)
        answer += more
        if not more or len(answer) > 65536:
            await trio.aclose_forcefully(stream)
            raise EngineUnavailable(f"the Docker engine does not attach to {container[:12]}")
    head, _, rest = answer.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1] not in (b"101", b"200"):
        await trio.aclose_forcefully(stream)
        raise EngineUnavailable(f"the Docker engine does not attach: {(head + rest)[:200]!r}")
    return AttachedStream(stream, bytes(rest))


class AttachedStream:
    """A container's attached stdio without a terminal: 8-byte frame heads, then the bytes.

    Source: Docker Engine API, "Attach to a container", stream format.
    """

    def __init__(self, stream: trio.abc.Stream, rest: bytes = b"") -> None:
        self._stream = stream
        self._demultiplexer = Demultiplexer()
        self._ready = self._demultiplexer.feed(rest)

    async def send_all(self, data: bytes) -> None:
        """Write to the guest's stdin."""
        await self._stream.send_all(data)

    async def receive(self) -> bytes:
        """Return what it wrote to its stdout; nothing at the end."""
        ready, self._ready = self._ready, b""
        while not ready:
            raw = await self._stream.receive_some(1 << 18)
            if not raw:
                return b""
            ready = self._demultiplexer.feed(bytes(raw))
        return ready

    def last_words(self) -> str:
        """Return the end of what it wrote to stderr, on one line."""
        return one_line(bytes(self._demultiplexer.stderr))

    async def aclose(self) -> None:
        """Hang up."""
        await trio.aclose_forcefully(self._stream)


class Demultiplexer:
    """Takes the frames of an attached stream apart, however they are cut.

    The heads are the engine's and not the guest's; after one that cannot be a head nothing can be
    told apart any more.

    Attributes:
        stderr: The last bytes of stderr, at most `LAST_WORDS_BYTES`.
    """

    def __init__(self) -> None:
        self.stderr = bytearray()
        self._head = b""
        self._kind = 0
        self._left_bytes = 0

    def feed(self, raw: bytes) -> bytes:
        """Return the bytes of stdout that are in this piece of the stream.

        Raises:
            BoxDied: These are no frames.
        """
        out: list[bytes] = []
        at = 0
        while at < len(raw):
            if not self._left_bytes:
                need = 8 - len(self._head)
                self._head += raw[at : at + need]
                at += need
                if len(self._head) == 8:
                    self._kind = self._head[0]
                    if self._kind not in (1, 2) or any(self._head[1:4]):
                        raise BoxDied(f"the engine sent {self._head!r}, which is no frame")
                    self._left_bytes = int.from_bytes(self._head[4:], "big")
                    self._head = b""
                continue
            piece = raw[at : at + self._left_bytes]
            at += len(piece)
            self._left_bytes -= len(piece)
            if self._kind == 2:
                self.stderr += piece
                del self.stderr[:-LAST_WORDS_BYTES]
            else:
                out.append(piece)
        return b"".join(out)


class PipeStream:
    """The pipes of a guest that is an ordinary process."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._stderr = bytearray()

    async def listen_for_last_words(self) -> None:
        """Read stderr to its end; run it in a task."""
        assert self._process.stderr is not None
        async for piece in self._process.stderr:
            self._stderr += piece
            del self._stderr[:-LAST_WORDS_BYTES]

    async def send_all(self, data: bytes) -> None:
        """Write to the guest's stdin."""
        await self._stdin.send_all(data)

    async def receive(self) -> bytes:
        """Return what it wrote to its stdout; nothing at the end."""
        return bytes(await self._stdout.receive_some(1 << 18))

    def last_words(self) -> str:
        """Return the end of what it wrote to stderr, on one line."""
        return one_line(bytes(self._stderr))

    async def aclose(self) -> None:
        """Hang up."""
        await self._stdin.aclose()


def one_line(words: bytes) -> str:
    """Return the last line that says something, without what a terminal would obey."""
    lines = [line.strip() for line in words.decode("utf-8", "replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return "".join(sign if sign.isprintable() else "�" for sign in last)[:400]
