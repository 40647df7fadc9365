"""The nouns of the desk: who may judge, what waits for them, and what they said. Pure.

A question is an item without what it shows: enough to say who may take it, and nothing that an
agent wrote but the kind of its step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from monastery.runtime.records import AuditorDecision, Item, ItemId, RunId

Role = Literal["runner", "auditor", "approver", "adjudicator", "researcher", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""What a person may do: answer deeds and questions, vote, decide at the gate, settle what others
disagree on, read the record, look after people."""

Stage = Literal["first", "second", "correction"]
"""Which of a person's ballots on one question: blind, after the rationale, or taken back."""


Digging = Literal["never", "second", "always"]
"""When a copy of the box may be opened: not at all, after a blind first vote, or at once."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who may come to the desk; who left stays, so that their votes keep a name."""

    name: str
    roles: frozenset[Role]
    since: datetime
    left: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """What a secret opens, kept by its hash.

    Attributes:
        digest: SHA-256 of the secret.
        kind: ``link`` signs in once, ``session`` is a browser's, ``token`` a program's.
        scope: The roles that it opens; those that its person has lost do not count.
        label: What it is for, in its owner's words.
    """

    digest: str
    person: str
    kind: Literal["link", "session", "token"]
    scope: frozenset[Role]
    made: datetime
    expires: datetime
    label: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """An item as far as it matters for who may answer it.

    Attributes:
        asked: Whom it is for: a person or a panel; empty when anyone of the right role.
        panel: Whether `asked` is a panel.
        runner: Who runs the run, as far as its runtime knew.
        runner_may: Whether that person may answer.
        two_votes: Whether a second vote follows after the rationale.
        opinion: Questions of one opinion want different people.
        barred: People who may not answer: they have had their say.
        role: What one must be to answer, where the purpose alone does not say it.
        alternatives: How many proposals are compared; 0 where there is but one.
        planted: How often a planted question takes its place at first.
        floor: Below which recall of planted questions votes on it are held; 0 holds none.
        dig: When who judges may open a shell in a copy of the box.
    """

    item: ItemId
    run: RunId
    purpose: Literal["audit", "gate", "human", "ask", "resolve"]
    kind: str
    step: int | None
    created: datetime
    deadline: datetime | None
    asked: str = ""
    panel: bool = False
    runner: str = ""
    runner_may: bool = True
    two_votes: bool = True
    opinion: str = ""
    barred: tuple[str, ...] = ()
    role: Role | None = None
    alternatives: int = 0
    planted: float = 0.0
    floor: float = 0.0
    dig: Digging = "never"


State = Literal["open", "answered", "expired", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A question and where it stands.

    Attributes:
        due: From when on its run may take the answer that lies ready; None while there is none.
        by: Who gave it.
    """

    question: Question
    state: State
    due: datetime | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A question that someone has before them, until the lease runs out.

    Attributes:
        shown: When its present stage was put before them.
    """

    item: ItemId
    person: str
    since: datetime
    until: datetime
    shown: datetime


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a person said to a question, once.

    Attributes:
        slip: Names the page that it was cast on: the same slip twice is one ballot.
        body: Decision, score, note, other bytes; or the text and status of a report.
        seconds: How long it had been before them.
        counts: Whether it came in time.
    """

    item: ItemId
    person: str
    stage: Stage
    slip: str
    at: datetime
    seconds: float
    body: Mapping[str, Any]
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Dig:
    """A shell that a person had in a copy of the box, and its recording.

    Attributes:
        dig: Its name.
        stage: Whether they had voted on the question before.
        of: What was copied; see `monastery.runtime.ports.Copied`.
        owner: The process in which it ran.
        ended: None while it lasts.
        why: Why it ended.
        sha256: Of the recording, in hexadecimal digits; empty while it lasts.
        size_bytes: Of the recording.
    """

    dig: str
    item: ItemId
    person: str
    stage: Literal["first", "second"]
    of: str
    owner: str
    began: datetime
    ended: datetime | None = None
    why: str = ""
    sha256: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    """A question that someone passed over, and why."""

    item: ItemId
    person: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """An auditor's vote as the record of its run has it."""

    auditor: str
    decision: AuditorDecision
    score: float
    seconds: float


@dataclass(frozen=True, slots=True)
class AuditedStep:
    """A step that was drawn for an audit, and what was said of it.

    Attributes:
        step: Its number in the run.
        settled: Whether nobody can say anything to it any more: the audit is over, and no question
            about the step is open.
        score, decision: What the votes came to; None of an audit that did not measure.
        votes: Those of the record, in its order; a panel's is one.
        ballots: All that people said at the desk to what was asked for the audit, in order.
        panels: Which of these questions are seats of a panel, by its name.
    """

    segment: str
    run: RunId
    step: int
    kind: str
    settled: bool
    score: float | None
    decision: AuditorDecision | None
    votes: tuple[Spoken, ...]
    ballots: tuple[Ballot, ...]
    panels: Mapping[ItemId, str]


@dataclass(frozen=True, slots=True)
class Told:
    """A run, as far as those who study auditors need it; `judged` in the order of its steps."""

    run: RunId
    project: str
    status: str
    started: datetime
    judged: tuple[AuditedStep, ...]


def question_of(item: Item) -> Question:
    """Return an item without what it shows.

    What its asker wants of the desk stands in the field ``desk`` of its body; what is missing there
    takes the default.
    """
    wants = item.body.get("desk", {})
    step = item.body.get("step")
    planted = wants.get("planted", {})
    compares = len(item.body.get("alternatives", ()))
    return Question(
        item=item.id,
        run=item.run,
        purpose=item.purpose,
        kind=str(item.body.get("kind", "")),
        step=step if isinstance(step, int) else None,
        created=item.created,
        deadline=item.deadline,
        asked=str(item.body.get("for", "")),
        panel=bool(wants.get("panel", False)),
        runner=str(wants.get("runner", "")),
        runner_may=bool(wants.get("runner_may", True)),
        two_votes=bool(wants.get("two_votes", True)),
        opinion=str(wants.get("opinion", "")),
        barred=tuple(map(str, wants.get("not", ()))),
        role=wants["role"] if wants.get("role") in ROLES else None,
        alternatives=compares,
        planted=float(planted.get("rate", 0.0)),
        floor=float(planted.get("floor", 0.0)),
        # The box would tell which of several proposals is live.
        dig=wants["dig"] if wants.get("dig") in get_args(Digging) and not compares else "never",
    )
