"""Inspect AI's checks of sandboxes, on a real box; run by `test_inspect` in an own environment.

The environment has Inspect AI, and not our test tools: collected without our conftest, on trio.
"""

import uuid
from collections.abc import AsyncIterator

import pytest
from inspect_ai.util._sandbox.self_check import *  # noqa: F403 - collects the checks

from monastery.runtime.records import BoxLimits, BoxSpec, RunId
from monastery.sandbox.box import DockerSandbox
from tests.peers.inspect_box import InspectBox

UNSUPPORTED = {
    "test_exec_as_user": "a box has one user, no root and a read-only /etc: nobody can be added",
}
"""Checks that a box does not pass, and why that is right."""

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on trio, as we do."""
    return "trio"


@pytest.fixture(scope="module")
async def box() -> AsyncIterator[InspectBox]:
    """One box for all checks, as Inspect's own runner has it."""
    sandbox, run = DockerSandbox(), RunId(f"inspect-{uuid.uuid4().hex[:8]}")
    try:
        async with sandbox.open(run, BoxSpec("monastery-box:latest", BoxLimits())) as opened:
            yield InspectBox(opened)
    finally:
        await sandbox.forget(run)


@pytest.fixture
async def sandbox_env(request: pytest.FixtureRequest, box: InspectBox) -> InspectBox:
    """The box; a check that it cannot pass must fail."""
    reason = UNSUPPORTED.get(request.node.originalname)
    if reason is not None:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return box
