"""A second engine, in a network namespace of its own, that a test may stop and start.

Everything of it is in one folder. Without a network namespace `--bridge=none` would delete the
bridge of the first engine.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HANGS_SECONDS = 240.0
"""When an engine counts as hung; it comes up in 2 s on an idle machine."""

OF_OTHER_USERS = ("/etc/subuid", "/etc/subgid")


class SecondEngine:
    """A dockerd beside the machine's own.

    Args:
        options: More arguments of dockerd.
        config: What its daemon.json holds.
        before: Shell commands that prepare a mount namespace of its own; without any it shares
            the machine's.
    """

    def __init__(
        self,
        *options: str,
        config: Mapping[str, Any] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="monastery-engine-"))  # sockets need short paths
        self.host = f"unix://{self.folder}/sock"
        self._options = options
        self._before = [text.format(folder=self.folder) for text in before]
        self._process: subprocess.Popen[bytes] | None = None
        self.config = dict(config or {})
        (self.folder / "daemon.json").write_text(json.dumps(self.config))
        # Engines that map users open this folder as one of them.
        self.folder.chmod(0o711)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        argv = ["dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", *self._options]
        argv += [f"--host={self.host}", f"--data-root={self.folder}/data"]
        argv += [f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/pid"]
        argv += [f"--config-file={self.folder}/daemon.json"]
        if self._before:
            text = " && ".join([*self._before, 'exec "$@"'])
            argv = ["--mount", "--propagation=private", "sh", "-c", text, "sh", *argv]
        log = self.folder / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(["unshare", "--net", *argv], stdout=file, stderr=file)
        started = time.monotonic()
        while self.docker("version").returncode != 0:
            late = time.monotonic() > started + HANGS_SECONDS
            assert self._process.poll() is None, log.read_text()[-2000:]
            assert not late, log.read_text()[-2000:]
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as an init system would."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=HANGS_SECONDS)
            self._process = None

    def kill(self) -> None:
        """End it as a crash would; what it has started lives on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=HANGS_SECONDS)
            self._process = None
            # Its containerd dies with it, and stays a zombie where nobody is init.
            for file in ("pid", "exec/containerd/containerd.pid"):
                (self.folder / file).unlink(missing_ok=True)

    def kill_containerd(self) -> None:
        """End the containerd that it has started, which it then starts again."""
        pid = int((self.folder / "exec/containerd/containerd.pid").read_text())
        os.kill(pid, signal.SIGKILL)

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
            timeout=HANGS_SECONDS,
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


@contextmanager
def started(image: str, *options: str, **how: Any) -> Iterator[SecondEngine]:
    """Start a second engine that has the image; end it with the block."""
    engine = SecondEngine(*options, **how)
    try:
        engine.start()
        engine.load(image)
        yield engine
    finally:
        engine.remove()


def unusable() -> str:
    """Return why this user cannot start one; nothing if it can."""
    if os.geteuid() != 0:
        return "only root can start a second engine"
    return "" if shutil.which("dockerd") else "there is no dockerd here, the engine's own program"
