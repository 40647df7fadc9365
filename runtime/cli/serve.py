"""`monastery serve`: the desk in a browser; on loopback unless told otherwise."""

import contextlib
import ipaddress
import os
import shlex
import shutil
import signal
import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import trio
import typer

from monastery.runtime.cli import again, audit_answers, output
from monastery.runtime.cli.home import HomeOption, find
from monastery.runtime.cli.shelf import Shelf
from monastery.runtime.cli.stopping import INTERRUPTED
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput, MonasteryError, Unfit
from monastery.runtime.people import ROLES, Person

if TYPE_CHECKING:
    from monastery.auditor.web.notify import Teller
    from monastery.runtime.ports import Sandbox

PORT = 8321
_LAST_MOMENT_SECONDS = 1.0
_KEPT_OPEN_SECONDS = 75.0
"""How long a connection without a request stays: longer than a person or a program thinks over an
easy step. One that closes just as a vote comes along makes the vote fail."""

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Examples: monastery serve; monastery serve --by ada --port 9000. Exit codes: 2 bad "
    "input, 3 the port is taken, 130 stopped."
)
def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen. Default: this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="0 takes any that is free.")
    ] = PORT,
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="HOST",
            help="A name that browsers call this server by, with its port if that is not the "
            "usual one; may be given several times.",
            show_default=False,
        ),
    ] = None,
    https: Annotated[
        bool,
        typer.Option("--https", help="Browsers reach it by https alone, through a proxy of yours."),
    ] = False,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="Who signs in first. Default: the login name."),
    ] = None,
    undo_seconds: Annotated[
        float,
        typer.Option(
            metavar="N",
            min=0.0,
            help="How long an answer can be taken back before its run takes it.",
        ),
    ] = 10.0,
    copies: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="How many people at a time may have a copy of a box open; each takes its memory.",
        ),
    ] = 2,
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Run this program when something new waits, with a line of JSON on its stdin.",
            show_default=False,
        ),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="Tell a chat when something new waits: the environment variable that holds the "
            "address of its incoming webhook.",
            show_default=False,
        ),
    ] = None,
    email: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Write to this address when something new waits; may be given several times.",
            show_default=False,
        ),
    ] = None,
    mail_server: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The mail server for --email: YAML with the fields of steps.email.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Serve the desk in a browser: questions, votes and people.

    Prints a link that signs in once, as whoever started it, with every role; others are taken in on
    the page People. Without --host nobody but this machine's users can reach it.
    """
    from monastery.auditor.desk.clerk import Clerk

    tellers = [*_tellers(notify, webhook), *_mailers(email or [], mail_server)]
    starter = audit_answers.login_name() if by is None else by
    with DeskBook.open(find(home), create=False) as book, closing(_listen(host, port)) as listener:
        where = _address(listener)
        scheme = "https" if https else "http"
        names = [*_names(listener), *(name or ())]
        base = f"{scheme}://{name[0] if name else where}"
        link = f"{base}/enter?key={_welcome(book, starter)}"
        if json:
            output.as_json({"url": f"{base}/", "link": link, "person": starter})
        else:
            output.line(f"the desk is at {base}/")
            output.line(f"sign in as {starter}, once: {link}")
        strangers = Clerk(book).strangers()
        if strangers:
            output.note(
                f"no account for {visible_line(', '.join(strangers))}, for whom steps wait: until"
                " there is, whoever is an auditor may answer; the page People takes them in"
            )
        if not _is_loopback(host) and not https:
            output.note(
                f"{host} can be reached from elsewhere, and what is sent is not encrypted;"
                " put a proxy with TLS before it, and say --https"
            )
        output.flush()
        told = _Told(f"{base}/", tellers)
        trio.run(
            partial(
                _serve, book, listener, names, told, secure=https, undo=undo_seconds, copies=copies
            )
        )
    raise typer.Exit(INTERRUPTED)


@dataclass(frozen=True, slots=True)
class _Told:
    """Where the desk is, and what tells people of it."""

    url: str
    tellers: "Sequence[Teller]"


def _tellers(command: str | None, variable: str | None) -> "list[Teller]":
    """Return what tells people that something waits.

    Raises:
        BadInput: The program is not there, or the variable is not set.
    """
    from monastery.auditor.web.notify import by_program, by_webhook

    found = []
    if command is not None:
        argv = shlex.split(command)
        if not argv or shutil.which(argv[0]) is None:
            raise BadInput(f"--notify {command!r} names no program that can be run")
        found.append(by_program(argv))
    if variable is not None:
        address = os.environ.get(variable, "")
        if not address.startswith(("https://", "http://")):
            raise BadInput(f"--webhook: ${variable} holds no address; export it before")
        found.append(by_webhook(address))
    return found


def _mailers(addresses: Sequence[str], server: Path | None) -> "list[Teller]":
    """Return what tells people by email, if anyone is to be told so.

    Raises:
        BadInput: One option is there without the other, or cannot be used.
    """
    if bool(addresses) != (server is not None):
        raise BadInput("--email and --mail-server go together: whom to write to, and by what")
    if server is None:
        return []
    from monastery.runtime.cli.notice_mail import by_email

    return [by_email(server, addresses)]


def _welcome(book: DeskBook, starter: str) -> str:
    """Return the secret of a link for who starts the server; they have the home, so every role."""
    from monastery.auditor.desk import door

    now = datetime.now(UTC)
    with book.turn():
        known = book.person(starter)
        person = known
        if known is None or known.left is not None:
            person = Person(starter, frozenset(ROLES), now)
            book.put_person(person)
    assert person is not None
    return door.issue(book, person, "link", now=now, label="serve")


async def _serve(
    book: DeskBook,
    listener: socket.socket,
    names: list[str],
    told: _Told,
    *,
    secure: bool,
    undo: float,
    copies: int,
) -> None:
    """Answer until a signal comes; at the second one, end at once."""
    import hypercorn.trio
    from hypercorn.config import Config

    from monastery.auditor.desk.clerk import Clerk, Hours
    from monastery.auditor.dig.digs import Digs
    from monastery.auditor.dig.session import Limits
    from monastery.auditor.web.app import make
    from monastery.auditor.web.notify import notify
    from monastery.auditor.web.office import Office
    from monastery.runtime.cli import compose
    from monastery.runtime.cli.digger import BoxDigger

    config = Config()
    config.bind = [f"fd://{os.dup(listener.fileno())}"]
    config.include_server_header = False
    config.keep_alive_timeout = _KEPT_OPEN_SECONDS
    config.graceful_timeout = _LAST_MOMENT_SECONDS
    config.loglevel = "WARNING"
    stopped = trio.Event()

    async def mind(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            task_status.started()
            async for _ in received:
                if stopped.is_set():
                    os._exit(INTERRUPTED)  # what was acknowledged is in the store
                stopped.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(mind)
        clerk = Clerk(book, Hours(undo=undo), Shelf(book))
        office = Office(clerk)
        sandbox, copier = compose.sandbox(book.home), compose.copies(book.home)
        digger = BoxDigger(copier, book, office.ask)
        digs = Digs(digger, book, office.ask, office.now, Limits(at_once=copies))
        desk = make(
            office,
            names=names,
            desk=str(book.home.resolve()),
            secure=secure,
            waking=partial(again.waking, book),
            beside=[
                partial(_reap, sandbox),
                *([partial(notify, office, told.url, told.tellers)] if told.tellers else []),
            ],
            digs=digs if copies else None,
        )
        await hypercorn.trio.serve(
            desk,  # type: ignore[arg-type]  # Starlette's word for the same protocol
            config,
            shutdown_trigger=stopped.wait,
        )
        nursery.cancel_scope.cancel()
    clerk.close(datetime.now(UTC))


async def _reap(sandbox: "Sandbox") -> None:
    """Remove the copies of boxes that a killed server left; without an engine there are none."""
    with contextlib.suppress(MonasteryError):
        await sandbox.reap(lambda run: True)


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        BadInput: The address is none of this machine's.
        Unfit: The port is taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except socket.gaierror as exc:
        raise BadInput(f"--host {host!r} is no address: {exc.strerror}") from exc
    except OSError as exc:
        raise Unfit(f"cannot listen on {host} port {port}: {exc.strerror}; try --port 0") from exc


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _names(listener: socket.socket) -> list[str]:
    """Return what a browser on this machine calls the server."""
    port = listener.getsockname()[1]
    if not _is_loopback(listener.getsockname()[0]):
        return [_address(listener), f"localhost:{port}", f"127.0.0.1:{port}"]
    return [f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
