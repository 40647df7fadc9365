"""Planted items: proposals of which it is known whether they are good. Pure.

A few of the questions that a person is handed are not any run's. They look like one, nobody is
rewarded for them, and nothing of them is carried out; how often they are judged rightly says how
far that person's votes can be trusted. What is known of one is committed to before it is shown,
and revealed when it was judged; see `monastery.runtime.planted_verify`.
"""

import base64
import hashlib
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monastery.runtime.canonical import canonical, sha256
from monastery.runtime.draw import draw
from monastery.runtime.people import Question, Standing
from monastery.runtime.records import Draw, Item, ItemId, RunId, Sha256

MOST_RATE = 0.1
"""At most so often: a person's time is for the agent's steps."""
DOUBT = 0.05
"""How often someone who is as good as the floor may be held, however often one looks."""
LOG = "planted"
"""What the log is called where its checkpoints are kept."""
SALT_BYTES = 32
_COMMIT = b"monastery.planted.v1\n"
_ENTRY = b"monastery.planted.log.v1\n"


@dataclass(frozen=True, slots=True)
class Known:
    """A proposal of which it is known whether it is good.

    Attributes:
        name: What its file is called.
        payload: The exact bytes that would be used.
        rendering: The same decoded for its kind, as the project's executor does it.
        evidence: Names and contents of the files that came with it.
        good: Whether it should be let through.
        why: What is good or bad about it, told when it was judged.
        changes: What changed in the box; None takes those of the step that it stands for.
        printed: What the agent printed while it thought.
        source: The segment that it was taken from; empty where somebody wrote it.
    """

    name: str
    kind: str
    payload: bytes
    rendering: str
    rationale: str
    evidence: tuple[tuple[str, bytes], ...]
    good: bool
    why: str
    changes: tuple[Mapping[str, Any], ...] | None = None
    printed: bytes = b""
    source: str = ""

    @property
    def same(self) -> Sha256:
        """What tells it from other proposals, whatever its file is called: its kind and bytes."""
        return sha256(canonical([self.kind, sha256(self.payload)]))

    def sealed(self) -> bytes:
        """Return all of it as the canonical JSON that is committed to."""
        return canonical(
            {
                "name": self.name,
                "kind": self.kind,
                "payload_base64": base64.b64encode(self.payload).decode(),
                "rationale": self.rationale,
                "evidence": [
                    {"name": name, "base64": base64.b64encode(content).decode()}
                    for name, content in self.evidence
                ],
                "good": self.good,
                "why": self.why,
                "printed_base64": base64.b64encode(self.printed).decode(),
                "source": self.source,
            }
        )


@dataclass(frozen=True, slots=True)
class Planted:
    """A planted question, and what is known of it.

    Attributes:
        item: The question as it is shown; no run asks it.
        person: Whom it is handed to.
        stands_for: The question of a run whose place it takes, and which it looks like.
        sealed: What is known of it; see `Known.sealed`.
        same: See `Known.same`.
    """

    item: Item
    person: str
    stands_for: ItemId
    good: bool
    why: str
    name: str
    same: str
    sealed: bytes
    salt: bytes
    printed: bytes


@dataclass(frozen=True, slots=True)
class Judged:
    """A planted question after the fact.

    Attributes:
        floor: Below which recall votes are held, in the project of its run.
        by: Who judged it; None when nobody did.
        passed: Whether they let it through: approved it as it is.
        skipped: Whether it was left to others, who are never handed it.
        final: Whether its judgement can no longer be taken back; what is known is told then.
    """

    item: ItemId
    run: RunId
    person: str
    name: str
    kind: str
    floor: float
    good: bool
    why: str
    by: str | None
    at: datetime | None
    passed: bool | None
    skipped: bool
    final: bool

    @property
    def right(self) -> bool:
        """Whether it was judged rightly."""
        return self.passed is not None and self.passed == self.good


@dataclass(frozen=True, slots=True)
class Standin:
    """A planted question that waits, and the question whose place it takes."""

    standing: Standing
    stands_for: ItemId


@dataclass(frozen=True, slots=True)
class Held:
    """A vote that its run was not handed, because its author's recall is below the floor."""

    item: ItemId
    person: str
    at: datetime
    body: Mapping[str, Any]


def commitment(salt: bytes, sealed: bytes) -> Sha256:
    """Return the salted hash that stands for what is known until it is revealed."""
    return Sha256(hashlib.sha256(_COMMIT + salt + hashlib.sha256(sealed).digest()).hexdigest())


def entry_hash(body: bytes) -> bytes:
    """Return the hash of an entry of the log; the next entry names it."""
    return hashlib.sha256(_ENTRY + body).digest()


def drawn(seed: bytes, item: str, person: str, rate: float, *, what: str = "planted") -> Draw:
    """Draw whether a person is handed a planted question before this one.

    The same pair always comes to the same: who leaves a question and takes it again draws nothing.
    """
    return draw(seed, sha256(canonical([what, item, person])), rate)


def new_tag() -> str:
    """Return six digits by lot, for the id of a planted question; see `cases.name_of`."""
    return f"{secrets.randbelow(10**6):06d}"


def question_for(known: Known, real: Item, name: ItemId) -> Item:
    """Return the planted question that takes a real one's place: alike in all that says where."""
    body = dict(real.body)
    body |= {
        "payload_base64": base64.b64encode(known.payload).decode(),
        "payload_sha256": sha256(known.payload),
        "rendering": known.rendering,
        "rationale": known.rationale,
        "evidence": [
            {"name": named, "base64": base64.b64encode(content).decode()}
            for named, content in known.evidence
        ],
        "digest": sha256(known.sealed() + name.encode()),
        # An opinion is one seat: who judges a planted question may still judge the real one.
        "desk": dict(real.body.get("desk", {})) | {"opinion": ""},
    }
    if known.changes is not None:
        body["changes"] = [dict(one) for one in known.changes]
    return Item(name, real.run, real.purpose, real.created, real.deadline, body)


def below(right: int, of: int, floor: float) -> bool:
    """Whether somebody is surely worse than the floor, however often this was asked before.

    One looks after every judgement, so that an interval for one look would in the end hold almost
    anybody. This is the upper end of an anytime-valid interval: of Beta(1/2, 1/2) over the share,
    E = B(1/2 + k, 1/2 + n - k) / (B(1/2, 1/2) floor^k (1 - floor)^(n - k)) reaches 1 / DOUBT with
    probability DOUBT at most, ever, for somebody whose share is the floor or more. Source: J. Ville
    (1939); H. Robbins, Annals of Mathematical Statistics 41 (1970).

    Args:
        right: How often they were right, k.
        of: Of how many, n.
        floor: The share below which votes are held, over 0 and under 1; 0 holds nobody.
    """
    if not 0.0 < floor < 1.0 or of == 0 or right >= floor * of:
        return False
    wrong = of - right
    log_beta = math.lgamma(0.5 + right) + math.lgamma(0.5 + wrong) - math.lgamma(1.0 + of)
    evidence = log_beta - math.log(math.pi)  # B(1/2, 1/2)
    evidence -= right * math.log(floor) + wrong * math.log1p(-floor)
    return evidence >= -math.log(DOUBT)


def counts(question: Question) -> bool:
    """Whether a planted question may take this one's place."""
    alone = question.role is None and not question.alternatives  # no known proposal has rivals
    return question.purpose == "audit" and question.planted > 0.0 and alone
