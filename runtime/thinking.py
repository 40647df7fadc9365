"""Thinking: what an agent says while its box is not frozen, up to something that can be judged.

The run's own box and the boxes of its rollouts (`alternatives`) are listened to alike; what is
recorded of a rollout names it.
"""

from typing import Any

from monastery.runtime import calls
from monastery.runtime.errors import BadPayload
from monastery.runtime.events import ProposalRefused
from monastery.runtime.ports import Box
from monastery.runtime.records import (
    AgentExited,
    FromAgent,
    ModelCancelled,
    ModelRequest,
    ProposalRequest,
    WebRequest,
)
from monastery.runtime.run import Run


async def listen(box: Box, carrier: calls.Carrier) -> ProposalRequest | AgentExited:
    """Have what the agent asks carried to and fro, until it proposes or its program ends.

    Raises:
        BoxError: The box broke.
    """
    while True:
        said: FromAgent = await box.receive()
        match said:
            case AgentExited() | ProposalRequest():
                return said
            case WebRequest():
                carrier.fetch(said)
            case ModelCancelled():
                carrier.cancel(said.call)
            case ModelRequest():
                carrier.begin(said)


async def refuse(
    run: Run, box: Box, asked: ProposalRequest, reason: str, alternative: str | None = None
) -> None:
    """Tell the agent why what it asked for is no proposal; its segment goes on."""
    await run.journal.append(
        ProposalRefused(
            segment=run.segment.id,
            kind=asked.kind,
            payload=run.journal.ref(asked.payload),
            reason=reason,
            alternative=alternative,
        ),
        blobs=[asked.payload],
    )
    told: dict[str, Any] = {"status": "rejected", "kind": asked.kind, "step": None, "content": {}}
    await box.answer(asked.call, told | {"feedback": reason})


def why_not(run: Run, asked: ProposalRequest) -> str | None:
    """Return why a proposal cannot even be judged, or None when it can."""
    executor = run.world.executors.get(asked.kind)
    if executor is None:
        allowed = ", ".join(sorted(run.world.executors))
        return f"no step of kind {asked.kind!r} is allowed here; allowed: {allowed}"
    try:
        executor.check(asked.payload)
    except BadPayload as exc:
        return str(exc)
    return None
