"""What of a model call may leave: the call as it is passed on, or why it is not.

The agent's process chooses every byte of a call, whatever the box's own server would have sent. So
nothing is taken on trust: the API must be known, the model allowed, and each field known too.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from monastery.runtime.gateway import anthropic_messages, openai_chat, openai_responses
from monastery.runtime.gateway.shapes import Shape

_Forced = Callable[[dict[str, Any]], dict[str, Any]]

APIS: Mapping[str, tuple[type[Shape], _Forced]] = {
    "openai.chat": (openai_chat.Chat, openai_chat.forced),
    "openai.responses": (openai_responses.Responses, openai_responses.forced),
    "anthropic.messages": (anthropic_messages.Messages, anthropic_messages.forced),
    "anthropic.count_tokens": (anthropic_messages.CountTokens, anthropic_messages.forced),
}
"""For each API the shape of a request, and what is set in each."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A request as it may leave, and nothing else.

    Attributes:
        dropped: The names of fields that stay here, though the request is passed on.
    """

    api: str
    model: str
    request: dict[str, Any]
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing leaves, in one line for the agent."""

    api: str
    why: str
    status: int = 400
    kind: str = "invalid_request_error"


def check(
    body: Mapping[str, Any],
    *,
    apis: Container[str] = APIS,
    models: Sequence[str] = (),
    inline_data: bool = False,
) -> Passed | Refused:
    """Return what of a call may leave.

    Args:
        body: `api` and `request`, as the agent sent them.
        apis: Those that the policy speaks.
        models: The models that it may call; none named means any, where none costs anything.
        inline_data: Whether images and documents may be in it.
    """
    api, request = body.get("api"), body.get("request")
    known = APIS.get(api) if isinstance(api, str) else None
    if known is None or not isinstance(api, str):
        return Refused("", f"a model call names one of the APIs {', '.join(APIS)}")
    if set(body) != {"api", "request"} or not isinstance(request, dict):
        return Refused(api, "a model call holds `api` and `request`, and nothing else")
    if api not in apis:
        return Refused(api, f"the policy of this project does not speak {api}")
    shape, forced = known
    dropped: dict[str, None] = {}
    try:
        made = shape.model_validate(
            request, context={"inline_data": inline_data, "dropped": dropped}
        )
    except ValidationError as exc:
        return Refused(api, _why(exc))
    left = forced(_written(made))
    if models and left["model"] not in models:
        allowed = ", ".join(models)
        return Refused(api, f"the model {left['model'][:80]!r} is not allowed; allowed: {allowed}")
    return Passed(api, left["model"], left, tuple(dropped))


def failure(api: str, why: str, *, status: int, kind: str) -> dict[str, Any]:
    """Return the answer to a call that failed, as the clients of its API expect it."""
    if api.startswith("anthropic"):
        told: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": why}}
    else:
        told = {"error": {"message": why, "type": kind, "param": None, "code": kind}}
    return {"status": status, "response": told}


def _written(made: Shape) -> dict[str, Any]:
    """Return a request's fields, those that it gave and that mean something."""
    written = made.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {name: value for name, value in written.items() if value is not None}


def _why(exc: ValidationError) -> str:
    """Return the fault that says most: of a union's branches the one that was meant."""
    faults = exc.errors(include_url=False, include_input=False)

    def weight(fault: Mapping[str, Any]) -> tuple[int, int]:
        order = ("value_error", "extra_forbidden", "union_tag_invalid", "literal_error")
        rank = order.index(fault["type"]) if fault["type"] in order else len(order)
        return rank, -len(fault["loc"])

    first = min(faults, key=weight)
    where = ".".join(str(key)[:60] for key in first["loc"])
    told = "is not passed on" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{where}: {told.removeprefix('Value error, ')}"[:400]
