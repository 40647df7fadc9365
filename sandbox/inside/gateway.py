"""The model's usual API and the cached web, served in the box on loopback as calls to the runtime.

A process of its own, of the agent's user and with no rights of its own: what reads HTTP from a
stranger should not be what holds the box's only stream. The guest keeps the listening socket, and
starts this file with it as descriptor 3 when somebody first connects, and again should it die. It
trusts nobody and protects nothing: the wall is outside, where the agent cannot reach it.

    gateway.py SOCKET BODY_BYTES AT_ONCE

SOCKET is the guest's. More than AT_ONCE requests at a time wait here for their turn, in the order
in which they came; one whose client hangs up while it waits is never made.
"""

# pathlib would make every start later by the time of its import:
# ruff: noqa: PTH120

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Generator
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True

import gateway_events as events  # type: ignore[import-not-found]  # noqa: E402 - lies beside this file
import gateway_web as web  # type: ignore[import-not-found]  # noqa: E402 - the same

HEAD_BYTES = 1 << 16
FULL_SECONDS = 0.05
ROUTES = {
    "/chat/completions": "openai.chat",
    "/responses": "openai.responses",
    "/messages": "anthropic.messages",
    "/messages/count_tokens": "anthropic.count_tokens",
}
OK = b'{"ok":{"response":', b',"status":200}}\n'
"""Around a response as the runtime writes it, sorted: what is inside goes on as it is."""

REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 413: "Content Too Large"}


class Fault(Exception):
    """A request that cannot be passed on: its status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Request:
    """One HTTP request."""

    def __init__(self, method: str, target: str, headers: dict[str, str]) -> None:
        self.method, self.headers = method, headers
        path, _, self.query = target.partition("?")
        path = path.rstrip("/")
        self.path = path[3:] if path.startswith("/v1/") else path
        self.api = ROUTES.get(self.path, "")
        self.body = b""

    @property
    def is_anthropic(self) -> bool:
        """Whether errors must look like Anthropic's."""
        return self.api.startswith("anthropic") or "anthropic-version" in self.headers


