"""The kind ``plan``: a decomposition of the task is put on record, and nothing else happens."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import payloads
from monastery.runtime.executors.context import Context
from monastery.runtime.project import StepSettings
from monastery.runtime.records import Outcome, Step

_MAX_STEPS = 1000


class PlanSettings(StepSettings):
    """Settings of the kind ``plan``: only those that every kind has."""


class _Plan(payloads.Strict):
    steps: Annotated[list[str], Field(min_length=1, max_length=_MAX_STEPS)]


class PlanExecutor:
    """Counts the steps of a plan. The record that the agent made it is the proposal itself."""

    kind = "plan"
    Settings: ClassVar[type[StepSettings]] = PlanSettings

    def __init__(self, settings: PlanSettings, context: Context) -> None:
        """Take what every executor is given; a plan needs none of it."""

    @classmethod
    def faults(cls, settings: PlanSettings, folder: Path) -> list[str]:
        """Return nothing: a plan needs nothing of the machine."""
        return []

    def check(self, payload: bytes) -> None:
        """Refuse what is no list of steps."""
        _steps(payload)

    def render(self, payload: bytes) -> str:
        """Return the steps, numbered from 1."""
        return "\n".join(f"{number}. {step}" for number, step in enumerate(_steps(payload), 1))

    async def execute(self, step: Step) -> Outcome:
        """Do nothing, and tell how many steps the plan has."""
        return Outcome("done", {"recorded": len(_steps(step.payload))})

    async def reconcile(self, step: Step) -> Outcome | None:
        """Return the same as ever."""
        return await self.execute(step)


def _steps(payload: bytes) -> list[str]:
    """Return the steps of ``{"steps": [...]}`` or of plain text, one a line."""
    if payload.lstrip().startswith(b"{"):
        steps = payloads.parse(payload, _Plan).steps
    else:
        steps = [line for line in payloads.prose(payload).split("\n") if line.strip()]
    if len(steps) > _MAX_STEPS:
        raise BadPayload(f"the plan has {len(steps)} steps, allowed are {_MAX_STEPS}")
    if not all(step.strip() for step in steps):
        raise BadPayload("the plan has an empty step; leave it out")
    return [step.strip() for step in steps]
