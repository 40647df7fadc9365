"""One message handed to a mail server, knowing at each moment whether it may have been sent.

The standard library's `smtplib` in a thread: it is in every Python, a message is one short
dialogue, and no kept client speaks trio (aiosmtplib is asyncio's). Its calls are made one by one,
for `SMTP.sendmail` goes on when some recipients are refused, and does not tell a message that was
not sent from one of which nobody knows. Up to the message's first byte a break means for certain
that it was not sent; from there to the server's answer nobody knows.
"""

import io
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from monastery.runtime.errors import MonasteryError

MAX_REPLIES_BYTES = 256 << 10
"""The most that a server may say in one dialogue."""
_MAX_TOLD_CHARS = 300

Security = Literal["starttls", "tls", "none"]


class NotSent(Exception):
    """The message was certainly not sent; the text says why.

    Attributes:
        recipients: What the server said of each recipient that it was asked about.
    """

    def __init__(self, reason: str, recipients: Mapping[str, str] | None = None) -> None:
        self.recipients = dict(recipients or {})
        super().__init__(reason)


class PerhapsSent(MonasteryError):
    """The connection broke while the message was handed over, or before it was acknowledged."""


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server and how to speak to it.

    Attributes:
        context: None with `security` ``none``.
        login: User and password.
        timeout_seconds: How long the whole dialogue may take.
    """

    host: str
    port: int
    security: Security
    context: ssl.SSLContext | None
    login: tuple[str, str] | None = field(repr=False)
    timeout_seconds: float
    greets_as: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the server said of each recipient, and of the message."""

    recipients: Mapping[str, str]
    message: str


def send(server: Server, sender: str, recipients: Sequence[str], message: bytes) -> Accepted:
    """Hand over one message to all recipients, or to none.

    Blocks for at most the server's time limit, beside the resolver's own for its name.

    Raises:
        NotSent: For certain; a recipient was refused, say.
        PerhapsSent: Nobody knows.
    """
    where = f"{server.host}:{server.port}"
    try:
        connection = socket.create_connection((server.host, server.port), server.timeout_seconds)
    except OSError as exc:
        raise NotSent(f"{where} cannot be reached: {exc}") from exc
    connection.settimeout(None)  # the timer ends the dialogue; a limit of each wait would race it
    handle = connection.dup()  # outlives every wrapping in TLS, and ends them all
    late = threading.Event()
    timer = threading.Timer(server.timeout_seconds, _end, [handle, late])
    timer.daemon = True
    timer.start()
    smtp = smtplib.SMTP(local_hostname=server.greets_as, timeout=server.timeout_seconds)
    smtp.sock = connection
    try:
        accepted = _opened(smtp, server, sender, recipients)
        return Accepted(accepted, _handed_over(smtp, where, message))
    except (OSError, smtplib.SMTPException, UnicodeError, ValueError) as exc:
        limit = f"no answer within {server.timeout_seconds:g} s"
        raise NotSent(f"{where}: {limit if late.is_set() else _why(exc)}") from exc
    finally:
        timer.cancel()
        _end(handle)
        handle.close()
        with suppress(OSError):
            smtp.close()


def _opened(
    smtp: smtplib.SMTP, server: Server, sender: str, recipients: Sequence[str]
) -> dict[str, str]:
    """Go as far as the server's leave to send the message; return what it said of each recipient.

    Raises:
        NotSent: It gave none.
    """
    if server.security == "tls":
        _wrap(smtp, server)
    _listen(smtp)
    _expect(smtp.getreply(), "its greeting", 220)
    smtp.ehlo_or_helo_if_needed()
    if server.security == "starttls":
        _expect(smtp.docmd("STARTTLS"), "STARTTLS", 220)
        _wrap(smtp, server)
        _listen(smtp)  # what came unencrypted is dropped with the old reader
        smtp.ehlo_resp = smtp.helo_resp = None
        smtp.esmtp_features = {}
        smtp.does_esmtp = False
        smtp.ehlo_or_helo_if_needed()
    if server.login is not None:
        smtp.login(*server.login)
    _expect(smtp.mail(sender), f"the sender {sender!r}", 250)
    replies = {}
    refused = []
    for recipient in recipients:
        reply = smtp.rcpt(recipient)
        replies[recipient] = told(reply)
        if reply[0] not in {250, 251}:
            refused.append(recipient)
    if refused:
        raise NotSent(f"refused: {', '.join(refused)}; nothing was sent to anyone", replies)
    reply = smtp.docmd("DATA")
    if reply[0] != 354:
        raise NotSent(f"the server refused the message: {told(reply)}", replies)
    return replies


def _handed_over(smtp: smtplib.SMTP, where: str, message: bytes) -> str:
    """Send the message's bytes and return the server's word that it has them.

    Raises:
        NotSent: The server said that it does not take it.
        PerhapsSent: It did not say.
    """
    try:
        smtp.send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        reply = smtp.getreply()
    except (OSError, smtplib.SMTPException) as exc:
        raise PerhapsSent(
            f"the message was handed to {where}, which did not acknowledge it: {_why(exc)}"
        ) from exc
    if reply[0] == 250:
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()
        return told(reply)
    if 400 <= reply[0] < 600:
        raise NotSent(f"the server refused the message: {told(reply)}")
    raise PerhapsSent(f"the message was handed to {where}, which answered: {told(reply)}")


def told(reply: tuple[int, bytes]) -> str:
    """Return a server's reply as one line of bounded length."""
    text = " ".join(reply[1].decode("utf-8", "backslashreplace").split())
    return f"{reply[0]} {text}"[:_MAX_TOLD_CHARS]


def _expect(reply: tuple[int, bytes], what: str, code: int) -> None:
    if reply[0] != code:
        raise NotSent(f"the server refused {what}: {told(reply)}")


def _wrap(smtp: smtplib.SMTP, server: Server) -> None:
    assert server.context is not None
    assert smtp.sock is not None
    smtp.sock = server.context.wrap_socket(smtp.sock, server_hostname=server.host)


def _listen(smtp: smtplib.SMTP) -> None:
    """Have replies read through a reader that ends a server which talks without end."""
    assert smtp.sock is not None
    smtp.file = _Bounded(smtp.sock.makefile("rb"))


class _Bounded:
    """The part of a file that `smtplib` reads replies by, with a limit on all that is read."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._left = MAX_REPLIES_BYTES

    def readline(self, limit: int = -1) -> bytes:
        line = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise OSError(f"the server said more than {MAX_REPLIES_BYTES} bytes")
        return line

    def close(self) -> None:
        self._file.close()


def _end(handle: socket.socket, late: threading.Event | None = None) -> None:
    if late is not None:
        late.set()
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def _why(exc: Exception) -> str:
    if isinstance(exc, smtplib.SMTPResponseException):
        error: Any = exc.smtp_error
        return told((exc.smtp_code, error if isinstance(error, bytes) else str(error).encode()))
    return " ".join(str(exc).split())[:_MAX_TOLD_CHARS] or type(exc).__name__
