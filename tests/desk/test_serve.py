"""The command: where it listens, who it lets in first, and how it ends."""

import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import MAIN, Cli, environment
from tests.cli.questions import Questions, question
from tests.desk.server import serving


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one question."""
    questions = Questions(tmp_path / "home")
    questions.put(question())
    questions.store.close()
    return tmp_path / "home"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command line in a fresh folder."""
    return Cli(tmp_path)


def test_it_listens_here_alone_and_its_link_opens_once(home: Path) -> None:
    """The first person has every role, by a link whose secret is nowhere in the home."""
    with serving(home, by="mira") as server, httpx.Client(base_url=server.url) as http:
        assert server.person == "mira"
        host, port = server.url.split("/")[2].split(":")
        assert host == "127.0.0.1"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", int(port)))
        key = server.link.partition("key=")[2]
        assert all(key.encode() not in path.read_bytes() for path in home.glob("*.sqlite3*"))
        here = {"origin": server.url.rstrip("/")}
        came = http.post("/enter", data={"key": key}, headers=here)
        assert came.status_code == 303
        assert http.get("/people").status_code == 200
        http.cookies.clear()
        assert http.post("/enter", data={"key": key}, headers=here).status_code == 403


def test_a_signal_ends_it_although_pages_are_open(home: Path) -> None:
    """With 130, at once, and without a traceback."""
    argv = [*MAIN, "serve", "--home", str(home), "--by", "ada", "--port", "0"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().removeprefix("the desk is at ").strip()
        key = process.stdout.readline().strip().partition("key=")[2]
        with httpx.Client(base_url=url) as http:
            http.post("/enter", data={"key": key}, headers={"origin": url.rstrip("/")})
            with http.stream("GET", "/events", timeout=60) as stream:
                lines = stream.iter_lines()
                assert '{"waiting": 1}' in next(line for line in lines if "waiting" in line)
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=60) == 130
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--host", "no such host"], 2, "is no address"),
        (["--notify", "no-such-program-here"], 2, "names no program"),
        (["--webhook", "NOT_SET_ANYWHERE"], 2, "$NOT_SET_ANYWHERE holds no address"),
        (["--email", "ada@example.org"], 2, "go together"),
        (["--port", "99999"], 2, "65535"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(
    cli: Cli, home: Path, options: list[str], code: int, says: str
) -> None:
    """And no server is left behind."""
    ran = cli("serve", "--home", home, *options)
    assert ran.code == code
    assert says in ran.err


def test_a_port_that_is_taken_and_a_home_that_is_not_there(cli: Cli, home: Path) -> None:
    """Code 3 with the mend, and code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = cli("serve", "--home", home, "--port", f"{port}")
    assert ran.code == 3
    assert "--port 0" in ran.err
    assert cli("serve", "--home", home / "nowhere").code == 2
