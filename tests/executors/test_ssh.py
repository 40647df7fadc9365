"""The kind ``ssh`` with OpenSSH's real server: one command, one key, one known host."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors.ssh import PerhapsRun
from tests.executors.shell_server import ShellServer, shell_server
from tests.executors.world import Faults, Make, Steps


def call(command: str, host: str = "here") -> bytes:
    """Return a payload."""
    return json.dumps({"host": host, "command": command}).encode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellServer]:
    """A server for all tests of this file."""
    with shell_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(running: ShellServer) -> ShellServer:
    """The server, with its own key in ``known_hosts``."""
    running.know("server")
    return running


async def test_command_runs_as_it_was_shown(make: Make, step: Steps, server: ShellServer) -> None:
    """What is shown is what the far shell is given; output, exit code and key come through."""
    command = "printf '%s|' \"a  b\" 'it'\\''s' \"$MONASTERY_STEP_KEY\"\necho ünd >&2; exit 3"
    executor = make("ssh", **server.settings)
    executor.check(call(command))
    outcome = await executor.execute(step("ssh", call(command)))
    assert outcome.status == "failed"
    assert outcome.content["exit_code"] == 3
    assert outcome.content["stdout"] == "a  b|it's|r.1|"
    assert outcome.content["stderr"] == "ünd\n"
    assert (outcome.content["truncated"], outcome.content["timed_out"]) == (False, False)
    shown = executor.render(call(command))
    assert f"Run on 127.0.0.1 port {server.port} as " in shown
    assert "    echo ünd >&2; exit 3" in shown
    sent = outcome.content["sent"].replace("=r.1 ", "=KEY ")
    assert "\n".join(f"    {line}" for line in sent.split("\n")) in shown


async def test_done(make: Make, step: Steps, server: ShellServer) -> None:
    """A command that ends with 0 is done, and its output is bounded."""
    executor = make("ssh", **server.settings, max_output=1000)
    outcome = await executor.execute(step("ssh", call("head -c 5000000 /dev/zero | tr '\\0' x")))
    assert outcome.status == "done"
    assert outcome.content["stdout"] == "x" * 1000
    assert outcome.content["truncated"] is True


async def test_own_exit_code_of_255(make: Make, step: Steps, server: ShellServer) -> None:
    """A command's own 255 is no broken connection."""
    outcome = await make("ssh", **server.settings).execute(step("ssh", call("exit 255")))
    assert (outcome.status, outcome.content["exit_code"]) == ("failed", 255)


