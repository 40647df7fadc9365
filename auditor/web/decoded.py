"""A payload decoded for its kind, for reading. Pure.

What is exact is the executor's own rendering, which is part of the case, and the bytes; both are a
key away. This lays the same bytes out as people read their kind. A payload that is not what
it should be is not decoded: then the rendering stands alone.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from monastery.auditor.desk.views import Offer, StepView
from monastery.auditor.web.patches import Patch, split


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with values, in order."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Words:
    """A text of the agent's, or bytes, under a title."""

    title: str
    content: str | bytes


@dataclass(frozen=True, slots=True)
class Diff:
    """Patches, file by file."""

    patches: tuple[Patch, ...]


Part = Facts | Words | Diff


def decode(step: StepView | Offer) -> tuple[Part, ...]:
    """Return the parts of a payload; none where it is not decoded."""
    decoder = _DECODERS.get(step.kind)
    if decoder is None or step.payload is None:
        return ()
    try:
        return decoder(step.payload.decode(), step.settings)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text, object_pairs_hook=_once)
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what could be read in two ways."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is named twice")
    return found


def _only(value: Mapping[str, Any], *names: str) -> None:
    """Refuse a field that would not be shown."""
    unknown = value.keys() - set(names)
    if unknown:
        raise ValueError(f"unknown: {unknown}")


def _content(value: Mapping[str, Any]) -> str | bytes | None:
    if value.get("text") is not None:
        return str(value["text"])
    if value.get("base64") is not None:
        try:
            return base64.b64decode(str(value["base64"]), validate=True)
        except binascii.Error as exc:
            raise ValueError("no base 64") from exc
    return None


def _git(text: str, settings: Mapping[str, Any]) -> tuple[Part, ...]:
    message, patches = split(text)
    if not patches:
        raise ValueError("no patch")
    added, removed = sum(one.added for one in patches), sum(one.removed for one in patches)
    files = f"{len(patches)} {'file' if len(patches) == 1 else 'files'}, +{added} −{removed}"
    facts = Facts((("Branch", str(settings.get("branch", "?"))), ("Changes", files)))
    return facts, Words("Commit message", message.rstrip("\n")), Diff(tuple(patches))


def _email(text: str, settings: Mapping[str, Any]) -> tuple[Part, ...]:
    mail = _object(text)
    _only(mail, "to", "cc", "bcc", "subject", "text", "in_reply_to", "attachments")
    groups = [(name, mail.get(name) or []) for name in ("to", "cc", "bcc")]
    everyone = [one for _, group in groups for one in group]
    rows = [("Goes to", f"{len(everyone)} {'person' if len(everyone) == 1 else 'people'}")]
    rows += [("From", str(settings["sender"]))] if "sender" in settings else []
    titles = {"to": "To", "cc": "Cc", "bcc": "Bcc, unseen by the others"}
    rows += [(titles[name], ", ".join(map(str, group))) for name, group in groups if group]
    rows.append(("Subject", str(mail["subject"])))
    if mail.get("in_reply_to"):
        rows.append(("In reply to", str(mail["in_reply_to"])))
    parts: list[Part] = [Facts(tuple(rows)), Words("Text", str(mail["text"]))]
    for name, attached in (mail.get("attachments") or {}).items():
        _only(attached, "text", "base64")
        parts.append(Words(f"Attachment {name}", _content(attached) or b""))
    return tuple(parts)


def _http(text: str, settings: Mapping[str, Any]) -> tuple[Part, ...]:
    asked = _object(text)
    _only(asked, "method", "url", "headers", "text", "base64")
    url = str(asked["url"])
    rows = [("Method", str(asked["method"])), *_host(url), ("URL", url)]
    rows += [(str(name), str(value)) for name, value in (asked.get("headers") or {}).items()]
    body = _content(asked)
    return Facts(tuple(rows)), *(() if body is None else (Words("Body", body),))


def _host(url: str) -> Iterator[tuple[str, str]]:
    """Yield where an address really leads; names before an ``@``, or coded ones, deceive."""
    parts = urlsplit(url)
    host = parts.hostname or "nowhere"
    try:
        plain = host.encode().decode("idna")
    except UnicodeError:
        plain = host
    yield "Goes to", host if plain == host else f"{host}, which is read {plain}"
    if parts.port is not None:
        yield "Port", str(parts.port)
    before, at, _ = parts.netloc.rpartition("@")
    if at:
        yield "Before the host, and no part of it", before


def _ssh(text: str, settings: Mapping[str, Any]) -> tuple[Part, ...]:
    call = _object(text)
    _only(call, "host", "command")
    host = settings["hosts"][call["host"]]
    where = f"{host['host']} port {host.get('port', 22)}"
    rows = (("Host", where), ("User", str(host["user"])), ("Called", str(call["host"])))
    return Facts(rows), Words("Command", str(call["command"]))


def _file(text: str, settings: Mapping[str, Any]) -> tuple[Part, ...]:
    asked = _object(text)
    _only(asked, "files")
    parts: list[Part] = []
    if "folder" in settings:
        overwrite = "may replace files" if settings.get("overwrite") else "replaces no file"
        parts.append(Facts((("Into", str(settings["folder"])), ("Overwrite", overwrite))))
    for path, one in asked["files"].items():
        _only(one, "text", "base64")
        parts.append(Words(str(path), _content(one) or b""))
    return tuple(parts)


_DECODERS: Mapping[str, Callable[[str, Mapping[str, Any]], tuple[Part, ...]]] = {
    "git": _git,
    "email": _email,
    "http": _http,
    "ssh": _ssh,
    "file": _file,
}
