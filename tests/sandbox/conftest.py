"""Sandboxes of each kind, and the image that real boxes are made of."""

import os
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import docker
import pytest

from monastery.runtime.records import BoxLimits, BoxSpec, RunId
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.scripted import ScriptedSandbox
from monastery.sandbox.unboxed import UnboxedSandbox

IMAGE = os.environ.get("MONASTERY_BOX_IMAGE", "monastery-box:latest")


@pytest.fixture(scope="session")
def engine_api():
    """The engine, by its own SDK; no engine is a failure and not a skip."""
    try:
        client = docker.APIClient(version="auto", timeout=30)
    except docker.errors.DockerException as exc:
        pytest.fail(f"these tests need a Docker engine: {exc}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(engine_api) -> str:
    """The box image; none is a failure and not a skip."""
    try:
        engine_api.inspect_image(IMAGE)
    except docker.errors.ImageNotFound:
        pytest.fail(f"these tests need the image {IMAGE!r}: `make setup`")
    return IMAGE


@pytest.fixture
def make_sandbox(request, tmp_path):
    """Makes a sandbox of a kind: docker, docker-remote, unboxed, scripted."""

    async def idle(inside: Any) -> None:
        await inside.sleep(1e9)

    def make(kind: str) -> Any:
        if kind == "scripted":
            return ScriptedSandbox(idle)
        if kind == "unboxed":
            return UnboxedSandbox(tmp_path / "runs")
        request.getfixturevalue("image")
        return DockerSandbox(local=kind == "docker")

    return make


@pytest.fixture(params=["docker", "unboxed"])
def sandbox(request, make_sandbox):
    """A sandbox with a real guest."""
    return make_sandbox(request.param)


@pytest.fixture
def docker_sandbox(make_sandbox):
    """Real boxes."""
    return make_sandbox("docker")


Opened = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def opened() -> Opened:
    """Opens a box of a new run, and forgets the run at the end."""

    @asynccontextmanager
    async def open_box(
        sandbox,
        run=None,
        files=(),
        image=IMAGE,
        waive=(),
        gateway=False,
        web=False,
        steps=(),
        **limits,
    ):
        run = run or RunId(f"test-{uuid.uuid4().hex[:12]}")
        offers = {
            "gateway": gateway,
            "web": web,
            "steps": tuple((kind, f"what {kind} takes") for kind in steps),
        }
        spec = BoxSpec(image, BoxLimits(**limits), tuple(files), waive=tuple(waive), **offers)
        try:
            async with sandbox.open(run, spec) as box:
                yield box
        finally:
            await sandbox.forget(run)

    return open_box


@pytest.fixture
def program():
    """Starts a Python text as the agent of a box."""

    async def start(box, text, history=b"[]", **env):
        await box.write_file("agent.py", text.encode())
        await box.start_agent(["python3", "-u", "agent.py"], env=env, history=history)

    return start