async def test_nothing_is_lent(
    make: Make, step: Steps, server: ShellServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The far side finds no agent, no display, no terminal, no input and none of our variables."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("LC_SECRET", "not for you")
    outcome = await make("ssh", **server.settings).execute(
        step("ssh", call("env; tty; cat; echo end"))
    )
    assert outcome.status == "done"
    told = outcome.content["stdout"]
    assert "not a tty\nend\n" in told
    for name in ("SSH_AUTH_SOCK", "DISPLAY", "LC_SECRET"):
        assert f"\n{name}=" not in told


@pytest.mark.parametrize("key", ["other", None])
async def test_wrong_host_key_is_refused(
    make: Make, step: Steps, server: ShellServer, tmp_path: Path, key: str | None
) -> None:
    """A host with another key than the listed one, or with none listed, is not spoken to."""
    if key is None:
        (server.folder / "known_hosts").write_text("")
    else:
        server.know(key)
    command = f"touch {tmp_path}/made"
    outcome = await make("ssh", **server.settings).execute(step("ssh", call(command)))
    assert outcome.status == "failed"
    assert "Host key verification failed" in outcome.content["reason"]
    assert not (tmp_path / "made").exists()


async def test_stranger_s_key_is_refused(
    make: Make, step: Steps, server: ShellServer, tmp_path: Path
) -> None:
    """A key that the host does not know: nothing was run, for certain."""
    hosts = {"here": server.host(key=str(server.folder / "stranger"))}
    executor = make("ssh", **{**server.settings, "hosts": hosts})
    outcome = await executor.execute(step("ssh", call(f"touch {tmp_path}/made")))
    assert outcome.status == "failed"
    assert "Permission denied" in outcome.content["reason"]
    assert not (tmp_path / "made").exists()


async def test_host_that_is_not_there(make: Make, step: Steps, server: ShellServer) -> None:
    """Nobody to connect to: nothing was run, for certain."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    hosts = {"here": server.host(port=port)}
    executor = make("ssh", **{**server.settings, "hosts": hosts})
    outcome = await executor.execute(step("ssh", call("true")))
    assert outcome.status == "failed"
    assert "Connection refused" in outcome.content["reason"]


def sessions(server: int) -> list[int]:
    """Return the processes by which a server serves those who are logged in."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == server:
                found.append(int(path.parent.name))
    return found


async def test_broken_connection_is_unknown(
    make: Make, step: Steps, server: ShellServer, tmp_path: Path
) -> None:
    """When the connection breaks while the command runs, nobody knows how far it came."""
    executor = make("ssh", **server.settings)
    made = tmp_path / "made"
    command = f"echo $$ > {made}.part; mv {made}.part {made}; exec sleep 1000"
    outcomes: list[BaseException] = []

    async def run() -> None:
        try:
            await executor.execute(step("ssh", call(command)))
        except PerhapsRun as exc:
            outcomes.append(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await _until(made.exists)
        for pid in sessions(server.process.pid):
            os.kill(pid, signal.SIGKILL)
    os.kill(int(made.read_text()), signal.SIGKILL)
    (caught,) = outcomes
    assert "\n" not in str(caught)


async def test_time_limit_ends_the_far_side(
    make: Make, step: Steps, server: ShellServer, tmp_path: Path
) -> None:
    """At the time limit the command is dead over there, its children too."""
    command = f"echo $$ > {tmp_path}/main; sleep 1000 & echo $! > {tmp_path}/child; echo hi; wait"
    executor = make("ssh", **server.settings, timeout_seconds=5.0)
    outcome = await executor.execute(step("ssh", call(command)))
    assert outcome.status == "failed"
    assert (outcome.content["exit_code"], outcome.content["timed_out"]) == (124, True)
    assert outcome.content["stdout"] == "hi\n"
    for name in ("main", "child"):
        pid = int((tmp_path / name).read_text())
        await _until(partial(is_dead, pid))


def is_dead(pid: int) -> bool:
    """Say whether a process has ended; one that waits for its parent has."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 — what is waited for happens in other processes
        await trio.sleep(0.01)


async def test_interrupt_waits_for_the_command(
    make: Make, step: Steps, server: ShellServer, tmp_path: Path
) -> None:
    """A cancelled step is not cut off halfway: what came of it would be unknown."""
    outcomes = []
    with trio.CancelScope() as scope:
        scope.cancel()
        command = f"touch {tmp_path}/made"
        executor = make("ssh", **server.settings)
        outcomes.append(await executor.execute(step("ssh", call(command))))
    assert [outcome.status for outcome in outcomes] == ["done"]
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("look", "idempotent", "status", "runs"),
    [
        ("true", False, "done", 0),
        ("true", True, "done", 0),
        ("false", False, None, 0),
        ("false", True, "done", 1),
        ("exit 2", True, None, 0),
        ('test "$MONASTERY_STEP_KEY" = r.1', False, "done", 0),
        (None, True, "done", 1),
        (None, False, None, 0),
    ],
)
async def test_reconcile_looks(
    make: Make,
    step: Steps,
    server: ShellServer,
    tmp_path: Path,
    look: str | None,
    idempotent: bool,
    status: str | None,
    runs: int,
) -> None:
    """A look that ends with 0 says done; only what may be run twice is run again."""
    hosts = {"here": server.host(look=look, idempotent=idempotent)}
    executor = make("ssh", **{**server.settings, "hosts": hosts})
    outcome = await executor.reconcile(step("ssh", call(f"echo x >> {tmp_path}/runs")))
    assert (None if outcome is None else outcome.status) == status
    made = tmp_path / "runs"
    assert (made.read_text() if made.exists() else "") == "x\n" * runs


@pytest.mark.parametrize(
    "payload",
    [
        call("true", host="there"),
        call("true", host="127.0.0.1"),
        call("true", host="-oProxyCommand=x"),
        call(""),
        call(" \n"),
        call("-x"),
        call("a\0b"),
        call("a\x1b[2J"),
        call("a\rb"),
        call("a\x9bb"),
        call("\ud800"),
        call("x" * 20_000),
        b"true",
        b'{"host": "here", "command": "true", "user": "root"}',
        b'{"host": "here", "command": ["true"]}',
        b'{"host": "here"}',
    ],
)
def test_payload_is_refused(make: Make, server: ShellServer, payload: bytes) -> None:
    """Only listed hosts, and one command of visible text."""
    with pytest.raises(BadPayload) as caught:
        make("ssh", **server.settings).check(payload)
    assert "\n" not in str(caught.value)


def test_commands_may_be_bounded(make: Make, server: ShellServer) -> None:
    """With `commands`, all of a command must match one of them."""
    hosts = {"here": server.host(commands=["systemctl (start|stop) web", "uptime"])}
    executor = make("ssh", **{**server.settings, "hosts": hosts})
    executor.check(call("systemctl stop web"))
    for command in ("uptime; reboot", "uptime\nreboot", "uptime\n", "x uptime"):
        with pytest.raises(BadPayload):
            executor.check(call(command))


def test_faults_name_field_and_mend(faults: Faults, server: ShellServer, tmp_path: Path) -> None:
    """What cannot work here is told in a line each."""
    assert faults("ssh", **server.settings) == []
    (tmp_path / "open").write_text("")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "per%cent").write_text("")
    (tmp_path / "per%cent").chmod(0o600)
    hosts = {
        "gone": server.host(key="gone"),
        "open": server.host(key="open"),
        "odd": server.host(key="per%cent"),
        "unknown": server.host(host="elsewhere"),
    }
    found = faults("ssh", known_hosts=server.settings["known_hosts"], hosts=hosts, unknown="look")
    assert [fault.split(": ")[0] for fault in found] == [
        "hosts.gone.key",
        "hosts.open.key",
        "hosts.odd.key",
        "hosts.unknown.host",
        "unknown",
    ]
    (fault,) = faults("ssh", **{**server.settings, "known_hosts": "gone"})
    assert fault.startswith("known_hosts: ")


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "-oProxyCommand=x"},
        {"host": "user@host"},
        {"host": "a b"},
        {"user": "-l"},
        {"user": "a b"},
        {"port": 0},
        {"commands": ["("]},
        {"password": "x"},
    ],
)
def test_settings_are_strict(make: Make, server: ShellServer, changed: dict[str, Any]) -> None:
    """What ssh could read as an option, and the like, are faults of the project."""
    with pytest.raises(ValueError, match="validation error"):
        make("ssh", **{**server.settings, "hosts": {"here": server.host(**changed)}})
