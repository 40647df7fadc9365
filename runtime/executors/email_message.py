"""An email as bytes: made from checked parts, and read back so that what is shown is what is sent.

Pure. Plain text and attachments alone: HTML can show one thing to an auditor and another to whom it
is sent. Header values are checked before the standard library's `email` writes them, and the
written message is parsed again and compared, so that no line of a value becomes a header.
"""

import hashlib
import mimetypes
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

from monastery.runtime.errors import BadPayload

MAX_SUBJECT_CHARS = 300
_POLICY = policy.SMTP.clone(cte_type="7bit", max_line_length=78)
_TYPES = mimetypes.MimeTypes()  # the library's own table; this machine's files have no part in it
_MAINTYPES = frozenset({"application", "audio", "image", "text", "video"})
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_ATOM = r"[A-Za-z0-9_+=~][A-Za-z0-9_+=~-]*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
ADDRESS = rf"{_ATOM}(?:\.{_ATOM})*@{DOMAIN}"
"""A plain address. No quotes, comments, routes (``%``, ``!``) or letters beyond ASCII."""
_MAX_ADDRESS_CHARS = 254
_MESSAGE_ID = re.compile(rf"<[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-]{{1,200}}@{DOMAIN}>")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message."""

    name: str
    type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """A message without what only its sending gives it: the Date and the Message-ID.

    Attributes:
        to, cc, bcc: Plain addresses; those of `bcc` stand in no header.
        text: Ends with a line break, and holds no other control character than these and tabs.
    """

    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    subject: str
    text: str
    in_reply_to: str | None
    attachments: tuple[Attachment, ...]

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everyone who is to get it, in order."""
        return self.to + self.cc + self.bcc


def address(text: str) -> str:
    """Return a plain address, its domain in lower case.

    Raises:
        BadPayload: It is none: a name beside it, quotes, letters beyond ASCII, a line break.
    """
    if len(text) > _MAX_ADDRESS_CHARS or re.fullmatch(ADDRESS, text) is None:
        raise BadPayload(
            f"{text[:80]!r} is no plain address; write name@domain, in ASCII, without display name"
        )
    local, _, domain = text.rpartition("@")
    if len(local) > 64:
        raise BadPayload(f"{text[:80]!r} has over 64 characters before the '@'")
    return f"{local}@{domain.lower()}"


def permitted(recipient: str, allow: Sequence[str]) -> bool:
    """Say whether an address is listed, or its very domain as ``@domain``; a subdomain is not."""
    domain = recipient[recipient.rindex("@") :]
    listed = {_folded(entry) for entry in allow}
    return recipient in listed or domain in listed


def subject(text: str) -> str:
    """Return a subject: one line of visible characters.

    Raises:
        BadPayload: It is empty, too long, or holds what no reader can see.
    """
    if not text.strip() or text != " ".join(text.split(" ")).strip():
        raise BadPayload("the subject is empty, or begins or ends with a blank")
    if len(text) > MAX_SUBJECT_CHARS:
        raise BadPayload(f"the subject has {len(text)} characters, allowed {MAX_SUBJECT_CHARS}")
    return _line("the subject", text)


def body(text: str) -> str:
    """Return the text of a message, ended by a line break.

    Raises:
        BadPayload: It is blank, or holds a control character beside line breaks and tabs.
    """
    if not text.strip():
        raise BadPayload("the text is empty; say what the message says")
    for char in text:
        if char not in "\n\t" and unicodedata.category(char) in {"Cc", "Cs"}:
            raise BadPayload(
                f"the text holds the control character U+{ord(char):04X}; leave it out"
            )
    return text if text.endswith("\n") else text + "\n"


def message_id(text: str) -> str:
    """Return the Message-ID of another message.

    Raises:
        BadPayload: It is none.
    """
    if _MESSAGE_ID.fullmatch(text) is None:
        raise BadPayload(f"{text[:80]!r} is no Message-ID; write <name@domain>")
    return text


def attachment(name: str, content: bytes) -> Attachment:
    """Return a file with the type that its name says.

    Raises:
        BadPayload: The name is no plain file name.
    """
    _line("an attachment's name", name)
    if name != name.strip(" .") or len(name.encode()) > 120 or set(name) & set('/\\:*?"<>|;'):
        raise BadPayload(f"{name[:80]!r} is no plain file name")
    kind, encoding = _TYPES.guess_type(name)
    known = kind is not None and encoding is None and kind.partition("/")[0] in _MAINTYPES
    return Attachment(name, kind if known and kind else "application/octet-stream", content)


