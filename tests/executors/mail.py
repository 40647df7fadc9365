"""Real mail servers for the tests: aiosmtpd in a thread, and scripted ones on a plain socket."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.executors.certificates import Authority

NAME = "localhost"
PASSWORD = "hunter2secret"


@dataclass
class Mailbox:
    """What a server was given, and whom it refuses."""

    refused: dict[str, str] = field(default_factory=dict)
    says: str = "250 taken"
    got: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any
    ) -> str:
        self.got.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        return self.says

    def authenticate(
        self, server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@dataclass
class MailServer:
    """A server that runs: its port, what it got, and the authority that certified it."""

    port: int
    mailbox: Mailbox
    ca: Path


@contextlib.contextmanager
def mail_server(
    authority: Authority, security: str, *, login: bool = False
) -> Iterator[MailServer]:
    """Run aiosmtpd on a free port of 127.0.0.1."""
    mailbox = Mailbox()
    context = authority.server_context(NAME)
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        ssl_context=context if security == "tls" else None,
        tls_context=context if security == "starttls" else None,
        require_starttls=security == "starttls",
        auth_required=login,
        auth_require_tls=security == "starttls",
        authenticator=mailbox.authenticate if login else None,
    )
    controller.start()
    try:
        yield MailServer(controller.port, mailbox, authority.path)
    finally:
        controller.stop()


@contextlib.contextmanager
def scripted(
    replies: Sequence[bytes | None], *, over: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    """Run a server for one connection that says the next of `replies` to each line it is sent.

    The first is its greeting. ``None`` says nothing and waits until the other side hangs up. After
    the last it hangs up itself. What follows the reply to DATA is read up to the final dot.

    Yields:
        The port, and the lines that it was sent.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    lines: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as file, contextlib.suppress(OSError):
            for reply in replies:
                if reply is None:
                    while file.readline():
                        pass
                    return
                connection.sendall(reply)
                if reply.startswith(b"354"):
                    while (line := file.readline()) not in {b".\r\n", b""}:
                        lines.append(line)
                elif reply is not replies[-1]:
                    lines.append(file.readline())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], lines
    finally:
        thread.join()
        listener.close()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
