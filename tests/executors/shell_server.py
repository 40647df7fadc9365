"""OpenSSH's own server for the tests, on a free port, for whoever runs them."""

import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.executors.mail import free_port


@dataclass
class ShellServer:
    """A server that runs, with the keys that open it."""

    folder: Path
    port: int
    process: subprocess.Popen[str]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the kind ``ssh`` with this server as the host ``here``."""
        return {"known_hosts": str(self.folder / "known_hosts"), "hosts": {"here": self.host()}}

    def host(self, **more: Any) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "key": str(self.folder / "user"),
            **more,
        }

    def know(self, key: str) -> None:
        """Make `known_hosts` hold this key as the server's."""
        public = (self.folder / f"{key}.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}")


def new_key(path: Path) -> None:
    """Make a key pair without a passphrase."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(argv, check=True, timeout=60)


@contextlib.contextmanager
def shell_server(folder: Path) -> Iterator[ShellServer]:
    """Run sshd until the block is left."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if sshd is None:
        pytest.fail("there is no sshd; `scripts/setup tests` installs it", pytrace=False)
    for name in ("server", "other", "user", "stranger"):
        new_key(folder / name)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    port = free_port()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/server\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = subprocess.Popen(
        [sshd, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.PIPE, text=True
    )
    server = ShellServer(folder, port, process)
    try:
        assert process.stderr is not None
        told = ""
        while "Server listening" not in told:
            line = process.stderr.readline()
            assert line, f"sshd ended: {told}"
            told += line
        server.know("server")
        yield server
    finally:
        process.terminate()
        process.wait(60)
        assert process.stderr is not None
        process.stderr.close()
