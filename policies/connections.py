"""HTTP/1.1 to one server: a POST that is sent whole, and its answer, read whole and within bounds.

By hand, on trio: what a policy needs of HTTP are these lines, and a general client's pool and state
machine took half of a model call's processor time. An answer is taken only in the ways that RFC
9112 has for one: by its length, in chunks, or to the end of the connection. A connection is used
again when its answer came whole and nothing after it.
"""

import re
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import certifi
import trio

from monastery.runtime.errors import BadInput

IDLE_SECONDS = 5.0
"""How long a connection is kept for the next request."""

_HEAD_BYTES = 1 << 16
_READ_BYTES = 1 << 16
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_LENGTH = re.compile(rb"\d{1,15}")


class Broken(Exception):
    """No answer came; the text says in a few words why, and nothing about this machine."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; names of headers in lower case, of two of a name the last."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class Connections:
    """Connections to one server, kept for some seconds after their last use.

    Args:
        url: Its address; a path in it stands before the path of every request.

    Raises:
        BadInput: It cannot be one.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or not url.isascii() or not url.isprintable():
            raise BadInput(f"policy: the address {url!r} is none; write it as https://HOST/v1")
        is_tls = parts.scheme == "https"
        self._host, self._port = host, port or (443 if is_tls else 80)
        self._path, self._authority = parts.path.rstrip("/"), parts.netloc
        self._tls = _trusting() if is_tls else None
        self._idle = deque[_Connection]()

    async def post(
        self,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        came: Callable[[int], None] = lambda size_bytes: None,
    ) -> Answer:
        """Send a request and return its answer; the caller sets the deadline.

        Args:
            path: Below that of the address.
            headers: Besides Host and Content-Length.
            came: Told how many bytes of the body came each time some did; raises to break it off.

        Raises:
            Broken: No answer came, or none that is HTTP/1.1.
        """
        lines = [f"POST {self._path}{path} HTTP/1.1", f"Host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        connection = self._kept() or await self._connect()
        is_reusable = False
        try:
            await connection.send("\r\n".join(lines).encode("ascii") + body)
            answer, is_reusable = await connection.answer(came)
        finally:
            if is_reusable:
                self._keep(connection)
            else:
                await trio.aclose_forcefully(connection.stream)
        return answer

    async def aclose(self) -> None:
        """Close those that are kept."""
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop().stream)

    def _keep(self, connection: "_Connection") -> None:
        """Keep a connection, and let go of those that were kept for too long."""
        connection.idle_since = trio.current_time()
        self._idle.append(connection)
        while self._idle[0].idle_since < connection.idle_since - IDLE_SECONDS:
            self._idle.popleft().socket.close()

    def _kept(self) -> "_Connection | None":
        """Return a kept connection that is still open, the one used last."""
        oldest = trio.current_time() - IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            # What can be read of one that nothing was asked on is its end, or nothing for us.
            if connection.idle_since >= oldest and not connection.socket.is_readable():
                return connection
            connection.socket.close()
        return None

    async def _connect(self) -> "_Connection":
        try:
            plain = await trio.open_tcp_stream(self._host, self._port)
        except OSError as exc:
            raise Broken("it takes no connection") from exc
        if self._tls is None:
            return _Connection(plain, plain.socket)
        stream = trio.SSLStream(plain, self._tls, server_hostname=self._host, https_compatible=True)
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as exc:
            await trio.aclose_forcefully(plain)
            raise Broken("no connection over TLS; is its certificate good?") from exc
        except BaseException:
            await trio.aclose_forcefully(plain)
            raise
        return _Connection(stream, plain.socket)


class _Connection:
    """One connection, and what came over it and was not looked at yet."""

    def __init__(self, stream: trio.abc.Stream, socket: trio.socket.SocketType) -> None:
        self.stream, self.socket = stream, socket
        self.idle_since = 0.0
        self._came = bytearray()

    async def send(self, data: bytes) -> None:
        """Send a whole request."""
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError as exc:
            raise Broken("it hung up") from exc

    async def answer(self, came: Callable[[int], None]) -> tuple[Answer, bool]:
        """Return the answer, and whether the connection can be used again."""
        status, fields, stays = await self._head()
        while 100 <= status < 200:  # it may say first that it goes on
            status, fields, stays = await self._head()
        if b"transfer-encoding" in fields:
            if fields[b"transfer-encoding"].lower() != b"chunked":
                raise Broken("its answer is written in a way that was not asked for")
            stays = stays and b"content-length" not in fields
            body = await self._chunks(came)
        elif status in (204, 304):
            body = b""
        elif b"content-length" in fields:
            if not _LENGTH.fullmatch(fields[b"content-length"]):
                raise Broken("its answer is no HTTP/1.1")
            body = await self._exactly(int(fields[b"content-length"]), came)
        else:
            stays, body = False, await self._to_the_end(came)
        return Answer(status, fields, body), stays and not self._came

    async def _head(self) -> tuple[int, dict[bytes, bytes], bool]:
        """Return status and headers, and whether the server keeps the connection."""
        first, *lines = (await self._until(b"\r\n\r\n")).split(b"\r\n")
        found = _STATUS.fullmatch(first)
        fields: dict[bytes, bytes] = {}
        for line in lines:
            field = _FIELD.fullmatch(line)
            name = field[1].lower() if field else b""
            again = name in (b"content-length", b"transfer-encoding") and name in fields
            if field is None or again:
                raise Broken("its answer is no HTTP/1.1")
            fields[name] = field[2]
        if found is None:
            raise Broken("its answer is no HTTP/1.1")
        stays = found[1] == b"1" and b"close" not in fields.get(b"connection", b"").lower()
        return int(found[2]), fields, stays

    async def _chunks(self, came: Callable[[int], None]) -> bytes:
        body = bytearray()
        while True:
            found = _SIZE.fullmatch(await self._until(b"\r\n"))
            if found is None:
                raise Broken("its answer is no HTTP/1.1")
            size = int(found[1], 16)
            if not size:
                while await self._until(b"\r\n"):
                    pass  # trailers
                return bytes(body)
            body += await self._exactly(size, came)
            if await self._until(b"\r\n"):
                raise Broken("its answer is no HTTP/1.1")

    async def _exactly(self, size: int, came: Callable[[int], None]) -> bytes:
        """Return so many bytes of the body."""
        came(min(size, len(self._came)))
        while len(self._came) < size:
            before = len(self._came)
            await self._more()
            came(min(size, len(self._came)) - before)
        body = bytes(self._came[:size])
        del self._came[:size]
        return body

    async def _to_the_end(self, came: Callable[[int], None]) -> bytes:
        came(len(self._came))
        while data := await self._receive():
            self._came += data
            came(len(data))
        body = bytes(self._came)
        self._came.clear()
        return body

    async def _until(self, end: bytes) -> bytes:
        """Return what comes before an end that is not far."""
        at = self._came.find(end)
        while at < 0:
            if len(self._came) > _HEAD_BYTES:
                raise Broken("its answer is no HTTP/1.1")
            before = max(0, len(self._came) - len(end))
            await self._more()
            at = self._came.find(end, before)
        line = bytes(self._came[:at])
        del self._came[: at + len(end)]
        return line

    async def _more(self) -> None:
        data = await self._receive()
        if not data:
            raise Broken("it hung up")
        self._came += data

    async def _receive(self) -> bytes:
        try:
            return bytes(await self.stream.receive_some(_READ_BYTES))
        except trio.BrokenResourceError as exc:
            raise Broken("it hung up") from exc


def _trusting() -> ssl.SSLContext:
    """Return what trusts this machine's authorities, and those that browsers trust."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
