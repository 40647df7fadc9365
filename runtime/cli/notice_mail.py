"""Telling people by email that something waits: by the client of the step kind ``email``.

The mail server stands in a YAML file with the fields of ``steps.email``; secrets come from the
environment variables that it names. Nothing that an agent wrote is in a message.
"""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from monastery.auditor.votes import fault
from monastery.runtime.cli.rendering import NoDesk
from monastery.runtime.errors import BadInput, BadPayload
from monastery.runtime.executors import email_message
from monastery.runtime.executors.context import Context
from monastery.runtime.executors.email import EmailExecutor, EmailSettings
from monastery.runtime.records import RunId, SegmentId, Step

if TYPE_CHECKING:
    from monastery.auditor.web.notify import News, Teller

_LIMIT_SECONDS = 20.0
"""How long the dialogue with the server may take where the file does not say."""
_END = "Nothing that an agent wrote is in this message.\n"


def by_email(file: Path, addresses: Sequence[str]) -> "Teller":
    """Return what sends the news to each of these addresses, in a message of its own.

    Args:
        file: The mail server: a YAML file with the fields of ``steps.email``, without ``allow``.
        addresses: Plain ones.

    Raises:
        BadInput: An address is none, or the file says what cannot be used.
    """
    try:
        allow = [email_message.address(one) for one in addresses]
    except BadPayload as exc:
        raise BadInput(f"--email: {exc}") from exc
    settings = _settings(file, allow)
    for wrong in EmailExecutor.faults(settings, file.parent):
        raise BadInput(f"{str(file)!r}: {wrong}")
    executor = EmailExecutor(settings, Context(file.parent, "", NoDesk()))

    async def tell(news: "News") -> None:
        failed = []

        async def write(address: str) -> None:
            outcome = await executor.execute(_step(address, news))
            if outcome.status != "done":
                failed.append(address)

        async with trio.open_nursery() as nursery:
            for address in allow:
                nursery.start_soon(write, address)
        if failed:
            raise OSError(f"{len(failed)} of {len(allow)} messages were not sent")

    return tell


def _step(address: str, news: "News") -> Step:
    subject, _, _ = news.text.partition(" at ")
    payload = {"to": [address], "subject": subject, "text": f"{news.text}\n\n{_END}"}
    name = RunId("desk")
    key = secrets.token_hex(16)
    return Step(name, SegmentId("desk.1"), 1, "email", json.dumps(payload).encode(), key)


def _settings(file: Path, allow: list[str]) -> EmailSettings:
    try:
        told = YAML(typ="safe", pure=True).load(file.read_bytes())
    except OSError as exc:
        raise BadInput(f"--mail-server {str(file)!r} cannot be read: {exc.strerror}") from exc
    except (YAMLError, ValueError) as exc:
        (first, *_) = str(exc).splitlines() or ["no YAML"]
        raise BadInput(f"--mail-server {str(file)!r} is no YAML: {first}") from exc
    if not isinstance(told, dict) or "allow" in told:
        raise BadInput(
            f"--mail-server {str(file)!r}: write the fields of steps.email, without allow"
        )
    try:
        return EmailSettings.model_validate(
            {"timeout_seconds": _LIMIT_SECONDS, **told, "allow": allow}
        )
    except ValidationError as exc:
        raise BadInput(f"--mail-server {str(file)!r}: {fault(exc)}") from exc
