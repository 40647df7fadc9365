"""An application asked as a server asks it: any method, any path, streams to their first news."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import trio

Application = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Told:
    """An answer; `all` is every byte of it that a client could read."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def all(self) -> str:
        """Headers and body as one text."""
        lines = [name + b": " + value for name, value in self.headers]
        return b"\n".join((*lines, self.body)).decode(errors="replace")


@asynccontextmanager
async def alive(app: Application) -> AsyncIterator[None]:
    """Start what an application does beside answering; end it with the block."""
    to_app, from_test = trio.open_memory_channel[dict[str, Any]](1)
    to_test, from_app = trio.open_memory_channel[dict[str, Any]](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app, {"type": "lifespan"}, from_test.receive, to_test.send)
        await to_app.send({"type": "lifespan.startup"})
        assert (await from_app.receive())["type"] == "lifespan.startup.complete"
        yield
        await to_app.send({"type": "lifespan.shutdown"})


async def ask(
    app: Application,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    news: int = 1,
    heard: Callable[[], None] = lambda: None,
) -> Told:
    """Ask once.

    Args:
        news: How many messages of an answer without an end are read before the client hangs up.
        heard: Called when the first of them is there.
    """
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": quote(path).encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("desk.test", 8321),
    }
    sent: list[dict[str, Any]] = []
    asked, enough = [body], trio.Event()

    async def receive() -> dict[str, Any]:
        if asked:
            return {"type": "http.request", "body": asked.pop(), "more_body": False}
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            told = sum(b"data:" in one.get("body", b"") for one in sent)
            if told == 1 and b"data:" in message["body"]:
                heard()
            if told >= news or not message.get("more_body"):
                enough.set()

    await app(scope, receive, send)
    (start,) = (one for one in sent if one["type"] == "http.response.start")
    whole = b"".join(one.get("body", b"") for one in sent[1:])
    return Told(start["status"], tuple(start["headers"]), whole)
