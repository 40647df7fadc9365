"""Who may take which question, and why not. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from monastery.runtime.people import Claim, Person, Question, Role, Standing

Why = Literal[
    "unknown",
    "forbidden",
    "answered",
    "expired",
    "withdrawn",
    "changed",
    "taken",
    "voted",
    "hasty",
    "invalid",
    "late",
    "nothing",
]
"""Why something was not done, in one word: what a program reads."""

ROLE_OF: Mapping[str, Role] = {
    "audit": "auditor",
    "gate": "approver",
    "human": "runner",
    "ask": "runner",
    "resolve": "runner",
}
"""What one must be to answer, by the question's purpose."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something was not done; the text is one line for the person."""

    why: Why
    text: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, with the roles that the secret they came with opens."""

    name: str
    roles: frozenset[Role]


COUNTED = Refused("voted", "You answered it; that counts.")
HELD = Refused(
    "voted",
    "Your vote is kept, and an adjudicator decides: of the planted steps that you judged, too many"
    " were judged wrongly.",
)
"""What someone is told whose votes are held."""


def closed(standing: Standing, now: datetime) -> Refused | None:
    """Return why nobody can answer a question any more, if so."""
    if standing.state == "withdrawn":
        return Refused(
            "withdrawn",
            "It was withdrawn: its run needs no answer any more. Nothing that you say here counts.",
        )
    if standing.state == "answered" or standing.due is not None:
        return Refused("answered", "It has its answer already; only one counts.")
    deadline = standing.question.deadline
    if standing.state == "expired" or (deadline is not None and now > deadline):
        return Refused(
            "expired",
            "Its time is up: the step is blocked and not rewarded, which is not a vote against it.",
        )
    return None


def barred(
    question: Question,
    caller: Caller,
    *,
    account: Person | None,
    sits: bool,
    held: bool = False,
) -> Refused | None:
    """Return why this person may not answer a question that is open, if so.

    Args:
        question: The question.
        caller: Who wants to.
        account: The account of whom it is for, if there is one.
        sits: Whether they gave one of the opinions already that this is one of.
        held: Whether a vote on it is held, so that an adjudicator is wanted.
    """
    role = "adjudicator" if held else question.role or ROLE_OF[question.purpose]
    if role not in caller.roles:
        return Refused("forbidden", f"You would need the role {role!r} for this; ask an admin.")
    theirs = question.asked and not question.panel and account is not None and not held
    if theirs and account is not None and account.left is None and account.name != caller.name:
        return Refused("forbidden", "It is for someone else.")
    if not question.runner_may and question.runner == caller.name:
        return Refused("forbidden", "You run this run, and its project wants others to judge it.")
    if sits or caller.name in question.barred:
        return Refused("forbidden", "You gave your opinion on this step; it wants someone else's.")
    return None


def held(claim: Claim | None, caller: Caller, now: datetime) -> Refused | None:
    """Return why a question cannot be taken from who has it, if so."""
    if claim is None or claim.person == caller.name or now >= claim.until:
        return None
    return Refused("taken", "Someone else has it before them.")
