"""The kind ``ssh``: one command on a listed host, by OpenSSH's own client."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import payloads, showing, ssh_client
from monastery.runtime.executors.command import MARK
from monastery.runtime.executors.context import Context, resolve
from monastery.runtime.executors.ssh_client import NotRun, PerhapsRun, Ran, Target
from monastery.runtime.project import Seconds, Settings, Size, StepSettings
from monastery.runtime.records import Outcome, Step

MAX_COMMAND_BYTES = 16 << 10
_GRACE_SECONDS = 5
"""How long the far side has to end at the limit before it is killed."""
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+,@:-]+")
HostName = Annotated[str, Field(pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|[0-9a-f:]{2,45})$")]
UserName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
ShortName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class HostSettings(Settings):
    """A host that commands may be run on.

    Attributes:
        host: Its name or address, as it stands in `known_hosts`.
        port: Where its server listens.
        user: Who logs in.
        key: The private key's file; no other is tried, and no agent asked.
        commands: Regular expressions, one of which all of a command must match; None allows any.
        look: After a crash this command is run; when it ends with 0 the step was done.
        idempotent: Whether running a command twice with the same key does no harm.
    """

    host: HostName
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: UserName
    key: Annotated[str, Field(min_length=1)]
    commands: list[str] | None = None
    look: Annotated[str, Field(min_length=1)] | None = None
    idempotent: bool = False

    @field_validator("commands")
    @classmethod
    def _expressions(cls, value: list[str] | None) -> list[str] | None:
        for pattern in value or ():
            try:
                re.compile(pattern)
            except re.error as exc:
                raise ValueError(f"{pattern!r} is no regular expression: {exc}") from exc
        return value


class SshSettings(StepSettings):
    """Settings of the kind ``ssh``.

    Attributes:
        hosts: The hosts by the name that a proposal calls them.
        known_hosts: A file with the hosts' keys, as OpenSSH has them; an unknown host is refused.
        connect_seconds: How long connecting may take.
        timeout_seconds: After this the command is ended on the far side.
        max_output: How much of stdout, and of stderr, the agent is told.
    """

    hosts: Annotated[dict[ShortName, HostSettings], Field(min_length=1)]
    known_hosts: Annotated[str, Field(min_length=1)]
    connect_seconds: Annotated[int, Field(gt=0)] = 15
    timeout_seconds: Seconds = 60.0
    max_output: Size = 64 << 10

    def can_look(self) -> bool:
        """Whether on some host it can be looked for, or run again."""
        return any(host.look or host.idempotent for host in self.hosts.values())


class _Call(payloads.Strict):
    host: str
    command: str


class SshExecutor:
    """Runs one command on a host that the project's owner listed."""

    kind = "ssh"
    Settings: ClassVar[type[StepSettings]] = SshSettings

    def __init__(self, settings: SshSettings, context: Context) -> None:
        self._settings = settings
        self._folder = context.folder

    @classmethod
    def faults(cls, settings: SshSettings, folder: Path) -> list[str]:
        """Return what is wrong with the client, the keys and the list of known hosts."""
        faults = []
        if shutil.which("ssh") is None:
            faults.append("there is no program ssh; install OpenSSH's client")
        known = resolve(folder, settings.known_hosts)
        faults += _file_faults("known_hosts", known)
        listed = not faults and shutil.which("ssh-keygen") is not None
        for name, host in settings.hosts.items():
            key = resolve(folder, host.key)
            faults += _file_faults(f"hosts.{name}.key", key)
            if key.is_file() and key.stat().st_mode & 0o077:
                faults.append(f"hosts.{name}.key: others may read {str(key)!r}; chmod 600 it")
            if listed and not _is_known(host, known):
                faults.append(
                    f"hosts.{name}.host: {_known_as(host)!r} is not in {str(known)!r}; "
                    "add its key after comparing it with the host's own"
                )
        if settings.unknown == "look" and not settings.can_look():
            faults.append("unknown: is 'look', but no host has look or is idempotent; write ask")
        return faults

    def check(self, payload: bytes) -> None:
        """Refuse a host that is not listed, or a command beyond its bounds."""
        self._call(payload)

    def render(self, payload: bytes) -> str:
        """Return the command, where it is run and as whom, and the exact line that is sent."""
        host, command = self._call(payload)
        return "\n".join(
            [
                f"Run on {host.host} port {host.port} as {host.user}:",
                showing.show(command.encode()),
                "",
                "Sent, KEY being the step's key:",
                showing.show(self._sent(command, "KEY").encode()),
            ]
        )

    async def execute(self, step: Step) -> Outcome:
        """Run the command to its end or its time limit; an interrupt waits for that.

        Raises:
            PerhapsRun: The connection broke while it may have run.
            MonasteryError: The client could not be killed.
        """
        host, command = self._call(step.payload)
        try:
            ran = await self._run(host, command, step.key)
        except NotRun as exc:
            return Outcome("failed", {"reason": f"nothing was run: {exc}"})
        told = self._told(ran, command, step.key)
        return Outcome("done" if ran.ended.exit_code == 0 else "failed", told)

    async def reconcile(self, step: Step) -> Outcome | None:
        """Look, or run again what may be run twice; else None."""
        host, _ = self._call(step.payload)
        if host.look is not None:
            try:
                looked = await self._run(host, host.look, step.key)
            except (NotRun, PerhapsRun):
                return None
            if looked.ended.exit_code == 0:
                told = self._told(looked, host.look, step.key)
                return Outcome("done", {"looked": True} | told)
            if looked.ended.exit_code != 1:  # it could not look
                return None
        return await self.execute(step) if host.idempotent else None

    def _told(self, ran: Ran, command: str, key: str) -> dict[str, object]:
        """Return what the agent is told of a command that ended."""
        late = ran.took_seconds >= self._settings.timeout_seconds
        return {
            "exit_code": ran.ended.exit_code,
            "stdout": ran.ended.stdout.decode("utf-8", "backslashreplace"),
            "stderr": ran.ended.stderr.decode("utf-8", "backslashreplace"),
            "truncated": ran.ended.truncated,
            "timed_out": late and ran.ended.exit_code in {124, 137},
            "sent": self._sent(command, key),
        }

    async def _run(self, host: HostSettings, command: str, key: str) -> Ran:
        """Run a command on a host to its end.

        Raises:
            NotRun: For certain.
            PerhapsRun: Nobody knows.
        """
        target = Target(
            host=host.host,
            port=host.port,
            user=host.user,
            key=resolve(self._folder, host.key),
            known_hosts=resolve(self._folder, self._settings.known_hosts),
        )
        return await ssh_client.run(
            target,
            self._sent(command, key),
            step_key=key,
            connect_seconds=self._settings.connect_seconds,
            timeout_seconds=self._settings.timeout_seconds + _GRACE_SECONDS,
            max_output_bytes=self._settings.max_output,
        )

    def _sent(self, command: str, key: str) -> str:
        """Return the line that the far side's shell is given.

        A client that dies leaves the command running: `timeout`, over there, ends it all the same.
        """
        limit = f"{self._settings.timeout_seconds:.3f}".rstrip("0").rstrip(".")
        words = ["env", f"{MARK}={key}", "timeout", "-k", str(_GRACE_SECONDS), limit]
        return shlex.join([*words, "sh", "-c", command])

    def _call(self, payload: bytes) -> tuple[HostSettings, str]:
        """Return the host and the command that a payload asks for."""
        call = payloads.parse(payload, _Call)
        host = self._settings.hosts.get(call.host)
        if host is None:
            raise BadPayload(
                f"the host {call.host[:80]!r} is not one of: {', '.join(self._settings.hosts)}"
            )
        command = call.command
        if not command.strip() or command.startswith("-"):
            raise BadPayload("the command is empty, or begins with '-'")
        if any(0xD800 <= ord(char) < 0xE000 for char in command):
            raise BadPayload("the command holds half a surrogate pair")
        if len(command.encode()) > MAX_COMMAND_BYTES:
            raise BadPayload(f"the command is longer than {MAX_COMMAND_BYTES} bytes")
        for char in command:
            if (ord(char) < 0x20 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0:
                raise BadPayload(f"the command holds the control character U+{ord(char):04X}")
        patterns = host.commands
        if patterns is not None and not any(re.fullmatch(one, command) for one in patterns):
            raise BadPayload(f"the command is none of those allowed on {call.host!r}: {patterns}")
        return host, command


def _known_as(host: HostSettings) -> str:
    return host.host if host.port == 22 else f"[{host.host}]:{host.port}"


def _is_known(host: HostSettings, known: Path) -> bool:
    argv = ["ssh-keygen", "-F", _known_as(host), "-f", str(known)]
    return subprocess.run(argv, capture_output=True, check=False, timeout=60).returncode == 0


def _file_faults(field: str, path: Path) -> list[str]:
    if not path.is_file():
        return [f"{field}: {str(path)!r} is no file; make it, or name another"]
    if _PLAIN_PATH.fullmatch(str(path)) is None:
        return [f"{field}: {str(path)!r} has a character that ssh reads as its own; move the file"]
    return []
