"""A real HTTP server for the tests, which keeps every request as it came."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.executors.certificates import Authority


@dataclass(frozen=True)
class Got:
    """A request as it came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class WebServer:
    """A server that runs; `answer` says what it answers."""

    port: int
    answer: Callable[[Got], Answer] = lambda got: (200, {}, b"fine")
    got: list[Got] = field(default_factory=list)


@contextlib.contextmanager
def web_server(authority: Authority | None = None, name: str = "localhost") -> Iterator[WebServer]:
    """Run a server on a free port of 127.0.0.1, with TLS as `name` if there is an authority."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            got = Got(self.requestline, list(self.headers.items()), body)
            server.got.append(got)
            status, headers, content = server.answer(got)
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b"" if self.command == "HEAD" else content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = take  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    real = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    real.handle_error = lambda *_: None  # type: ignore[method-assign]
    if authority is not None:
        real.socket = authority.server_context(name).wrap_socket(real.socket, server_side=True)
    server = WebServer(real.server_address[1])
    thread = threading.Thread(target=real.serve_forever, args=[0.01])
    thread.start()
    try:
        yield server
    finally:
        real.shutdown()
        thread.join()
        real.server_close()
