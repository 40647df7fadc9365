"""The kind ``http``: one request to a listed place, exactly as it was shown."""

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import trio
from pydantic import Field

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import http_address, http_request, payloads, showing
from monastery.runtime.executors.context import Context, resolve
from monastery.runtime.executors.http_address import Url, covers
from monastery.runtime.executors.http_request import Response
from monastery.runtime.executors.http_settings import (
    SAFE,
    HttpSettings,
    Method,
    PlaceSettings,
    faults_of,
    split_secret,
)
from monastery.runtime.executors.redaction import redact
from monastery.runtime.project import StepSettings
from monastery.runtime.records import Outcome, Step

_TOLD = ("content-type", "location", "retry-after", "etag", "last-modified", "link")
_VALUE = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?")


class _Request(payloads.Strict):
    method: Method
    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    text: str | None = None
    base64: str | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request with the place that allows it."""

    method: Method
    url: Url
    headers: tuple[tuple[str, str], ...]
    body: bytes
    place: PlaceSettings


class HttpExecutor:
    """Sends one request and tells the answer; no redirect is followed."""

    kind = "http"
    Settings: ClassVar[type[StepSettings]] = HttpSettings

    def __init__(self, settings: HttpSettings, context: Context) -> None:
        self._settings = settings
        self._ca = None if settings.ca is None else resolve(context.folder, settings.ca)
        self._networks = [ipaddress.ip_network(text) for text in settings.networks]

    @classmethod
    def faults(cls, settings: HttpSettings, folder: Path) -> list[str]:
        """Return what is wrong with the secrets, their variables and the certificates."""
        return faults_of(settings, folder)

    def check(self, payload: bytes) -> None:
        """Refuse what is no request to a listed place."""
        self._prepared(payload)

    def render(self, payload: bytes) -> str:
        """Return the request as it is sent, secrets by their variables' names."""
        asked = self._prepared(payload)
        lines = [f"{asked.method} {asked.url}"]
        if "%" in asked.url.target:
            lines.append(f"(decoded: {http_address.decoded(asked.url)})")
        lines += ["", f"Host: {asked.url.authority}"]
        lines += [f"{name}: {value}" for name, value in asked.headers]
        lines += [f"{name}: {value} (set outside)" for name, value in asked.place.secrets.items()]
        lines += ["Idempotency-Key: the step's key", ""]
        if asked.body:
            size = f"{len(asked.body)} bytes, sha256 {showing.sha256(asked.body)}"
            lines += [f"Body, {size}:", showing.show(asked.body)]
        else:
            lines.append("No body.")
        return "\n".join(lines)

    async def execute(self, step: Step) -> Outcome:
        """Send the request; an interrupt waits for the answer or the time limit.

        Raises:
            PerhapsDone: It was sent and not answered, or answered by a gateway that did not know.
        """
        asked = self._prepared(step.payload)
        try:
            answer, secrets = await self._send(asked, step.key)
        except (http_request.NotSent, OSError, KeyError) as exc:
            return Outcome("failed", {"reason": f"nothing was sent: {' '.join(str(exc).split())}"})
        except http_request.PerhapsDone as exc:
            if asked.method in SAFE:  # whatever came of it, it changed nothing
                return Outcome("failed", {"reason": str(exc)})
            raise
        if answer.status in {408, 502, 504} and asked.method not in SAFE:
            raise http_request.PerhapsDone(
                f"{asked.url.authority} answered {answer.status}; nobody knows what came of it"
            )
        done = 200 <= answer.status < 300
        return Outcome("done" if done else "failed", _told(answer, secrets))

    async def reconcile(self, step: Step) -> Outcome | None:
        """Look, or send again what may be sent twice; else None."""
        asked = self._prepared(step.payload)
        where = asked.place.where_to_look(step.key)
        if where is not None and asked.method not in SAFE:
            look = replace(asked, method="GET", url=where, headers=(), body=b"")
            try:
                answer, secrets = await self._send(look, step.key)
            except (http_request.NotSent, http_request.PerhapsDone, OSError, KeyError):
                return None
            if 200 <= answer.status < 300:
                return Outcome("done", {"looked": True} | _told(answer, secrets))
            if answer.status not in {404, 410}:
                return None
        if asked.place.idempotent or asked.method in SAFE:
            return await self.execute(step)
        return None

    async def _send(self, asked: _Prepared, key: str) -> tuple[Response, dict[str, str]]:
        """Send a request and return the answer, with the secrets that it must not tell."""
        secrets: dict[str, str] = {}
        headers = [*asked.headers, ("Idempotency-Key", key)]
        for name, value in asked.place.secrets.items():
            text, variable = split_secret(value)
            secrets[variable] = os.environ[variable]
            filled = text + secrets[variable]
            if _VALUE.fullmatch(filled) is None:
                raise http_request.NotSent(f"${variable} holds what no header can")
            headers.append((name, filled))
        encrypted = asked.url.scheme == "https"
        context = ssl.create_default_context(cafile=self._ca) if encrypted else None
        with trio.CancelScope(shield=True):
            found: list[str] = []
            with trio.move_on_after(self._settings.timeout_seconds):
                found = await http_request.resolve(asked.url.host, asked.url.port)
            addresses = http_address.checked(found, self._networks)
            if isinstance(addresses, str):
                raise http_request.NotSent(f"{asked.url.host}: {addresses}")
            answer = await http_request.send(
                asked.method,
                asked.url,
                headers,
                asked.body,
                addresses=addresses,
                context=context,
                timeout_seconds=self._settings.timeout_seconds,
                max_bytes=self._settings.max_bytes,
            )
        return answer, secrets

    def _prepared(self, payload: bytes) -> _Prepared:
        """Return the request that a payload asks for, and the place that allows it."""
        asked = payloads.parse(payload, _Request)
        where = http_address.url(asked.url)
        fitting = [one for one in self._settings.allow if covers(one.where, where)]
        place = next((one for one in fitting if asked.method in one.methods), None)
        if place is None:
            allowed = "; ".join(
                f"{'|'.join(one.methods)} {one.url}" for one in self._settings.allow
            )
            raise BadPayload(f"{asked.method} {asked.url[:200]!r} is not one of: {allowed}"[:1000])
        for name, value in asked.headers.items():
            self._header(name, value)
        if len({name.lower() for name in asked.headers}) != len(asked.headers):
            raise BadPayload("a header is named twice; name it once")
        body = b""
        if asked.text is not None or asked.base64 is not None:
            if asked.method in SAFE:
                raise BadPayload(f"a {asked.method} has no body; leave it out")
            body = payloads.content("the body", asked.text, asked.base64)
        return _Prepared(
            method=asked.method,
            url=where,
            headers=tuple(asked.headers.items()),
            body=body,
            place=place,
        )

    def _header(self, name: str, value: str) -> None:
        """Refuse a header that a proposal may not set, or a value that no header can have."""
        if name.lower() not in {one.lower() for one in self._settings.headers}:
            listed = ", ".join(self._settings.headers)
            raise BadPayload(f"the header {name[:80]!r} is not one of: {listed}")
        if _VALUE.fullmatch(value) is None:
            raise BadPayload(f"the value {value[:80]!r} of {name!r} is no line of ASCII")


def _told(answer: Response, secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return what the agent is told of an answer."""
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        if name in _TOLD and name not in headers:
            headers[name] = redact(value[:1000], secrets, cut_off=len(value) > 1000)
    return {
        "status": answer.status,
        "headers": headers,
        "body": redact(answer.body, secrets, cut_off=answer.truncated),
        "truncated": answer.truncated,
    }
