"""An engine that is in the middle of something when it is asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from monastery.runtime.errors import EngineUnavailable
from monastery.sandbox.engine import Engine


@contextmanager
def engine_that_refuses(status: int, message: str, times: int) -> Iterator[tuple[str, list[str]]]:
    """Serve an engine that refuses to remove a container so many times; yield its address."""
    removals: list[str] = []

    class Api(BaseHTTPRequestHandler):
        def _answer(self, status: int, body: dict[str, str]) -> None:
            sent = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def do_GET(self) -> None:
            self._answer(200, {"ApiVersion": "1.41", "Version": "20.10"})

        def do_DELETE(self) -> None:
            removals.append(self.path)
            refuses = len(removals) <= times
            self._answer(status if refuses else 200, {"message": message})

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"tcp://127.0.0.1:{server.server_port}", removals
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (409, "removal of container b is already in progress"),
        (500, "Could not kill running container b, cannot remove - Container b is not running"),
    ],
)
async def test_a_container_that_ends_while_it_is_removed_is_removed(
    monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    """The engine's word that it is too late to kill it is no failure: it is asked again."""
    with engine_that_refuses(status, message, 2) as (address, removals):
        monkeypatch.setenv("DOCKER_HOST", address)
        engine = Engine(limit_seconds=5.0)
        await engine.connect()
        await engine.remove("b")
    assert len(removals) == 3


async def test_a_container_that_cannot_be_removed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other refusal is an error, at once."""
    with engine_that_refuses(500, "driver failed to remove root filesystem", 9) as (address, all_):
        monkeypatch.setenv("DOCKER_HOST", address)
        engine = Engine(limit_seconds=5.0)
        await engine.connect()
        with pytest.raises(EngineUnavailable, match="driver failed"):
            await engine.remove("b")
    assert len(all_) == 1