class Client(asyncio.Protocol):
    """One connection from a client: a request at a time, answered before the next is read."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server = server
        self.inbox = bytearray()
        self.request: Request | None = None
        self.reading = self.read()
        self.task: asyncio.Task[None] | None = None
        self.full: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Go on reading the request that is being read."""
        self.inbox += data
        if self.task is None:
            self.go_on()
        elif len(self.inbox) > HEAD_BYTES:  # it sends much before it was answered
            self.transport.pause_reading()

    def go_on(self) -> None:
        """Read as far as it goes; a request that is whole is answered in a task."""
        try:
            next(self.reading)
        except StopIteration as done:
            self.task = asyncio.get_running_loop().create_task(self.serve(done.value))
        except Fault as fault:
            self.transport.write(told(fault, self.request, close=True))
            self.transport.close()

    async def serve(self, request: Request) -> None:
        """Answer a request, and begin with the next."""
        self.transport.write(await self.server.answer(request))
        if self.full is not None:
            await self.full
        self.task, self.request, self.reading = None, None, self.read()
        if request.headers.get("connection", "").lower() == "close":
            self.transport.close()
        else:
            self.transport.resume_reading()
            self.go_on()

    def eof_received(self) -> None:
        """Take the end of what it sends for its end; say what is missing of a request."""
        if self.task is None and (self.inbox or self.request):
            fault = Fault(400, "the request ended before it was whole")
            self.transport.write(told(fault, self.request, close=True))

    def connection_lost(self, error: Exception | None) -> None:
        """Drop the call that nobody waits for any more."""
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        """Let who does not read its answers make no further request."""
        self.full = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Go on."""
        if self.full is not None:
            self.full.set_result(None)
            self.full = None

    def read(self) -> Generator[None, None, Request]:
        """Read one request; yields where more must come first."""
        head = yield from self.until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, _ = first.split(" ")
            pairs = [line.split(":", 1) for line in lines]
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            length = int(headers.get("content-length", "0"))
        except ValueError as error:
            raise Fault(400, "the request's head is not HTTP/1.1") from error
        request = self.request = Request(method, target, headers)
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            request.body = yield from self.chunks()
        elif not 0 <= length <= self.server.body_bytes:
            why = f"the body has {length} bytes, more than {self.server.body_bytes}"
            raise Fault(413, why)
        else:
            request.body = yield from self.exactly(length)
        return request

    def chunks(self) -> Generator[None, None, bytes]:
        """Read a body whose length is told in parts."""
        body, most = bytearray(), self.server.body_bytes
        while True:
            line = yield from self.until(b"\r\n")
            try:
                size = int(line.partition(b";")[0], 16)
            except ValueError as error:
                raise Fault(400, "a chunk has no size") from error
            if size < 0 or len(body) + size > most:
                raise Fault(413, f"the body has more than {most} bytes")
            if size == 0:
                while (yield from self.until(b"\r\n")):
                    pass  # trailers
                return bytes(body)
            body += yield from self.exactly(size)
            yield from self.exactly(2)

    def until(self, end: bytes) -> Generator[None, None, bytes]:
        """Read to an end that is not far, and drop it."""
        while (at := self.inbox.find(end)) < 0:
            if len(self.inbox) > HEAD_BYTES:
                break
            yield
        if not 0 <= at <= HEAD_BYTES:
            raise Fault(431, f"the head has more than {HEAD_BYTES} bytes")
        found = bytes(self.inbox[:at])
        del self.inbox[: at + len(end)]
        return found

    def exactly(self, size: int) -> Generator[None, None, bytes]:
        """Read so many bytes."""
        while len(self.inbox) < size:
            yield
        found = bytes(self.inbox[:size])
        del self.inbox[:size]
        return found


class Line(asyncio.Protocol):
    """A connection to the guest, for one call after the other."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep a part of the reply, which is one line."""
        self.parts.append(data)
        if data.endswith(b"\n") and not self.reply.done():
            self.reply.set_result(b"".join(self.parts))

    def connection_lost(self, error: Exception | None) -> None:
        """Answer with nothing: the guest has no room for an asker."""
        if not self.reply.done():
            self.reply.set_result(b"")

    async def ask(self, sent: bytes) -> bytes:
        """Hand a call to the guest and return its reply; an asker that goes away hangs up."""
        self.parts = []
        self.reply = asyncio.get_running_loop().create_future()
        self.transport.write(sent)
        try:
            return await self.reply
        except asyncio.CancelledError:
            self.transport.abort()
            raise


