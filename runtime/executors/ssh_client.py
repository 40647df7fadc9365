"""One command through OpenSSH's own client, knowing whether it can have run.

The client's exit code 255 means a command's own as well as every failure; its log, kept apart from
the command's stderr, says how far it came.
"""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import trio

from monastery.runtime.errors import MonasteryError
from monastery.runtime.executors import process
from monastery.runtime.executors.command import MARK
from monastery.runtime.executors.process import Ended

_SLACK_SECONDS = 30.0
"""How much longer than the far side's limit the client may take, beside connecting."""
_MAX_LOG_BYTES = 256 << 10
_SESSION = re.compile(r"^(?:Authenticated to |debug1: Sending command)", re.MULTILINE)
_ENDED = re.compile(r"^debug1: client_input_channel_req: .* rtype exit-status ", re.MULTILINE)
_NO_SESSION = re.compile(
    r"^(?:.*: Permission denied|Host key verification failed|No .* host key is known|"
    r"ssh: connect to host |ssh: Could not resolve|Connection (?:closed|reset|timed out)|"
    r"kex_exchange_identification: |ssh_dispatch_run_fatal: |Unable to negotiate|banner exchange)"
)
"""What the client says when it gave up before anybody had logged in."""

_STRICT = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "GlobalKnownHostsFile": "none",
    "UpdateHostKeys": "no",
    "VerifyHostKeyDNS": "no",
    "CheckHostIP": "no",
    "CanonicalizeHostname": "no",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "AddKeysToAgent": "no",
    "PreferredAuthentications": "publickey",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "HostbasedAuthentication": "no",
    "GSSAPIAuthentication": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "Tunnel": "no",
    "PermitLocalCommand": "no",
    "ProxyCommand": "none",
    "ControlMaster": "no",
    "ControlPath": "none",
    "RequestTTY": "no",
    "EscapeChar": "none",
    "ConnectionAttempts": "1",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "LogLevel": "DEBUG1",
}
"""Nothing but one command, by one key, on one host that is known already.

The log, which is kept apart from the command's own stderr, says how far the client came: its exit
code 255 means a command's own as well as every failure.
"""


class PerhapsRun(MonasteryError):
    """The connection broke after somebody had logged in; nobody knows how far the command came."""


class NotRun(Exception):
    """The command was certainly not started; the text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to log in, as whom, and by which keys: of theirs and of ours."""

    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended on the far side, and how long it took with the way there."""

    ended: Ended
    took_seconds: float


async def run(
    target: Target,
    line: str,
    *,
    step_key: str,
    connect_seconds: int,
    timeout_seconds: float,
    max_output_bytes: int,
) -> Ran:
    """Have the far side's shell run one line to its end.

    Args:
        line: As the far shell is given it; it ends by itself within the time limit.
        timeout_seconds: How long the line may take, beside connecting.

    Raises:
        NotRun: For certain.
        PerhapsRun: Nobody knows.
    """
    limit = timeout_seconds + connect_seconds + _SLACK_SECONDS
    with tempfile.TemporaryDirectory(prefix="monastery-ssh-") as folder:
        log = Path(folder) / "log"
        began = trio.current_time()
        try:
            ended = await process.run(
                _argv(target, line, connect_seconds, log),
                cwd=Path("/"),
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", MARK: step_key},
                mark=MARK,
                timeout_seconds=limit,
                max_output_bytes=max_output_bytes,
            )
        except OSError as exc:
            raise NotRun(f"ssh could not be started: {exc}") from exc
        took = trio.current_time() - began
        said = _read(log)
    code = ended.exit_code
    if code is not None and 0 <= code != 255:
        return Ran(ended, took)
    if code == 255 and _ENDED.search(said):
        return Ran(ended, took)
    lines = [line for line in said.splitlines() if line and not line.startswith("debug")]
    why = " ".join("; ".join(lines[-4:]).split())[-400:] or "the client did not say why"
    where = f"{target.user}@{target.host}:{target.port}"
    if code == 255 and not _SESSION.search(said) and any(map(_NO_SESSION.match, lines)):
        raise NotRun(f"{where}: {why}")
    raise PerhapsRun(f"the connection to {where} broke while the command may have run: {why}")


def _argv(target: Target, line: str, connect_seconds: int, log: Path) -> list[str]:
    options = {
        **_STRICT,
        "UserKnownHostsFile": str(target.known_hosts),
        "IdentityFile": str(target.key),
        "ConnectTimeout": str(connect_seconds),
    }
    given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    where = ["-p", str(target.port), "-l", target.user, "--", target.host]
    return ["ssh", "-F", "none", "-E", str(log), *given, *where, line]


def _read(log: Path) -> str:
    try:
        with log.open("rb") as file:
            return file.read(_MAX_LOG_BYTES).decode("utf-8", "backslashreplace")
    except OSError:
        return ""
