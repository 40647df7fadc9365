"""The kind ``email``: one message in plain text, with attachments, to listed recipients."""

import os
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

import trio
from pydantic import Field

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import email_message, payloads, showing, smtp
from monastery.runtime.executors.context import Context, resolve
from monastery.runtime.executors.email_message import Draft
from monastery.runtime.executors.redaction import redact
from monastery.runtime.project import Seconds, Size, StepSettings
from monastery.runtime.records import Outcome, Step

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_HOST = rf"^(?:{email_message.DOMAIN}|[0-9a-f:]+)$"
_SENDER = rf"^(?:[A-Za-z0-9 _-]+ <{email_message.ADDRESS}>|{email_message.ADDRESS})$"

Recipient = Annotated[str, Field(pattern=rf"^(?:{email_message.ADDRESS}|@{email_message.DOMAIN})$")]


class EmailSettings(StepSettings):
    """Settings of the kind ``email``.

    Attributes:
        host: The mail server that takes the message.
        port: None is 587 for ``starttls``, 465 for ``tls``, 25 for ``none``.
        security: ``starttls`` and ``tls`` check the server's certificate; ``none`` is for a server
            on this machine.
        ca: A PEM file of certificates to trust in the place of the system's.
        sender: ``Name <mail>`` or a plain address; every message is from it.
        user: Who logs in; a value ``$NAME`` is taken from the runtime's environment.
        password: ``$NAME`` alone: it is taken from the runtime's environment.
        allow: Addresses, and domains as ``@example.org``; nobody else is written to.
        max_recipients: The most that one message may go to.
        max_attachments: The most files that may go with one message.
        max_bytes: The most that the message may have as it is sent.
        timeout_seconds: How long the whole dialogue with the server may take.
    """

    host: Annotated[str, Field(pattern=_HOST)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    security: smtp.Security = "starttls"
    ca: str | None = None
    sender: Annotated[
        str,
        Field(pattern=rf"^(?:[A-Za-z0-9 _.-]+ <{email_message.ADDRESS}>|{email_message.ADDRESS})$"),
    ]
    user: Annotated[str, Field(min_length=1)] | None = None
    password: Annotated[str, Field(pattern=r"^\$[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    allow: Annotated[list[Recipient], Field(min_length=1)]
    max_recipients: Annotated[int, Field(gt=0)] = 20
    max_attachments: Annotated[int, Field(ge=0)] = 10
    max_bytes: Size = 10 << 20
    timeout_seconds: Seconds = 60.0

    def can_look(self) -> bool:
        """Say no: a mail server does not tell what was sent through it."""
        return False


class _Attachment(payloads.Strict):
    text: str | None = None
    base64: str | None = None


class _Email(payloads.Strict):
    to: Annotated[list[str], Field(min_length=1)]
    cc: list[str] = Field(default_factory=list)
    bcc: list[str] = Field(default_factory=list)
    subject: str
    text: str
    in_reply_to: str | None = None
    attachments: dict[str, _Attachment] = Field(default_factory=dict)


class EmailExecutor:
    """Hands a message to one mail server, for all of its recipients or for none."""

    kind = "email"
    Settings: ClassVar[type[StepSettings]] = EmailSettings

    def __init__(self, settings: EmailSettings, context: Context) -> None:
        self._settings = settings
        self._port = settings.port or _PORTS[settings.security]
        self._ca = None if settings.ca is None else resolve(context.folder, settings.ca)

    @classmethod
    def faults(cls, settings: EmailSettings, folder: Path) -> list[str]:
        """Return what is wrong with the login, its variables and the certificates."""
        faults = []
        if (settings.user is None) != (settings.password is None):
            lacking = "user" if settings.user is None else "password"
            faults.append(f"{lacking}: is missing; write both user and password, or neither")
        elif settings.user is not None and settings.security == "none":
            faults.append("security: is none, which would send the password readable; use tls")
        for field, value in (("user", settings.user), ("password", settings.password)):
            reference = _REFERENCE.fullmatch(value or "")
            if reference and not os.environ.get(reference[1]):
                faults.append(f"{field}: {value} is not set; export it before the run")
        if settings.ca is not None:
            path = resolve(folder, settings.ca)
            try:
                ssl.create_default_context(cafile=path)
            except OSError as exc:  # ssl.SSLError is one
                faults.append(f"ca: {str(path)!r} holds no certificates: {exc.strerror or exc}")
        if settings.unknown == "look":
            faults.append("unknown: is 'look', but nobody can look for a sent email; write ask")
        return faults

    def check(self, payload: bytes) -> None:
        """Refuse what is no message to listed recipients, or too large."""
        self._draft(payload)

    def render(self, payload: bytes) -> str:
        """Return the message as its recipients get it, decoded, and how it is sent."""
        draft = self._draft(payload)
        lines = [
            f"Send an email to {', '.join(draft.recipients)}",
            f"by {self._settings.host}:{self._port} ({self._settings.security})",
            "",
            f"From: {draft.sender}",
            f"To: {', '.join(draft.to)}",
            *([f"Cc: {', '.join(draft.cc)}"] if draft.cc else []),
            *([f"Bcc, unseen by the others: {', '.join(draft.bcc)}"] if draft.bcc else []),
            f"Subject: {draft.subject}",
            f"Message-ID: {email_message.id_of(draft, 'KEY')} with the step's key",
            *([f"In-Reply-To: {draft.in_reply_to}"] if draft.in_reply_to else []),
            "Date: when it is sent",
            "",
            "Text:",
            showing.show(draft.text.encode()),
        ]
        for file in draft.attachments:
            size = f"{len(file.content)} bytes, sha256 {showing.sha256(file.content)}"
            lines += ["", f"Attachment {file.name}  {file.type}, {size}:"]
            lines += [showing.show(file.content)]
        return "\n".join(lines)

    async def execute(self, step: Step) -> Outcome:
        """Send the message; an interrupt waits for the end of the dialogue.

        Raises:
            PerhapsSent: The server had the message and did not acknowledge it.
        """
        draft = self._draft(step.payload)
        told: dict[str, Any] = {"message_id": email_message.id_of(draft, step.key)}
        try:
            login, secrets = self._login()
            server = self._server(login)
        except (KeyError, OSError) as exc:
            return Outcome("failed", {"reason": f"the login or certificates are missing: {exc}"})
        date = format_datetime(datetime.now(UTC))
        wire = email_message.written(draft, key=step.key, date=date)
        sender = email_message.sender_address(draft.sender)
        try:
            with trio.CancelScope(shield=True):
                accepted = await trio.to_thread.run_sync(
                    smtp.send, server, sender, draft.recipients, wire
                )
        except smtp.NotSent as exc:
            reason = _clean(str(exc), secrets)
            replies = {who: _clean(reply, secrets) for who, reply in exc.recipients.items()}
            return Outcome("failed", told | {"reason": reason, "recipients": replies})
        except smtp.PerhapsSent as exc:
            reason = _clean(str(exc), secrets)
            raise smtp.PerhapsSent(f"{reason} (Message-ID {told['message_id']})") from None
        replies = {who: _clean(reply, secrets) for who, reply in accepted.recipients.items()}
        reply = _clean(accepted.message, secrets)
        return Outcome("done", told | {"recipients": replies, "reply": reply})

    async def reconcile(self, step: Step) -> Outcome | None:
        """Return None: only a person can look where the message should have come."""
        return None

    def _draft(self, payload: bytes) -> Draft:
        """Return the message that a payload asks for, as it reads back from its own bytes."""
        asked = payloads.parse(payload, _Email)
        people = [[email_message.address(one) for one in group] for group in _groups(asked)]
        everyone = [one for group in people for one in group]
        if len({one.casefold() for one in everyone}) != len(everyone):
            raise BadPayload("somebody is named twice among to, cc and bcc; name them once")
        if len(everyone) > self._settings.max_recipients:
            allowed = self._settings.max_recipients
            raise BadPayload(f"the message has {len(everyone)} recipients, allowed are {allowed}")
        for one in everyone:
            if not email_message.permitted(one, self._settings.allow):
                allowed_list = ", ".join(self._settings.allow)
                raise BadPayload(
                    f"{one!r} is not among those that may be written to: {allowed_list}"
                )
        if len(asked.attachments) > self._settings.max_attachments:
            allowed = self._settings.max_attachments
            raise BadPayload(f"{len(asked.attachments)} files are attached, allowed are {allowed}")
        to, cc, bcc = map(tuple, people)
        reply = asked.in_reply_to
        draft = Draft(
            sender=self._settings.sender,
            to=to,
            cc=cc,
            bcc=bcc,
            subject=email_message.subject(asked.subject),
            text=email_message.body(asked.text),
            in_reply_to=None if reply is None else email_message.message_id(reply),
            attachments=email_message.parts_of(
                {
                    name: payloads.content(name, file.text, file.base64)
                    for name, file in asked.attachments.items()
                }
            ),
        )
        # The key and the date are known when it is sent; ones of the same form stand in for them.
        wire = email_message.written(draft, key="k" * 64, date="Thu, 01 Jan 1970 00:00:00 +0000")
        if len(wire) > self._settings.max_bytes:
            allowed = self._settings.max_bytes
            raise BadPayload(f"the message has {len(wire)} bytes as sent, allowed are {allowed}")
        return email_message.read(wire, draft)

    def _login(self) -> tuple[tuple[str, str] | None, dict[str, str]]:
        """Return user and password, and the secrets by the variable that they come from.

        Raises:
            KeyError: A variable is not set.
        """
        if self._settings.user is None or self._settings.password is None:
            return None, {}
        secrets = {
            match[1]: os.environ[match[1]]
            for value in (self._settings.user, self._settings.password)
            if (match := _REFERENCE.fullmatch(value))
        }
        user = _REFERENCE.fullmatch(self._settings.user)
        return (
            secrets[user[1]] if user else self._settings.user,
            secrets[self._settings.password.removeprefix("$")],
        ), secrets

    def _server(self, login: tuple[str, str] | None) -> smtp.Server:
        encrypted = self._settings.security != "none"
        return smtp.Server(
            host=self._settings.host,
            port=self._port,
            security=self._settings.security,
            context=ssl.create_default_context(cafile=self._ca) if encrypted else None,
            login=login,
            timeout_seconds=self._settings.timeout_seconds,
            greets_as=email_message.sender_address(self._settings.sender).rpartition("@")[2],
        )


def _clean(text: str, secrets: Mapping[str, str]) -> str:
    return redact(text.encode(), secrets, cut_off=True)


def _groups(asked: _Email) -> tuple[list[str], list[str], list[str]]:
    return asked.to, asked.cc, asked.bcc
