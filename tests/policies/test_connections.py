"""HTTP to a provider, against a server that says exactly the bytes it is told to."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from monastery.policies.connections import Answer, Broken, Connections
from monastery.runtime.errors import BadInput
from tests.executors.certificates import Authority

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"content-length: 2\r\n\r\nhi"


@dataclass
class Played:
    """A server that answers each request with the next of its pieces, and notes what it is asked.

    Attributes:
        hangs_up: After how many answers on a connection it closes that.
        asked: The bytes of each request.
        connections: How many were opened.
    """

    says: list[Sequence[bytes]]
    hangs_up: int = 99
    asked: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: trio.Event = field(default_factory=trio.Event)

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        async with stream:
            for _ in range(self.hangs_up):
                request = b""
                while not request.endswith(b"\r\n\r\nbody"):
                    more = await stream.receive_some(4096)
                    if not more:
                        return
                    request += more
                self.asked.append(request)
                for piece in self.says.pop(0):
                    await stream.send_all(piece)
        self.closed.set()


@asynccontextmanager
async def served(
    *says: Sequence[bytes], hangs_up: int = 99, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Played, Connections]]:
    """Serve these answers, each in pieces; and connections to there."""
    played = Played(list(says), hangs_up)

    async def handle(stream: trio.SocketStream) -> None:
        inner = stream if context is None else trio.SSLStream(stream, context, server_side=True)
        try:
            await played.serve(inner)
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        port = listener.socket.getsockname()[1]
        scheme, host = ("http", "127.0.0.1") if context is None else ("https", "localhost")
        connections = Connections(f"{scheme}://{host}:{port}/base/")
        try:
            yield played, connections
        finally:
            await connections.aclose()
            nursery.cancel_scope.cancel()


async def post(connections: Connections) -> Answer:
    """Ask once."""
    return await connections.post("/v1/x", {"x-key": "k"}, b"body")


ANSWERS = {
    "by its length": [WHOLE],
    "byte by byte": [bytes([byte]) for byte in WHOLE],
    "in chunks": [
        OK + b"Transfer-Encoding: Chunked\r\n\r\n1\r\nh\r\n01;a=b\r\ni\r\n0\r\nx: y\r\n\r\n"
    ],
    "in chunks that are cut": [
        OK + b"transfer-encoding: chunked\r\n\r\n2",
        b"\r",
        b"\nh",
        b"i\r",
        b"\n0\r\n\r",
        b"\n",
    ],
    "after it said that it goes on": [b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE],
    "without a reason": [b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\nhi"],
}


@pytest.mark.parametrize("how", ANSWERS)
async def test_an_answer_is_read_however_it_comes(how: str) -> None:
    """Whole, and the connection is used for the next request."""
    came: list[int] = []
    async with served(ANSWERS[how], [WHOLE]) as (played, connections):
        answer = await connections.post("/v1/x", {"x-key": "k"}, b"body", came=came.append)
        assert (answer.status, answer.body, sum(came)) == (200, b"hi", 2)
        assert (await post(connections)).body == b"hi"
        assert played.connections == 1
        host = connections._authority
        head = f"POST /base/v1/x HTTP/1.1\r\nHost: {host}\r\nx-key: k\r\nContent-Length: 4\r\n\r\n"
        assert played.asked == [head.encode() + b"body"] * 2


LAST = {
    "it says so": [OK + b"content-length: 2\r\nConnection: Close\r\n\r\nhi"],
    "it is of an old kind": [b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi"],
    "more came than the answer": [WHOLE + b"HTTP/1.1 200 OK\r\n"],
}


@pytest.mark.parametrize("why", LAST)
async def test_a_connection_that_may_be_at_its_end_is_not_used_again(why: str) -> None:
    """What comes late on it must not be taken for the next answer."""
    async with served(LAST[why], [WHOLE]) as (played, connections):
        assert (await post(connections)).body == b"hi"
        assert (await post(connections)).body == b"hi"
        assert played.connections == 2


async def test_an_answer_may_last_to_the_end_of_its_connection() -> None:
    """When neither length nor chunks tell where it ends."""
    async with served([OK + b"\r\nhi"], [WHOLE], hangs_up=1) as (played, connections):
        assert (await post(connections)).body == b"hi"
        assert (await post(connections)).body == b"hi"
        assert played.connections == 2


async def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    """Nor one that was not used for long: its server may be closing it just now."""
    async with served([WHOLE], [WHOLE], hangs_up=1) as (played, connections):
        await post(connections)
        await played.closed.wait()
        while not connections._idle[0].socket.is_readable():
            await trio.lowlevel.checkpoint()
        await post(connections)
        assert played.connections == 2
    async with served([WHOLE], [WHOLE], [WHOLE]) as (played, connections):
        await post(connections)
        connections._idle[0].idle_since -= 6.0
        await post(connections)
        assert played.connections == 2
        assert len(connections._idle) == 1


BROKEN = {
    "another protocol": [b"SSH-2.0-x\r\n\r\n"],
    "no status": [b"HTTP/1.1 OK\r\n\r\n"],
    "a folded header": [OK + b"a: b\r\n c\r\ncontent-length: 0\r\n\r\n"],
    "a header without a name": [OK + b": b\r\n\r\n"],
    "two lengths": [OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nhi!"],
    "a negative length": [OK + b"content-length: -2\r\n\r\nhi"],
    "packed": [OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
    "a chunk without a size": [OK + b"transfer-encoding: chunked\r\n\r\nx\r\n"],
    "a chunk longer than it says": [OK + b"transfer-encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n"],
    "a head without end": [OK + b"a: " + b"b" * 200_000],
    "half an answer": [OK + b"content-length: 3\r\n\r\nhi"],
    "nothing": [b""],
}


@pytest.mark.parametrize("how", BROKEN)
async def test_what_is_no_answer_is_broken_and_said_in_a_few_words(how: str) -> None:
    """And its connection is not used again."""
    async with served(BROKEN[how], [WHOLE], hangs_up=1) as (played, connections):
        with pytest.raises(Broken, match=r"^it(s answer is| hung)"):
            await post(connections)
        assert (await post(connections)).body == b"hi"
        assert played.connections == 2


async def test_who_reads_the_answer_may_break_it_off() -> None:
    """At the byte that is too much."""

    def came(size_bytes: int) -> None:
        if size_bytes > 1:
            raise ValueError("too much")

    async with served([WHOLE], [WHOLE]) as (played, connections):
        with pytest.raises(ValueError, match="too much"):
            await connections.post("/v1/x", {}, b"body", came=came)
        assert (await post(connections)).body == b"hi"
        assert played.connections == 2


async def test_over_tls_the_name_and_the_authority_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that this machine does not trust is not spoken to; one that it does is."""
    authority = Authority.new(tmp_path)
    async with served([WHOLE], context=authority.server_context("localhost")) as (_, connections):
        with pytest.raises(Broken, match="over TLS"):
            await post(connections)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    async with served([WHOLE], [WHOLE], context=authority.server_context("localhost")) as (
        played,
        some,
    ):
        assert (await post(some)).body == b"hi"
        assert (await post(some)).body == b"hi"
        assert played.connections == 1
    async with served([WHOLE], context=authority.server_context("other.example")) as (
        _,
        connections,
    ):
        with pytest.raises(Broken, match="over TLS"):
            await post(connections)


@pytest.mark.parametrize(
    "url", ["http://", "https://h:99999", "http://h:x/", "http://h\x01/", "http://[::1"]
)
def test_an_address_that_is_none_is_bad_input(url: str) -> None:
    """It is said before the run, in one line."""
    with pytest.raises(BadInput, match="the address"):
        Connections(url)
