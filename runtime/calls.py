"""Model calls: from the agent in its box to the policy outside, and back.

A call belongs to the segment in which its answer reaches the agent. An answer that comes while the
box is frozen waits for the thaw, so that a segment holds all that the agent learned in it.
"""

from collections.abc import Mapping
from typing import Any

import trio

from monastery.runtime.canonical import canonical
from monastery.runtime.errors import MonasteryError
from monastery.runtime.events import ModelCalled
from monastery.runtime.ports import Box
from monastery.runtime.records import ModelRequest
from monastery.runtime.run import Run


async def carry(run: Run, box: Box, asked: ModelRequest) -> None:
    """Carry one model call out and its answer in, recorded before the agent has it."""
    began = trio.current_time()
    answer = await _answer(run, asked.body)
    seconds = trio.current_time() - began
    async with run.delivery:
        request, response = canonical(asked.body), canonical(answer)
        await run.journal.append(
            ModelCalled(
                segment=run.segment.id,
                policy=run.world.policy.name if run.world.policy else "none",
                request=run.journal.ref(request),
                response=run.journal.ref(response),
                seconds=seconds,
            ),
            blobs=[request, response],
        )
        await box.answer(asked.call, answer)


async def _answer(run: Run, body: Mapping[str, Any]) -> Mapping[str, Any]:
    if run.world.policy is None:
        return _error("no_policy", "this project has no policy; its file may name one")
    try:
        return await run.world.policy.call(body)
    except MonasteryError as exc:
        return _error("policy_failed", str(exc))


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}
