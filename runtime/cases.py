"""Cases: what an auditor is shown of a proposal, and nothing else. Pure.

The core of a case is a JSON object with every shown word in it, and hashes where bytes are shown.
It is recorded before anyone votes, under the name that votes and rewards give, and its shape has no
place for the outcome of the step that is judged.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from monastery.runtime.canonical import canonical, sha256
from monastery.runtime.records import Case, EarlierStep, ItemId, Proposal, Shown

FORMAT = "monastery.case.v1"
EARLIER_STEPS = 20
"""How many of the last steps an auditor is told of."""
EARLIER_BYTES = 4096
"""How much of an earlier step's payload, and of its outcome, is shown at most."""


def make_case(
    goal: str,
    proposal: Proposal,
    *,
    rendering: str,
    settings: Mapping[str, Any],
    earlier: Sequence[EarlierStep],
    alternatives: tuple[Shown, ...] = (),
) -> Case:
    """Return the case of a proposal.

    Args:
        goal: The project's goal.
        proposal: The frozen proposal.
        rendering: Its payload, decoded for its kind.
        settings: Its kind's settings, without secrets.
        earlier: Steps before it, the latest last; nothing that came of it or later.
        alternatives: All proposals of the moment by place, this one too, where there are several.
    """
    assert all(step.index < proposal.index for step in earlier), "outcomes are hidden"
    case = Case(
        item=ItemId(f"{proposal.segment}.audit"),
        goal=goal,
        proposal=proposal,
        rendering=rendering,
        settings=settings,
        earlier=tuple(earlier[-EARLIER_STEPS:]),
        digest=sha256(b""),
        alternatives=alternatives,
    )
    return replace(case, digest=sha256(core(case)))


def core(case: Case) -> bytes:
    """Return a case's core as canonical JSON; `Case.digest` is its SHA-256."""
    return canonical(_core(case))


def shown(case: Case) -> dict[str, Any]:
    """Return all of a case as plain JSON values: the core, and the bytes behind its hashes."""
    told = alone(case)
    if case.alternatives:
        told["alternatives"] = [_offered(one) | _bytes(one.proposal) for one in case.alternatives]
    return told


def alone(case: Case) -> dict[str, Any]:
    """Return what `shown` does, but for the alternatives: what is decided, not compared."""
    told = _core(case)
    told.pop("alternatives", None)
    return told | {"item": case.item, "digest": case.digest} | _bytes(case.proposal)


def compared(case: Case) -> dict[str, Any]:
    """Return what people are shown where there are alternatives: not which of them is live."""
    told = shown(case)
    if not case.alternatives:
        return told
    for name in _OF_ONE:
        del told[name]
    kinds = sorted({one.proposal.kind for one in case.alternatives})
    return told | {"kind": " or ".join(kinds)}


_OF_ONE = (
    "proposal",
    "payload_sha256",
    "payload_base64",
    "rendering",
    "rationale",
    "evidence",
    "changes",
    "settings",
)
"""Fields of a case that tell of the live proposal alone."""


def _bytes(proposal: Proposal) -> dict[str, Any]:
    return {
        "payload_base64": base64.b64encode(proposal.payload).decode(),
        "evidence": [
            {"name": one.name, "base64": base64.b64encode(one.content).decode()}
            for one in proposal.evidence
        ],
    }


def name_of(case: Case, name: str, wants: Mapping[str, Any]) -> ItemId:
    """Return the id of a question about a case.

    Where there are planted questions it ends in six digits, made of the proposal's hash, which is
    salted: two questions about the same step differ in no more than theirs.

    Args:
        case: What is judged.
        name: The question's own name.
        wants: What its asker wants of the desk.
    """
    digits = int(case.proposal.digest[:15], 16) % 10**6
    return ItemId(f"{name}~{digits:06d}" if "planted" in wants else name)


def _core(case: Case) -> dict[str, Any]:
    proposal = case.proposal
    told = {
        "format": FORMAT,
        "goal": case.goal,
        "step": proposal.index,
        "proposal": proposal.digest,
        **_judged(proposal, case.rendering, case.settings),
        "earlier": [_earlier(step) for step in case.earlier],
    }
    if case.alternatives:
        told["alternatives"] = [_offered(one) for one in case.alternatives]
    return told


def _offered(one: Shown) -> dict[str, Any]:
    """Return one of several proposals; `same` is how many tries came to it, live or not."""
    judged = _judged(one.proposal, one.rendering, one.settings)
    return judged | {"same": len(one.names)}


def _judged(proposal: Proposal, rendering: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": proposal.kind,
        "payload_sha256": sha256(proposal.payload),
        "rendering": rendering,
        "rationale": proposal.rationale,
        "evidence": [
            {"name": one.name, "sha256": sha256(one.content), "size_bytes": len(one.content)}
            for one in proposal.evidence
        ],
        "changes": [
            {"path": one.path, "what": one.what, "size_bytes": one.size_bytes}
            for one in proposal.changes
        ],
        "settings": dict(settings),
    }


def _earlier(step: EarlierStep) -> dict[str, Any]:
    """Return a step that is over: fixed input to this one, so its outcome may be seen."""
    content = canonical(step.content)
    return {
        "step": step.index,
        "kind": step.kind,
        "status": step.status,
        "payload": step.payload[:EARLIER_BYTES].decode(errors="backslashreplace"),
        "payload_size_bytes": len(step.payload),
        "outcome": dict(step.content) if len(content) <= EARLIER_BYTES else None,
        "outcome_size_bytes": len(content),
    }
