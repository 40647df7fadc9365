"""One HTTP request to addresses that were looked at, and what came back, bounded.

httpcore, on which httpx stands: its network backend can be ours, so that the connection goes to a
very address that was looked at, while Host, SNI and the certificate's name stay those of the URL
(in httpx the address would take the URL's place, and urllib3 in a thread cannot be timed as a
whole). And it sends what it is given: no redirect is followed, no proxy of the environment is
used, no cookie kept, no header added beside Host and Content-Length, no body unpacked.
"""

import ssl
from collections.abc import AsyncIterable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore
import trio

from monastery.runtime.errors import MonasteryError
from monastery.runtime.executors.http_address import Address, Url

_FAILED = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
)


class NotSent(Exception):
    """No byte of the request reached the server; the text says why."""


class PerhapsDone(MonasteryError):
    """The request was sent, and the server did not say what came of it."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered.

    Attributes:
        headers: Names in lower case, in the server's order.
        body: The first bytes of it.
        truncated: Whether bytes of the body are missing.
    """

    status: int
    headers: tuple[tuple[str, bytes], ...]
    body: bytes
    truncated: bool


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, in the order of the resolver's preference.

    Raises:
        OSError: It has none.
    """
    found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def send(
    method: str,
    where: Url,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    addresses: Sequence[Address],
    context: ssl.SSLContext | None,
    timeout_seconds: float,
    max_bytes: int,
) -> Response:
    """Send one request to the first address that takes the connection; return the answer.

    Args:
        timeout_seconds: For everything: connecting, sending, and the last byte of the answer. What
            came of the body until then is kept.
        max_bytes: How much of the answer's body is kept.

    Raises:
        NotSent: For certain.
        PerhapsDone: It was sent, and no answer came.
    """
    backend = _Pinned([str(one) for one in addresses], timeout_seconds / len(addresses))
    kept = bytearray()
    response: httpcore.Response | None = None
    truncated = True
    whole = [
        (b"Host", where.authority.encode()),
        *((name.encode("ascii"), value.encode("ascii")) for name, value in headers),
    ]
    if body or method not in {"GET", "HEAD", "OPTIONS", "DELETE"}:
        whole.append((b"Content-Length", str(len(body)).encode()))
    target = httpcore.URL(
        scheme=where.scheme, host=where.host, port=where.port, target=where.target.encode()
    )
    why: object = f"no answer within {timeout_seconds:g} s"
    try:
        with trio.move_on_after(timeout_seconds):
            async with (
                httpcore.AsyncConnectionPool(
                    ssl_context=context, network_backend=backend, http1=True, http2=False
                ) as pool,
                pool.stream(method.encode(), target, headers=whole, content=body) as response,
            ):
                assert isinstance(response.stream, AsyncIterable)
                seen_bytes = 0
                async for chunk in response.stream:
                    kept += chunk[: max_bytes - len(kept)]
                    seen_bytes += len(chunk)
                    backend.enough = seen_bytes > max_bytes
                truncated = backend.enough
    except _FAILED as exc:
        why = exc if str(exc) else type(exc).__name__
    if response is None:
        told = " ".join(f"{where.authority} at {backend.address}: {why}".split())[:300]
        if not backend.open:
            raise NotSent(told)
        raise PerhapsDone(f"the request was sent to {told}; nobody knows what came of it")
    return Response(
        response.status,
        tuple((name.decode("latin-1").lower(), value) for name, value in response.headers),
        bytes(kept),
        truncated,
    )


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to the first of some addresses that answers, whatever host is asked for."""

    def __init__(self, addresses: Sequence[str], seconds_each: float) -> None:
        self._addresses = addresses
        self._seconds_each = seconds_each
        self._inner = httpcore.TrioBackend()
        self.address = addresses[0]
        """The one that was tried last."""
        self.open = False
        """Whether a byte of the request may have been sent."""
        self.enough = False
        """Whether nothing more is to be read: an error unwinds what httpcore leaves half read."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 — the interface's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        for address in self._addresses:
            self.address = address
            try:
                stream = await self._inner.connect_tcp(address, port, self._seconds_each)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if address == self._addresses[-1]:
                    raise
            else:
                return _Watched(stream, self)
        raise AssertionError("there is an address")


class _Watched(httpcore.AsyncNetworkStream):
    """Notes when a request's first byte is about to be written; a handshake of TLS is none."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, backend: _Pinned) -> None:
        self._stream = stream
        self._backend = backend

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if self._backend.enough:
            raise httpcore.ReadError("the rest is not wanted")
        return await self._stream.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._backend.open = True
        await self._stream.write(buffer)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 — the interface's
    ) -> httpcore.AsyncNetworkStream:
        inner = await self._stream.start_tls(ssl_context, server_hostname)
        return _Watched(inner, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
