"""A line between browser and server that breaks when told: before a vote arrives, or after."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Breaks = Literal["before", "after"]


class Line:
    """Passes bytes on, and cuts votes off.

    Attributes:
        port: Where browsers find it.
        cut: How many votes were cut off.
    """

    def __init__(self, listener: socket.socket, upstream: int) -> None:
        self._listener, self._server = listener, ("127.0.0.1", upstream)
        self.port = int(listener.getsockname()[1])
        self.cut = 0
        self._breaks: Breaks | None = None

    def breaks(self, when: Breaks) -> None:
        """Cut every vote off from now on: before the server hears it, or its answer."""
        self._breaks = when

    def holds(self) -> None:
        """Break no more."""
        self._breaks = None

    def serve(self) -> None:
        """Take browsers' connections until the listener is shut."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        voted = threading.Event()
        with suppress(OSError), client, socket.create_connection(self._server) as server:
            back = threading.Thread(target=self._back, args=(server, client, voted), daemon=True)
            back.start()
            self._forth(client, server, voted)
            for one in (client, server):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            back.join()

    def _forth(self, client: socket.socket, server: socket.socket, voted: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                first = data.partition(b"\r\n")[0]
                if self._breaks and first.startswith(b"POST ") and b"/vote" in first:
                    self.cut += 1
                    if self._breaks == "before":
                        break
                    voted.set()
                server.sendall(data)

    def _back(self, server: socket.socket, client: socket.socket, voted: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if voted.is_set():
                    break  # the vote is in the book; nobody hears of it
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def line(upstream: int) -> Iterator[Line]:
    """Listen on a port that is free, for a server on another, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Line(listener, upstream)
        thread = threading.Thread(target=made.serve, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
