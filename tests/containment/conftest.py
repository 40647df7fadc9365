"""Real boxes, boxes with one flag taken away, and a second engine with gVisor."""

import copy
import os
import shutil
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
from tests.hostile.engine import OF_OTHER_USERS, started, unusable

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
def gvisor(image) -> Iterator[str]:
    """The address of a second engine that has gVisor."""
    runsc = shutil.which("runsc")
    if why := unusable() or ("" if runsc else "gVisor is not here: it needs the package runsc"):
        pytest.skip(why)
    runtimes = {"runtimes": {"runsc": {"path": runsc, "runtimeArgs": ["--network=none"]}}}
    with started(image, config=runtimes) as engine:
        yield engine.host


@pytest.fixture(scope="session")
def user_namespaces(image) -> Iterator[str]:
    """The address of one whose boxes' users are not the host's, and that has a search domain."""
    missing = [path for path in OF_OTHER_USERS if not Path(path).exists()]
    if why := unusable() or (f"{missing[0]} is not here to be mounted over" if missing else ""):
        pytest.skip(why)
    # The lists that give it users are its own, for nothing of this machine is changed.
    before = ["echo daemon:100000:65536 > {folder}/users"]
    before += [f"mount --bind {{folder}}/users {path}" for path in OF_OTHER_USERS]
    with started(
        image, "--userns-remap=daemon", "--dns-search=domain.example", before=before
    ) as engine:
        yield engine.host


@pytest.fixture(scope="session")
def unified(image) -> Iterator[str]:
    """The address of one that sees nothing but control groups of version 2."""
    if why := unusable():
        pytest.skip(why)
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("all control groups here are of version 2, as every test sees them")
    with started(image, before=["mount -t cgroup2 none /sys/fs/cgroup"]) as engine:
        yield engine.host
