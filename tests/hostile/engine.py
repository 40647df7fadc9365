"""A second engine, in a network namespace of its own, that a test may stop and start."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

LIMIT_SECONDS = 60.0


class SecondEngine:
    """A dockerd that keeps its boxes while it restarts; everything of it is in one folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="monastery-engine-"))  # sockets need short paths
        self.host = f"unix://{self.folder}/sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        argv = ["unshare", "--net", "dockerd", "--live-restore", "--bridge=none"]
        argv += ["--iptables=false", f"--host={self.host}", f"--data-root={self.folder}/data"]
        argv += [f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/pid"]
        log = self.folder / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(argv, stdout=file, stderr=file)
        started = time.monotonic()
        while self.docker("version").returncode != 0:
            late = time.monotonic() > started + LIMIT_SECONDS
            assert self._process.poll() is None, log.read_text()[-2000:]
            assert not late, log.read_text()[-2000:]
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as an init system would."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=LIMIT_SECONDS)
            self._process = None

    def load(self, image: str) -> None:
        """Give it an image of the first engine."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            done = self.docker("load", stdin=saved.stdout)
        assert done.returncode == 0, done.stderr

    def docker(self, *args: str, stdin: object = None) -> "subprocess.CompletedProcess[str]":
        """Ask it something."""
        return subprocess.run(
            ["docker", "--host", self.host, *args],
            stdin=stdin,  # type: ignore[call-overload]
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )

    def remove(self) -> None:
        """End it with all that it holds."""
        if self._process is not None:
            left = self.docker("ps", "--all", "--quiet").stdout.split()
            if left:
                self.docker("rm", "--force", *left)
        self.stop()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(str(self.folder)):
                subprocess.run(["umount", mount], check=True)
        shutil.rmtree(self.folder)


def usable() -> bool:
    """Whether this user may start one."""
    return os.geteuid() == 0 and shutil.which("dockerd") is not None
