"""What counts as a vote, from a program or a person: strictly this and nothing else."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from monastery.runtime.errors import AuditFailed
from monastery.runtime.project import MOST_ALTERNATIVES
from monastery.runtime.records import Case, Vote


def _bytes(value: object) -> bytes:
    """Return the bytes that base64 text stands for."""
    if not isinstance(value, str):
        raise ValueError("must be base64 text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError("is not base64") from exc


Base64 = Annotated[bytes, BeforeValidator(_bytes)]
Score = Annotated[float, Field(ge=0.0, le=1.0)]


class Strict(BaseModel):
    """The base of every message: unknown fields and wrong types are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class VoteMessage(Strict):
    """A vote as it is given."""

    decision: Literal["approve", "modify", "reject", "escalate", "terminate"]
    score: Score
    note: Annotated[str, Field(max_length=100_000)] = ""
    modified_base64: Base64 | None = None
    scores: Annotated[list[Score], Field(max_length=MOST_ALTERNATIVES)] | None = None

    @model_validator(mode="after")
    def _modifies(self) -> Self:
        if self.decision == "modify" and self.modified_base64 is None:
            raise ValueError("modify without modified_base64: give the bytes to use instead")
        if self.decision != "modify" and self.modified_base64 is not None:
            raise ValueError(f"modified_base64 goes with modify, not with {self.decision}")
        return self

    def vote(self, auditor: str, case: Case) -> Vote:
        """Return the vote as the loop knows it.

        Raises:
            AuditFailed: The scores are not those of the case's alternatives.
        """
        scores = tuple(self.scores or ())
        if scores and len(scores) != len(case.alternatives):
            count = len(case.alternatives)
            raise AuditFailed(
                f"auditor {auditor!r} gave {len(scores)} scores for {count} alternatives;"
                " give one for each, by place, or none"
            )
        if scores and scores[case.live] != self.score:
            raise AuditFailed(
                f"auditor {auditor!r} gave the score {self.score:g}, and {scores[case.live]:g} at"
                f" the same proposal's place among the alternatives ({case.live + 1})"
            )
        return Vote(auditor, self.decision, self.score, self.note, self.modified_base64, scores)


class Compared(Strict):
    """What is said to one of several proposals."""

    decision: Literal["approve", "reject", "escalate", "terminate"]
    score: Score


class ComparedMessage(Strict):
    """A vote of someone who does not know which of the alternatives is live: one on each."""

    alternatives: Annotated[list[Compared], Field(min_length=2, max_length=MOST_ALTERNATIVES)]
    note: Annotated[str, Field(max_length=100_000)] = ""

    def vote(self, auditor: str, case: Case) -> Vote:
        """Return the vote on the live one, with the scores of all.

        Raises:
            AuditFailed: They are not as many as the case's alternatives.
        """
        count = len(case.alternatives)
        if len(self.alternatives) != count:
            raise AuditFailed(
                f"auditor {auditor!r} judged {len(self.alternatives)} alternatives, not {count}"
            )
        live = self.alternatives[case.live]
        scores = tuple(one.score for one in self.alternatives)
        return Vote(auditor, live.decision, live.score, self.note, None, scores)


def parse_json(text: str | bytes) -> Any:
    """Return the JSON value in a text, by the letter: no NaN, no field named twice.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc


def parse_vote(body: Mapping[str, Any], auditor: str, case: Case) -> Vote:
    """Return a person's vote in a JSON object: on each alternative, where there are several.

    Raises:
        AuditFailed: It is none; the message says why.
    """
    try:
        shape = ComparedMessage if case.alternatives else VoteMessage
        return shape.model_validate(body).vote(auditor, case)
    except ValidationError as exc:
        raise AuditFailed(f"auditor {auditor!r} gave no vote that counts: {fault(exc)}") from exc


def fault(error: ValidationError) -> str:
    """Return the first fault of several in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is named twice")
    return found