class Server:
    """Turns requests into model calls.

    Args:
        path: The guest's socket.
        body_bytes: The longest request.
        at_once: How many calls may be made at a time.
    """

    def __init__(self, path: str, body_bytes: int, at_once: int) -> None:
        self.path = path
        self.body_bytes = body_bytes
        self.turn = asyncio.Semaphore(at_once)
        self.idle: list[Line] = []

    async def answer(self, request: Request) -> bytes:
        """Return the whole response to a request."""
        try:
            return await self.call(request)
        except Fault as fault:
            return told(fault, request)
        except Exception as error:  # noqa: BLE001 - the client is told, and the others live on
            return told(Fault(500, f"the gateway broke: {error!r}"), request)

    async def call(self, request: Request) -> bytes:
        """Make the call that a request means."""
        if request.method == "GET" and request.path.startswith("/web/"):
            return await self.fetch(request)
        if request.method == "GET" and (request.path + "/").startswith("/models/"):
            return await self.models(request)
        if request.method != "POST" or not request.api:
            raise Fault(404, f"nothing is served at {request.method} {request.path[:80]!r} here")
        try:
            asked = json.loads(request.body.decode(), parse_constant=no_constant)
            if not isinstance(asked, dict):
                raise ValueError("the body must be a JSON object")
        except (ValueError, RecursionError) as error:
            raise Fault(400, f"not acceptable JSON: {error}") from error
        body = request.body
        # The answer comes whole, so that it is recorded before the agent has any of it.
        streams, options = asked.pop("stream", None), asked.pop("stream_options", None)
        if streams is not None or options is not None:
            body = json.dumps(asked).encode()
        reply = await self.ask("model", b'{"api":"%s","request":%s}' % (request.api.encode(), body))
        if streams is not True and reply.startswith(OK[0]) and reply.endswith(OK[1]):
            return response(200, "application/json", reply[len(OK[0]) : -len(OK[1])])
        status, answer = said(reply)
        if status != 200 or streams is not True:
            return whole(status, answer)
        usage = isinstance(options, dict) and options.get("include_usage") is True
        return stream(events.of(request.api, answer, usage=usage))

    async def models(self, request: Request) -> bytes:
        """Return which models there are, in a shape that both kinds of clients read."""
        status, answer = said(await self.ask("model", b'{"api":"models","request":{}}'))
        if status != 200:
            return whole(status, answer)
        found = [events.model(name) for name in answer["models"]]
        name = request.path[len("/models/") :]
        if not name:
            ends = {"first_id": None, "last_id": None}
            if found:
                ends = {"first_id": found[0]["id"], "last_id": found[-1]["id"]}
            return whole(200, {"object": "list", "data": found, "has_more": False, **ends})
        for one in found:
            if one["id"] == name:
                return whole(200, one)
        raise Fault(404, f"there is no model {name[:80]!r} here")

    async def fetch(self, request: Request) -> bytes:
        """Search the cached web, or read a page of it."""
        try:
            asked = web.asked(request.path, request.query)
        except ValueError as error:
            raise Fault(400, str(error)) from error
        answer = json.loads(await self.ask("web", json.dumps(asked).encode()))["ok"]
        return whole(web.status(answer), answer)

    async def ask(self, what: str, body: bytes) -> bytes:
        """Make a call, when it is its turn; return the guest's reply."""
        head = b'{"what":"%s","sizes":[%d],"stays":true}\n' % (what.encode(), len(body))
        while True:
            async with self.turn:
                reply = await self.ask_once(head + body)
            if reply.startswith(b'{"ok":'):
                return reply
            refused = json.loads(reply or b'{"busy":true}')
            if not refused.get("busy"):
                raise Fault(400, refused["error"])
            # Others of the box have calls open too; the guest says when there is room again.
            await asyncio.sleep(FULL_SECONDS)

    async def ask_once(self, sent: bytes) -> bytes:
        """Hand a call to the guest; nothing comes back when it has no room for an asker."""
        line = self.idle.pop() if self.idle else None
        if line is None or line.transport.is_closing():
            loop = asyncio.get_running_loop()
            try:
                _, line = await loop.create_unix_connection(Line, self.path)
            except OSError:
                return b""
        reply = await line.ask(sent)
        if reply.startswith(b'{"ok":'):  # after any other it lets us go
            self.idle.append(line)
        else:
            line.transport.abort()
        return reply


def no_constant(name: str) -> None:
    """Refuse what is no JSON, though Python reads it."""
    raise ValueError(f"{name} is not a number")


def said(reply: bytes) -> tuple[int, Any]:
    """Return the status and the response that are in a reply."""
    answer = json.loads(reply)["ok"]
    status = answer.get("status", 500 if "error" in answer else 200)
    return status, answer.get("response", answer)


def told(fault: Fault, request: Request | None, *, close: bool = False) -> bytes:
    """Return an error as the client of this API expects it."""
    anthropic = request is not None and request.is_anthropic
    return whole(fault.status, events.error(str(fault), anthropic=anthropic), close=close)


def whole(status: int, body: Any, *, close: bool = False) -> bytes:
    """Return a response of JSON."""
    return response(status, "application/json", json.dumps(body).encode(), close=close)


def stream(sent: list[bytes]) -> bytes:
    """Return a response of server-sent events."""
    return response(200, "text/event-stream; charset=utf-8", b"".join(sent))


def response(status: int, kind: str, body: bytes, *, close: bool = False) -> bytes:
    """Return a response's bytes."""
    # What could be tried again was, outside, with patience; clients that ask are told not to.
    retry = "" if status == 200 else "x-should-retry: false\r\n"
    end = "connection: close\r\n" if close else ""
    return (
        f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\n{retry}{end}\r\n"
    ).encode() + body


async def main(path: str, body_bytes: int, at_once: int) -> None:
    """Serve until we are ended."""
    server, loop = Server(path, body_bytes, at_once), asyncio.get_running_loop()
    door = socket.socket(fileno=3)
    listening = await loop.create_server(lambda: Client(server), sock=door, backlog=128)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
