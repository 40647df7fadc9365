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
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 413: "Content Too Large"}


class Fault(Exception):
    """A request that cannot be passed on: its status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Inbox(asyncio.StreamReader):
    """What a client sends; tells when it hung up, though nobody is reading."""

    def __init__(self) -> None:
        super().__init__(limit=HEAD_BYTES)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        """Note that it will send no more."""
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        """Note that the connection broke."""
        super().set_exception(exc)
        self.gone.set()


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

    async def serve(self, inbox: Any, writer: asyncio.StreamWriter) -> None:
        """Answer what comes over one connection."""
        request = None
        try:
            while True:
                request = None
                request = await self.read(inbox, writer)
                if request is None:
                    break
                sent = await self.answer_or_hang_up(request, inbox)
                if sent is None:
                    break
                writer.write(sent)
                await writer.drain()
                if request.headers.get("connection", "").lower() == "close":
                    break
        except Fault as fault:
            writer.write(told(fault, request, close=True))
        except (OSError, EOFError, ValueError):
            pass
        finally:
            writer.close()

    async def read(self, inbox: Any, writer: asyncio.StreamWriter) -> Request | None:
        """Read one request; None when there is none left."""
        try:
            head = await inbox.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Fault(400, "the request ended in its head") from error
            return None
        except asyncio.LimitOverrunError as error:
            raise Fault(431, f"the head has more than {HEAD_BYTES} bytes") from error
        first, *lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, _ = first.split(" ")
            pairs = [line.split(":", 1) for line in lines if line]
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            length = int(headers.get("content-length", "0"))
        except ValueError as error:
            raise Fault(400, "the request's head is not HTTP/1.1") from error
        request = Request(method, target, headers)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            request.body = await self.read_chunks(inbox)
        elif not 0 <= length <= self.body_bytes:
            raise Fault(413, f"the body has {length} bytes, more than {self.body_bytes}")
        else:
            request.body = await inbox.readexactly(length)
        return request

    async def read_chunks(self, inbox: Any) -> bytes:
        """Read a body whose length is told in parts."""
        body = bytearray()
        while True:
            try:
                size = int((await inbox.readuntil(b"\r\n")).partition(b";")[0], 16)
            except ValueError as error:
                raise Fault(400, "a chunk has no size") from error
            if size < 0 or len(body) + size > self.body_bytes:
                raise Fault(413, f"the body has more than {self.body_bytes} bytes")
            if size == 0:
                while await inbox.readuntil(b"\r\n") != b"\r\n":
                    pass  # trailers
                return bytes(body)
            body += await inbox.readexactly(size)
            await inbox.readexactly(2)

    async def answer_or_hang_up(self, request: Request, inbox: Any) -> bytes | None:
        """Return the response; None when the client went away before it was there."""
        answer = asyncio.ensure_future(self.answer(request))
        gone = asyncio.ensure_future(inbox.gone.wait())
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else None
        finally:
            answer.cancel()
            gone.cancel()

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
            asked = json.loads(request.body.decode())
            if not isinstance(asked, dict):
                raise ValueError("the body must be a JSON object")
            # The answer comes whole, so that it is recorded before the agent has any of it.
            streams, options = asked.pop("stream", False), asked.pop("stream_options", None)
            body = json.dumps({"api": request.api, "request": asked}, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise Fault(400, f"not acceptable JSON: {error}") from error
        status, response = await self.ask_model(body)
        if status != 200 or streams is not True:
            return whole(status, response)
        usage = isinstance(options, dict) and options.get("include_usage") is True
        return stream(events.of(request.api, response, usage=usage))

    async def models(self, request: Request) -> bytes:
        """Return which models there are, in a shape that both kinds of clients read."""
        status, response = await self.ask_model(b'{"api":"models","request":{}}')
        if status != 200:
            return whole(status, response)
        found = [events.model(name) for name in response["models"]]
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
        answer = await self.ask("web", json.dumps(asked).encode())
        return whole(web.status(answer), answer)

    async def ask_model(self, body: bytes) -> tuple[int, Any]:
        """Make a model call; return the status and the response."""
        answer = await self.ask("model", body)
        status = answer.get("status", 500 if "error" in answer else 200)
        return status, answer.get("response", answer)

    async def ask(self, what: str, body: bytes) -> Any:
        """Make a call, when it is its turn; return the answer."""
        while True:
            async with self.turn:
                reply = await self.ask_once(what, body)
            if reply and not reply.get("busy"):
                break
            # Others of the box have calls open too; the guest says when there is room again.
            await asyncio.sleep(FULL_SECONDS)
        if "error" in reply:
            raise Fault(400, reply["error"])
        return reply["ok"]

    async def ask_once(self, what: str, body: bytes) -> dict[str, Any]:
        """Hand a call to the guest; nothing comes back when it has no room for an asker."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write(json.dumps({"what": what, "sizes": [len(body)]}).encode() + b"\n")
            writer.write(body)
            data = await reader.read()
        except ConnectionError:
            return {}
        finally:
            writer.close()
        reply: dict[str, Any] = json.loads(data) if data else {}
        return reply


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
    listening = await loop.create_server(
        lambda: asyncio.StreamReaderProtocol(Inbox(), server.serve), sock=door, backlog=128
    )
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
