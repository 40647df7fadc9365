"""Real boxes, boxes with one flag taken away, and a second engine with gVisor."""

import copy
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from monastery.runtime.ports import Box
from monastery.runtime.records import BoxSpec, RunId
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.conformance import LIMITS
from monastery.sandbox.engine import Engine

IMAGE = os.environ.get("MONASTERY_BOX_IMAGE", "monastery-box:latest")

Config = dict[str, Any]
Mutate = Callable[[Config], None]
Opened = Callable[..., AbstractAsyncContextManager[Box]]


class Mutating(Engine):
    """An engine whose containers are made with something changed."""

    def __init__(self, mutate: Mutate) -> None:
        super().__init__()
        self._mutate = mutate

    async def create(self, config: Config) -> str:
        """Make a container, weakened."""
        changed = copy.deepcopy(config)
        self._mutate(changed)
        return await super().create(changed)


@pytest.fixture(scope="session")
def image() -> str:
    """The box image; no engine or no image is a failure and not a skip."""
    client = docker.from_env()
    try:
        client.images.get(IMAGE)
    finally:
        client.close()
    return IMAGE


@pytest.fixture
def opened(image) -> Opened:
    """Opens a box of a new run, perhaps weakened, and forgets the run at the end."""

    @asynccontextmanager
    async def open_box(mutate: Mutate | None = None, **spec: Any) -> AsyncIterator[Box]:
        run = RunId(f"containment-{uuid.uuid4().hex[:12]}")
        sandbox = DockerSandbox(Engine() if mutate is None else Mutating(mutate))
        try:
            async with sandbox.open(
                run, BoxSpec(**{"image": image, "limits": LIMITS, **spec})
            ) as box:
                yield box
        finally:
            await sandbox.forget(run)

    return open_box


@pytest.fixture(scope="session")
def gvisor(image, tmp_path_factory) -> Iterator[str]:
    """A second engine, in a network namespace of its own, that has gVisor; its address.

    `--bridge=none` would delete the first engine's bridge if both shared a namespace.
    """
    runsc = shutil.which("runsc")
    if runsc is None or os.geteuid() != 0:
        pytest.skip("gVisor needs the package runsc, and root to start a second engine")
    folder = Path("/tmp") / f"mo-{uuid.uuid4().hex[:8]}"  # sockets' paths are short
    folder.mkdir(mode=0o700)
    (folder / "daemon.json").write_text(
        json.dumps({"runtimes": {"runsc": {"path": runsc, "runtimeArgs": ["--network=none"]}}})
    )
    address = f"unix://{folder}/docker.sock"
    argv = ["unshare", "-n", "dockerd", "-H", address, "--data-root", f"{folder}/data"]
    argv += ["--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid", "--bridge=none"]
    argv += ["--config-file", f"{folder}/daemon.json", "--iptables=false", "--ip6tables=false"]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while subprocess.run(["docker", "-H", address, "version"], capture_output=True).returncode:
            assert daemon.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the second engine does not answer"
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(
                ["docker", "-H", address, "load"],
                stdin=saved.stdout, check=True, capture_output=True, timeout=120,
            )  # fmt: skip
        yield address
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