def written(draft: Draft, *, key: str, date: str) -> bytes:
    """Return the message as it goes over the wire: 7-bit, lines ended by CR LF.

    The same draft, key and date give the same bytes.

    Args:
        key: The step's key; the Message-ID is made from it.
        date: As RFC 5322 writes one.

    Raises:
        BadPayload: What was written does not say what the draft says.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = draft.sender
    message["To"] = [_plain(one) for one in draft.to]
    if draft.cc:
        message["Cc"] = [_plain(one) for one in draft.cc]
    message["Subject"] = draft.subject
    message["Date"] = date
    message["Message-ID"] = id_of(draft, key)
    if draft.in_reply_to is not None:
        message["In-Reply-To"] = draft.in_reply_to
        message["References"] = draft.in_reply_to
    message.set_content(draft.text, charset="utf-8")
    for file in draft.attachments:
        maintype, _, subtype = file.type.partition("/")
        message.add_attachment(file.content, maintype=maintype, subtype=subtype, filename=file.name)
    if draft.attachments:
        digest = hashlib.sha256(b"\0".join(file.content for file in draft.attachments))
        message.set_boundary(f"=_{digest.hexdigest()[:40]}")
    wire = message.as_bytes()
    _compare(draft, read(wire, draft))
    return wire


def id_of(draft: Draft, key: str) -> str:
    """Return the Message-ID of a step's message: the key, at the sender's domain."""
    return f"<{key}.step@{Address(addr_spec=sender_address(draft.sender)).domain}>"


def sender_address(sender: str) -> str:
    """Return the address in ``Name <mail>``, or the plain address that stands alone."""
    match = re.fullmatch(r"[^<>]*<([^<>]+)>", sender)
    return match[1] if match else sender


def read(wire: bytes, draft: Draft) -> Draft:
    """Return what a written message says, `bcc` excepted, which is in no message.

    Raises:
        BadPayload: It has a part or a header that no draft asks for.
    """
    message = message_from_bytes(wire, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    parts = list(message.iter_attachments()) if message.is_multipart() else []
    text = message.get_body(preferencelist=("plain",))
    names = [name.lower() for name, _ in message.items()]
    if text is None or len(names) != len(set(names)) or set(names) - _HEADERS:
        raise BadPayload("the message cannot be written so that it is read back as it was meant")
    return Draft(
        sender=str(message["From"]),
        to=_addresses(message, "To"),
        cc=_addresses(message, "Cc"),
        bcc=draft.bcc,
        subject=str(message["Subject"]),
        text=text.get_content().replace("\r\n", "\n"),
        in_reply_to=None if message["In-Reply-To"] is None else str(message["In-Reply-To"]),
        attachments=tuple(map(_read_attachment, parts)),
    )


def _read_attachment(part: Any) -> Attachment:
    content: bytes = part.get_payload(decode=True)
    return Attachment(part.get_filename() or "", part.get_content_type(), content)


_HEADERS = frozenset(
    {"from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references"}
    | {"mime-version", "content-type", "content-transfer-encoding"}
)


def _compare(meant: Draft, found: Draft) -> None:
    for name in Draft.__slots__:
        if getattr(meant, name) != getattr(found, name):
            raise BadPayload(f"the message's {name} cannot be written so that it is read back")


def _addresses(message: EmailMessage, header: str) -> tuple[str, ...]:
    found = message[header]
    return () if found is None else tuple(one.addr_spec for one in found.addresses)


def _plain(text: str) -> Address:
    return Address(addr_spec=text)


def _folded(entry: str) -> str:
    local, at, domain = entry.rpartition("@")
    return f"{local}{at}{domain.lower()}"


def _line(what: str, text: str) -> str:
    for char in text:
        if unicodedata.category(char) in _HIDDEN:
            raise BadPayload(f"{what} holds a line break or a character that nobody sees: {char!r}")
    return text


def parts_of(files: Mapping[str, bytes]) -> tuple[Attachment, ...]:
    """Return files as attachments, in the order that they were named."""
    return tuple(attachment(name, content) for name, content in files.items())
