"""What a project may say of the kind ``http``: the places, and what each allows."""

import ipaddress
import os
import ssl
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import http_address
from monastery.runtime.executors.context import resolve
from monastery.runtime.executors.http_address import Url
from monastery.runtime.project import Seconds, Settings, Size, StepSettings

Method = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""What changes nothing on the server, and may be done again."""

_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer"}
    | {"upgrade", "expect", "proxy-authorization", "proxy-connection", "idempotency-key"}
    | {"accept-encoding"}
)
"""Headers that frame a request or are set by the runtime: nobody else's to give."""
_KEY = "{key}"

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
SecretText = Annotated[str, Field(pattern=r"^[!-~ ]*\$[A-Za-z_][A-Za-z0-9_]*$")]


def _get() -> list[Method]:
    return ["GET"]


class PlaceSettings(Settings):
    """A place that requests may go to.

    Attributes:
        url: One that ends with a slash stands for all below it, any other for itself.
        methods: What may be done there.
        secrets: Headers set outside the box, by name: text that ends with ``$NAME``, taken from the
            runtime's environment when the request is sent, and never shown or recorded.
        look: After a crash this is fetched; 2xx says that the step was done. ``{key}`` stands for
            the step's key.
        idempotent: Whether the server does a request once however often it gets the same
            Idempotency-Key. Only then is one sent again after a crash.
    """

    url: str
    methods: Annotated[list[Method], Field(min_length=1)] = Field(default_factory=_get)
    secrets: dict[HeaderName, SecretText] = Field(default_factory=dict)
    look: str | None = None
    idempotent: bool = False

    @field_validator("url", "look")
    @classmethod
    def _plain(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            try:
                http_address.url(value.replace(_KEY, "key") if info.field_name == "look" else value)
            except BadPayload as exc:
                raise ValueError(str(exc)) from exc
        return value

    @property
    def where(self) -> Url:
        """The place as a URL."""
        return http_address.url(self.url)

    def where_to_look(self, key: str) -> Url | None:
        """Return what is fetched to find out whether the step with this key was done."""
        return None if self.look is None else http_address.url(self.look.replace(_KEY, key))


class HttpSettings(StepSettings):
    """Settings of the kind ``http``.

    Attributes:
        allow: The places that requests may go to; of several that fit, the first counts.
        headers: The headers that a proposal may set.
        networks: Address ranges that are not public and may be reached all the same.
        ca: A PEM file of certificates to trust in the place of the system's.
        timeout_seconds: How long a request may take, to the last byte of the answer.
        max_bytes: How much of the answer's body the agent is told.
    """

    allow: Annotated[list[PlaceSettings], Field(min_length=1)]
    headers: list[HeaderName] = Field(default_factory=lambda: ["Accept", "Content-Type"])
    networks: list[str] = Field(default_factory=list)
    ca: str | None = None
    timeout_seconds: Seconds = 60.0
    max_bytes: Size = 64 << 10

    @field_validator("networks")
    @classmethod
    def _ranges(cls, value: list[str]) -> list[str]:
        for text in value:
            ipaddress.ip_network(text)
        return value

    def can_look(self) -> bool:
        """Whether some request may be looked for, or sent again."""
        return any(
            place.look or place.idempotent or set(place.methods) <= SAFE for place in self.allow
        )


def faults_of(settings: HttpSettings, folder: Path) -> list[str]:
    """Return what is wrong with the secrets, their variables and the certificates."""
    faults = []
    for number, place in enumerate(settings.allow):
        for name, value in place.secrets.items():
            field = f"allow[{number}].secrets.{name}"
            _, variable = split_secret(value)
            if name.lower() in _OURS | {one.lower() for one in settings.headers}:
                faults.append(f"{field}: is set by others too; take it out")
            elif not os.environ.get(variable):
                faults.append(f"{field}: ${variable} is not set; export it before the run")
        look = place.where_to_look("key")
        if look is not None and look.origin != place.where.origin:
            faults.append(f"allow[{number}].look: is of another origin than url")
    for name in settings.headers:
        if name.lower() in _OURS:
            faults.append(f"headers: {name} is the runtime's to set; take it out")
    if settings.ca is not None:
        path = resolve(folder, settings.ca)
        try:
            ssl.create_default_context(cafile=path)
        except OSError as exc:  # ssl.SSLError is one
            faults.append(f"ca: {str(path)!r} holds no certificates: {exc.strerror or exc}")
    if settings.unknown == "look" and not settings.can_look():
        faults.append("unknown: is 'look', but no place has look or is idempotent; write ask")
    return faults


def split_secret(value: str) -> tuple[str, str]:
    """Return the text of a secret header before its variable, and the variable's name."""
    text, _, variable = value.rpartition("$")
    return text, variable
