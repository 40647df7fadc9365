"""A policy that asks a model elsewhere: any server with OpenAI's API, or Anthropic's.

By HTTP of our own (`connections`), not by the vendors' clients: what leaves is the request that
passed the wall, under the few headers that stand here, and nothing about this machine (their
clients send its system, its architecture and their own version); what is tried again is decided
once; and there are no cookies, redirects and proxies that nobody here may have.

A busy provider (429), a broken one (5xx) and a connection that fails are tried again, later and
later, or when the provider says. What it says to the request itself goes back to the agent; what it
says to the key does not, for it quotes keys and accounts.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import msgspec
import trio

from monastery.policies.connections import Answer, Broken, Connections
from monastery.policies.pace import Pace
from monastery.runtime.errors import BadInput, PolicyFailed
from monastery.runtime.gateway.usage import tokens
from monastery.runtime.project import AnthropicPolicySettings, OpenAIPolicySettings

_PATHS = {
    "openai.chat": "/chat/completions",
    "openai.responses": "/responses",
    "anthropic.messages": "/v1/messages",
    "anthropic.count_tokens": "/v1/messages/count_tokens",
}
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_ANSWER_BYTES, _ANSWERS_BYTES = 12 << 20, 192 << 20
_TOKEN_BYTES = 3  # fewer than a token has, so that what went in is reckoned rather too high
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
        self._connections = Connections(address)
        self._turn = trio.CapacityLimiter(settings.at_once)
        self._pace = Pace(settings.per_minute, settings.tokens_per_minute)
        self._reading_bytes = 0

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask; with patience.

        Raises:
            PolicyFailed: The provider cannot be reached, or does not answer as it should.
        """
        sent = msgspec.json.encode(body["request"])
        path = _PATHS[body["api"]]
        async with self._turn:
            wait = _FIRST_SECONDS
            for left in reversed(range(self._tries)):
                number = await self._pace.turn(len(sent) // _TOKEN_BYTES)
                asked = None
                try:
                    answer = await self._ask(path, sent)
                except Broken as exc:
                    why = f"the model's provider cannot be reached: {exc}"
                else:
                    if answer.status not in _AGAIN:
                        told = self._told(answer)
                        used = tokens(told["response"])
                        if used is not None:
                            self._pace.settle(number, sum(used))
                        return told
                    why = f"the model's provider answered {answer.status}"
                    asked = _asked_seconds(answer)
                if left:
                    await trio.sleep(wait if asked is None else asked)
                    wait = min(2 * wait, _LAST_SECONDS)
        raise PolicyFailed(f"{why}, {self._tries} times")

    async def aclose(self) -> None:
        """Close its connections."""
        await self._connections.aclose()

    async def _ask(self, path: str, sent: bytes) -> Answer:
        """Make one try.

        Raises:
            Broken: No answer came in time.
            PolicyFailed: The answer is longer than an agent may be sent.
        """
        read_bytes = 0

        def came(size_bytes: int) -> None:
            nonlocal read_bytes
            read_bytes += size_bytes
            self._reading_bytes += size_bytes
            if read_bytes > _ANSWER_BYTES:
                raise PolicyFailed(f"the answer has more than {_ANSWER_BYTES} bytes")
            if self._reading_bytes > _ANSWERS_BYTES:
                why = f"more than {_ANSWERS_BYTES} bytes of answers are coming at a time"
                raise PolicyFailed(f"{why}; make fewer calls at a time")

        try:
            with trio.move_on_after(self._seconds):
                return await self._connections.post(path, self._headers, sent, came=came)
            raise Broken(f"no answer within {self._seconds:g} s")
        finally:
            self._reading_bytes -= read_bytes

    def _told(self, answer: Answer) -> dict[str, Any]:
        """Return an answer as the agent gets it."""
        status, data = answer.status, answer.body
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
    if not (key.isascii() and key.isprintable()):
        raise BadInput(f"policy.key: {name} holds what no key can: a line's end, or no ASCII")
    return key


def _asked_seconds(answer: Answer) -> float | None:
    """Return how long the provider asks to wait, bounded; None when it does not say in seconds."""
    with contextlib.suppress(KeyError, ValueError):
        return min(max(0.0, float(answer.headers[b"retry-after"])), _ASKED_SECONDS)
    return None
