"""What stands before every page: whose name is called, how often, and what browsers may do.

Pure ASGI, outermost. A request that is refused here reaches nothing else.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY_BYTES = 16 << 20
"""More than any payload that a box may be allowed to propose by default, in base 64."""
_MOST_CLIENTS = 10_000

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Our own files, nothing inline, in no frame. With a stricter referrer policy forms would come from
the origin ``null``, and could not be told from a stranger's."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rate:
    """So many requests at once, and so many a second after that, for each client.

    Args:
        burst: How many at once.
        per_second: How many a second in the long run.
        now: A clock [seconds].
    """

    def __init__(self, burst: float, per_second: float, now: Callable[[], float]) -> None:
        self._burst, self._per_second, self._now = burst, per_second, now
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Whether this client may have one more."""
        now = self._now()
        bucket = self._buckets.pop(client, None) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_second)
        bucket.at = now
        self._buckets[client] = bucket
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.left < 1.0:
            return False
        bucket.left -= 1.0
        return True


class Guard:
    """Refuses what should reach no page, and adds the headers that every answer has.

    Args:
        app: What it stands before.
        names: The hosts that this server answers to, as browsers write them, with the port.
        requests: For every request, by the client's address; many people may share one.
        people: For every request, by the secret that comes with it, or the address without one.
        sign_ins: For what tries secrets, by the client's address.
    """

    def __init__(
        self, app: ASGIApp, names: Iterable[str], *, requests: Rate, people: Rate, sign_ins: Rate
    ) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)
        self._requests, self._people, self._sign_ins = requests, people, sign_ins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, _bounded(receive), _with_headers(send))
        else:
            await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._names:
            # Else a page elsewhere could have its own name point here, and read what we answer.
            return _plain("this server does not answer to that name; see serve --name", 421)
        client = (scope.get("client") or ("?",))[0]
        secret = headers.get("authorization") or headers.get("cookie") or ""
        who = hashlib.sha256(secret.encode()).hexdigest() if secret else client
        if not (self._requests.allows(client) and self._people.allows(who)):
            return _plain("too many requests; wait a little", 429)
        signs_in = scope["path"] == "/enter" and scope["method"] == "POST"
        if signs_in and not self._sign_ins.allows(client):
            return _plain("too many tries to sign in; wait a minute", 429)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
            return _plain(f"a request may have {MOST_BODY_BYTES} bytes", 413)
        return None


def comes_from_here(request: Request) -> bool:
    """Whether a browser says that one of our own pages made this request."""
    origin = request.headers.get("origin")
    host = request.headers.get("host", "").lower()
    if origin is not None:
        return origin.lower() in (f"http://{host}", f"https://{host}")
    return request.headers.get("sec-fetch-site") == "same-origin"


class TooLarge(Exception):
    """A body grew beyond what a request may have."""


def _bounded(receive: Receive) -> Receive:
    seen_bytes = 0

    async def bounded() -> Message:
        nonlocal seen_bytes
        message = await receive()
        seen_bytes += len(message.get("body", b""))
        if seen_bytes > MOST_BODY_BYTES:
            raise TooLarge
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return with_headers


def _plain(text: str, status: int) -> PlainTextResponse:
    return PlainTextResponse(text + "\n", status)
