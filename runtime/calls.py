"""Model calls: from the agent in its box to the policy outside, and back.

A call belongs to the segment in which its answer reaches the agent. An answer that comes while the
box is frozen waits for the thaw, so that a segment holds all that the agent learned in it. A call
whose asker went away is cancelled at the provider too, and recorded as that.

A call of one of the APIs (`gateway`) is `{"api": …, "request": …}`, and its answer `{"status": …,
"response": …}`. What a scripted policy is asked without naming an API goes to it as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

from monastery.runtime import fetches
from monastery.runtime.canonical import canonical
from monastery.runtime.errors import MonasteryError
from monastery.runtime.events import ModelCalled
from monastery.runtime.gateway import wall
from monastery.runtime.gateway.usage import (
    cost,
    log_probabilities,
    reckoned,
    sampled_tokens,
    tokens,
)
from monastery.runtime.ports import Box
from monastery.runtime.project import PolicySettings
from monastery.runtime.records import ModelRequest, WebRequest
from monastery.runtime.run import Run

WAITING_BYTES = 192 << 20
"""How long answers may be together that wait to be recorded and delivered, say for a thaw."""

_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class _Answered:
    """An answer, and what the record says of it beside its bytes."""

    body: Mapping[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    sampled: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Carried:
    """A call that is over but for its delivery.

    Attributes:
        response: What the agent gets, as canonical JSON.
        facts: What the record says of it beside its bytes.
        seconds: How long it took.
        sampled: What the policy says of the tokens that it read and drew; the agent never has it.
    """

    asked: ModelRequest
    scope: trio.CancelScope
    response: bytes
    facts: Mapping[str, Any]
    seconds: float
    sampled: bytes | None


class Carrier:
    """Carries the model calls and the fetches of one box, each in a task of its own.

    Args:
        run: The run.
        box: The box.
        nursery: Of the tasks.
        alternative: The rollout that thinks in the box; None in the run's own.
    """

    def __init__(
        self, run: Run, box: Box, nursery: trio.Nursery, alternative: str | None = None
    ) -> None:
        self._run = run
        self._alternative = alternative
        self._box = box
        self._nursery = nursery
        self._scopes: dict[int, trio.CancelScope] = {}
        self._carried: list[_Carried] = []

    def begin(self, asked: ModelRequest) -> None:
        """Begin to carry a call."""
        scope = self._scopes[asked.call] = trio.CancelScope()
        self._nursery.start_soon(self._carry, asked, scope)

    def cancel(self, call: int) -> None:
        """Carry a call no further, if it is not over: nobody waits for its answer."""
        scope = self._scopes.get(call)
        if scope is not None:
            scope.cancel()

    def cancel_all(self) -> None:
        """Carry no call further: nobody will hear the answers."""
        for scope in self._scopes.values():
            scope.cancel()

    def fetch(self, asked: WebRequest) -> None:
        """Carry what the cached web is asked."""
        self._nursery.start_soon(fetches.carry, self._run, self._box, asked, self._alternative)

    async def _carry(self, asked: ModelRequest, scope: trio.CancelScope) -> None:
        """Carry one call out and its answer in, recorded before the agent has it."""
        run, began, answer = self._run, trio.current_time(), None
        with scope:
            answer = await _answer(run, asked.body)
        seconds = trio.current_time() - began
        if answer is None:
            answer = _answer_to_nobody(run, asked.body, seconds)
        response = canonical(answer.body)
        if sum(len(one.response) for one in self._carried) + len(response) > WAITING_BYTES:
            answer = _too_much(answer)
            response = canonical(answer.body)
        carried = _Carried(asked, scope, response, answer.facts, seconds, answer.sampled)
        self._carried.append(carried)
        async with run.delivery:
            if self._carried:  # else the one who came before delivered it with its own
                await self._deliver()

    async def _deliver(self) -> None:
        """Record all calls that are over in one append, and put their answers into the box."""
        run, (carried, self._carried) = self._run, (self._carried, [])
        events, blobs = [], list[bytes]()
        for one in carried:
            del self._scopes[one.asked.call]
            request = canonical(one.asked.body)
            event = ModelCalled(
                segment=run.segment.id,
                policy=run.world.policy.name if run.world.policy else "none",
                request=run.journal.ref(request),
                response=run.journal.ref(one.response),
                seconds=one.seconds,
                cancelled=one.scope.cancel_called,
                sampled=None if one.sampled is None else run.journal.ref(one.sampled),
                alternative=self._alternative,
                **one.facts,
            )
            events.append(event)
            blobs += [request, one.response, *([] if one.sampled is None else [one.sampled])]
        await run.journal.append(*events, blobs=blobs)
        for one in carried:
            await self._box.answer(one.asked.call, one.response)


async def _answer(run: Run, body: Mapping[str, Any]) -> _Answered:
    if run.world.policy is None:
        why = "this project has no policy; its file may name one"
        return _Answered(_error("no_policy", why), {"refused": "no policy"})
    settings = run.project.policy or PolicySettings()
    if "api" in body or settings.apis is not None:
        return await _answer_api(run, settings, body)
    spent = _why_spent(run, settings)
    if spent is not None:
        return _Answered(_error("budget_exhausted", spent), {"refused": spent})
    try:
        said = await run.world.policy.call(body)
        return _Answered(said, {"version": _version(run, settings)})
    except MonasteryError as exc:
        return _Answered(_error("policy_failed", str(exc)))


async def _answer_api(run: Run, settings: PolicySettings, body: Mapping[str, Any]) -> _Answered:
    """Answer a call of an API: through the wall, within the budget, by the policy."""
    assert run.world.policy is not None, "asked before"
    if body == {"api": "models", "request": {}}:
        told = {"status": 200, "response": {"models": list(settings.models)}}
        return _Answered(told, {"api": "models", "status": 200, "refused": "answered here"})
    passed = _check(settings, body)
    if isinstance(passed, wall.Passed):
        spent = _why_spent(run, settings)
        if spent is not None:
            passed = wall.Refused(passed.api, spent, 429, "insufficient_quota")
    if isinstance(passed, wall.Refused):
        told = wall.failure(passed.api, passed.why, status=passed.status, kind=passed.kind)
        facts = {"api": passed.api or None, "status": passed.status, "refused": passed.why}
        return _Answered(told, facts)
    try:
        said = await run.world.policy.call({"api": passed.api, "request": passed.request})
    except MonasteryError as exc:
        said = wall.failure(passed.api, str(exc), status=502, kind="api_error")
    sampled = None
    if set(said) == {"status", "response", "sampled"}:
        said, sampled = {"status": said["status"], "response": said["response"]}, said["sampled"]
    if not _has_status(said):
        said = {"status": 500 if "error" in said else 200, "response": dict(said)}
    used = tokens(said["response"]) if said["status"] == 200 else None
    return _Answered(
        said,
        {
            "api": passed.api,
            "model": passed.model[:_NAME_CHARACTERS],
            "version": _version(run, settings),
            "dropped": list(passed.dropped),
            "status": said["status"],
            "tokens_in": used and used[0],
            "tokens_out": used and used[1],
            "cost": used and cost(used, settings.prices.get(passed.model)),
            "logprobs": sampled_tokens(sampled) or log_probabilities(said["response"]),
        },
        None if sampled is None else canonical(sampled),
    )


def _version(run: Run, settings: PolicySettings) -> str | None:
    """Return which state of the policy answered: its own word, else what the project calls it."""
    version: str | None = getattr(run.world.policy, "version", None)
    return version or settings.version


def _answer_to_nobody(run: Run, body: Mapping[str, Any], seconds: float) -> _Answered:
    """Return what is recorded in the place of an answer that nobody waited for.

    What the provider charges for it is never told, and an agent that hangs up in time must not
    think for nothing: so its tokens are reckoned, and count in the budget.
    """
    settings = run.project.policy or PolicySettings()
    why = "nobody waited for the answer any more"
    passed = _check(settings, body) if "api" in body else None
    if not isinstance(passed, wall.Passed):
        return _Answered(_error("cancelled", why))
    used = reckoned(passed.request, seconds)
    facts = {"api": passed.api, "model": passed.model[:_NAME_CHARACTERS]}
    return _Answered(
        wall.failure(passed.api, why, status=499, kind="cancelled"),
        {
            **facts,
            "version": settings.version,
            "dropped": list(passed.dropped),
            "status": 499,
            "tokens_in": used[0],
            "tokens_out": used[1],
            "cost": cost(used, settings.prices.get(passed.model)),
            "reckoned": True,
        },
    )


def _too_much(answer: _Answered) -> _Answered:
    """Return what stands in the place of an answer for which there is no room until the thaw."""
    why = f"more than {WAITING_BYTES} bytes of answers wait; make fewer calls at a time"
    api = answer.facts.get("api")
    if api is None:
        return _Answered(_error("too_much", why), answer.facts)
    told = wall.failure(api, why, status=502, kind="api_error")
    return _Answered(told, {**answer.facts, "status": 502, "logprobs": None})


def _check(settings: PolicySettings, body: Mapping[str, Any]) -> wall.Passed | wall.Refused:
    """Hold a call against the project's wall."""
    return wall.check(
        body,
        apis=wall.APIS if settings.apis is None else settings.apis,
        models=settings.models,
        inline_data=settings.inline_data,
    )


def _has_status(said: Mapping[str, Any]) -> bool:
    """Whether an answer is an API's; a script may say anything."""
    status = said.get("status")
    return set(said) == {"status", "response"} and type(status) is int and 200 <= status <= 599


def _why_spent(run: Run, settings: PolicySettings) -> str | None:
    """Return why the run may make no more calls, or None when it may."""
    budget, spent = settings.budget, run.story.spent
    for name, limit, used in (
        ("calls", budget.calls, spent.calls),
        ("tokens", budget.tokens, spent.tokens),
        ("money", budget.money, spent.cost),
    ):
        if limit is not None and used >= limit:
            return f"the budget of this run is used up: {used:g} of {limit:g} {name}"
    return None


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}
