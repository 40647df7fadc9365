"""The kind ``human``: a person is asked to do something, and says what came of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationError

from monastery.runtime.errors import MonasteryError
from monastery.runtime.executors import payloads
from monastery.runtime.executors.context import Context
from monastery.runtime.project import Seconds, StepSettings
from monastery.runtime.records import Item, ItemId, Outcome, Step


class HumanSettings(StepSettings):
    """Settings of the kind ``human``.

    Attributes:
        timeout_seconds: How long the request waits for a person before it expires.
    """

    timeout_seconds: Annotated[Seconds, Field(le=10 * 365 * 86400.0)] = 7 * 86400.0


class _Told(payloads.Strict):
    status: Literal["done", "failed"]
    content: str


class HumanExecutor:
    """Puts a request on the desk and waits for the answer.

    Asking again for the same step goes on waiting for the same answer, so a step of unknown outcome
    is simply asked again.
    """

    kind = "human"
    Settings: ClassVar[type[StepSettings]] = HumanSettings

    def __init__(self, settings: HumanSettings, context: Context) -> None:
        self._settings = settings
        self._context = context

    @classmethod
    def faults(cls, settings: HumanSettings, folder: Path) -> list[str]:
        """Return nothing: a desk is always there."""
        return []

    def check(self, payload: bytes) -> None:
        """Refuse what is no text."""
        payloads.prose(payload)

    def render(self, payload: bytes) -> str:
        """Return the text as the person will read it."""
        return (
            f"A person is asked to do this and to say what came of it:\n\n{payloads.prose(payload)}"
        )

    async def execute(self, step: Step) -> Outcome:
        """Ask, and wait for what came of it.

        Raises:
            MonasteryError: The answer is not one.
        """
        created = datetime.now(UTC)
        item = Item(
            id=ItemId(f"{step.segment}.human"),
            run=step.run,
            purpose="human",
            created=created,
            deadline=created + timedelta(seconds=self._settings.timeout_seconds),
            body={
                "goal": self._context.goal,
                "kind": self.kind,
                "text": payloads.prose(step.payload),
            },
        )
        answer = await self._context.desk.ask(item)
        if answer is None:
            return Outcome("expired")
        try:
            told = _Told.model_validate(dict(answer.body))
        except ValidationError as exc:
            raise MonasteryError(
                f"the answer to {item.id!r} is not one: {payloads.faults_of(exc)}"
            ) from exc
        return Outcome(told.status, {"content": told.content})

    async def reconcile(self, step: Step) -> Outcome | None:
        """Go on waiting: see the class."""
        return await self.execute(step)
