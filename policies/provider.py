"""A policy that asks a model elsewhere: any server with OpenAI's API, or Anthropic's.

By httpcore on trio, not by the vendors' clients: what leaves is the request that passed the wall,
under the few headers that stand here, and nothing about this machine (their clients send its
system, its architecture and their own version); and what is tried again is decided once. httpx
around it takes more processor time, for cookies, redirects and proxies that nobody here may have.

A busy provider (429), a broken one (5xx) and a connection that fails are tried again, later and
later, or when the provider says. What it says to the request itself goes back to the agent; what it
says to the key does not, for it quotes keys and accounts.
"""

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore
import msgspec
import trio

from monastery.runtime.errors import BadInput, PolicyFailed
from monastery.runtime.project import AnthropicPolicySettings, OpenAIPolicySettings

_PATHS = {
    "openai.chat": "/chat/completions",
    "openai.responses": "/responses",
    "anthropic.messages": "/v1/messages",
    "anthropic.count_tokens": "/v1/messages/count_tokens",
}
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_ANSWER_BYTES = 12 << 20
_BROKEN = httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError
_IDLE_SECONDS = 5.0
_FIRST_SECONDS, _LAST_SECONDS, _ASKED_SECONDS = 1.0, 60.0, 300.0


class ProviderPolicy:
    """Asks a model elsewhere.

    Args:
        settings: Where, which key, and with how much patience.

    Raises:
        BadInput: The environment has no such key, or the address cannot be one.
    """

    def __init__(self, settings: OpenAIPolicySettings | AnthropicPolicySettings) -> None:
        if isinstance(settings, AnthropicPolicySettings):
            self.name, address = "anthropic", settings.anthropic
        else:
            self.name, address = "openai", settings.openai
        if not address.isascii():
            raise BadInput(f"policy: the address {address!r} is not ASCII; write the host as xn--…")
        self._address = address.rstrip("/")
        self._key = _key(settings.key)
        self._tries, self._seconds = settings.tries, settings.timeout_seconds
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        anthropic = self.name == "anthropic"
        if anthropic:
            self._headers["anthropic-version"] = "2023-06-01"
        if self._key and anthropic:
            self._headers["x-api-key"] = self._key
        elif self._key:
            self._headers["authorization"] = f"Bearer {self._key}"
        # Proxies and .netrc of the environment are not looked at: a key goes where it is meant to.
        self._client = httpcore.AsyncConnectionPool(
            max_connections=settings.at_once, keepalive_expiry=_IDLE_SECONDS
        )
        limits = dict.fromkeys(("connect", "read", "write", "pool"), settings.timeout_seconds)
        self._extensions = {"timeout": limits}
        self._turn = trio.CapacityLimiter(settings.at_once)
        self._pace = Pace(settings.per_minute)

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask; with patience.

        Raises:
            PolicyFailed: The provider cannot be reached, or does not answer as it should.
        """
        sent = msgspec.json.encode(body["request"])
        url = self._address + _PATHS[body["api"]]
        async with self._turn:
            wait = _FIRST_SECONDS
            for left in reversed(range(self._tries)):
                await self._pace.turn()
                try:
                    status, asked, data = await self._ask(url, sent)
                    why = f"the model's provider answered {status}"
                except _BROKEN as exc:
                    status, asked, data = 0, None, b""
                    why = f"the model's provider cannot be reached: {type(exc).__name__}"
                if status and status not in _AGAIN:
                    return self._told(status, data)
                if left:
                    await trio.sleep(wait if asked is None else asked)
                    wait = min(2 * wait, _LAST_SECONDS)
        raise PolicyFailed(f"{why}, {self._tries} times")

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _ask(self, url: str, sent: bytes) -> tuple[int, float | None, bytes]:
        """Make one try; return the status, how long to wait before the next, and the body.

        Raises:
            PolicyFailed: The answer is longer than an agent may be sent.
        """
        data = bytearray()
        # The limits are for each read; a provider that trickles must not hold a call. What is too
        # long is cancelled, not broken off: these readers end cleanly from within only.
        with trio.move_on_after(self._seconds) as scope:
            request = self._client.stream(
                "POST",
                url,
                content=sent,
                headers=[*self._headers.items()],
                extensions=self._extensions,
            )
            async with request as got:
                async for part in got.aiter_stream():
                    data += part
                    if len(data) > _ANSWER_BYTES:
                        scope.cancel()
            if len(data) <= _ANSWER_BYTES:
                return got.status, _asked_seconds(got.headers), bytes(data)
        if len(data) > _ANSWER_BYTES:
            raise PolicyFailed(f"the answer has more than {_ANSWER_BYTES} bytes")
        raise httpcore.ReadTimeout(f"no answer within {self._seconds:g} s")

    def _told(self, status: int, data: bytes) -> dict[str, Any]:
        """Return an answer as the agent gets it."""
        if status in (401, 403):
            raise PolicyFailed(f"the model's provider refused the key ({status})")
        try:
            response = msgspec.json.decode(data)
        except msgspec.DecodeError as exc:
            raise PolicyFailed(f"the model's provider answered {status} without JSON") from exc
        if not isinstance(response, dict) or not 200 <= status < 500 or 300 <= status < 400:
            raise PolicyFailed(f"the model's provider answered {status}, which is no answer")
        if self._key and self._key.encode() in data:
            raise PolicyFailed(f"the model's provider answered {status} with the key in it")
        return {"status": status, "response": response}


class Pace:
    """Lets so many begin in each minute."""

    def __init__(self, per_minute: int | None) -> None:
        self._per_minute = per_minute
        self._begun = deque[float](maxlen=per_minute)
        self._order = trio.Lock()

    async def turn(self) -> None:
        """Wait until one may begin."""
        if self._per_minute is None:
            return
        async with self._order:
            if len(self._begun) == self._per_minute:
                await trio.sleep_until(self._begun[0] + 60.0)
            self._begun.append(trio.current_time())


def _key(name: str | None) -> str:
    """Return the key that the environment holds under a name.

    Raises:
        BadInput: It holds none.
    """
    if name is None:
        return ""
    key = os.environ.get(name, "").strip()
    if not key:
        raise BadInput(f"policy.key: the environment has no {name}; set it before the run starts")
    return key


def _asked_seconds(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Return how long the provider asks to wait, bounded; None when it does not say in seconds."""
    for name, value in headers:
        if name.lower() == b"retry-after":
            with contextlib.suppress(ValueError):
                return min(max(0.0, float(value)), _ASKED_SECONDS)
    return None
