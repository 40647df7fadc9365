"""What can happen in a run: one type for each journal event, told apart by its `type`.

These are the only shapes that the journal holds. They are validated when written and when read, for
a journal on disk is a stranger too. Contents that can be long are kept as blobs and named by hash.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from monastery.runtime.records import Status, Verdict

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Score = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class BlobRef(_Strict):
    """Names bytes kept beside the journal, by a salted hash (`content`)."""

    ref: Digest
    size_bytes: Annotated[int, Field(ge=0)]


class NamedBlob(BlobRef):
    """A blob with the name its giver gave it."""

    name: str


class ChangedPath(_Strict):
    """A path in the box that changed during the segment."""

    path: str
    what: Literal["added", "modified", "deleted"]
    size_bytes: int | None


class RunStarted(_Strict):
    """The first event: the project, and the commitment to the seed of all draws."""

    type: Literal["run.started"] = "run.started"
    project: str
    project_file: BlobRef
    commitment: Digest
    version: str


class RunResumed(_Strict):
    """A runtime took up the run again after a stop or a crash."""

    type: Literal["run.resumed"] = "run.resumed"
    version: str


class AgentEnded(_Strict):
    """How the agent came to its end, as the run's last event will say."""

    success: bool
    reason: str


class RunInterrupted(_Strict):
    """The runtime stopped in an orderly way; the run can go on."""

    type: Literal["run.interrupted"] = "run.interrupted"
    reason: str


class RunParked(_Strict):
    """The run waits for people alone, and its box was closed; what waits are `items`.

    `ended` tells how the agent ended, if it has: then nothing but these questions is left.
    """

    type: Literal["run.parked"] = "run.parked"
    items: list[str]
    ended: AgentEnded | None


class SeedRevealed(_Strict):
    """The seed of all draws, told when no draw can follow."""

    type: Literal["seed.revealed"] = "seed.revealed"
    seed: Digest


class RunEnded(_Strict):
    """The last event."""

    type: Literal["run.ended"] = "run.ended"
    success: bool
    reason: str


class BoxStarted(_Strict):
    """A box was opened; what it turned out to be."""

    type: Literal["box.started"] = "box.started"
    box: str
    image_digest: str
    freezer: str
    engine_runtime: str
    work: Literal["new", "kept", "live", "snapshot"]
    waived: list[str] = []


class BoxDied(_Strict):
    """The box broke: how, and why; what follows says whether the run can go on."""

    type: Literal["box.died"] = "box.died"
    how: Literal["died", "lost", "not frozen", "misbehaved", "limit exceeded"]
    reason: str
    out_of_memory: bool


class SegmentStarted(_Strict):
    """A think segment began.

    `boundary` is the number of the event that completed the step before it, or of ``run.started``.
    """

    type: Literal["segment.started"] = "segment.started"
    segment: str
    index: Annotated[int, Field(ge=1)]
    boundary: Annotated[int, Field(ge=0)]


class ModelCalled(_Strict):
    """A model call went through the gateway.

    `request` and `response` are what the agent asked and was answered, log-probabilities included
    where the model gave them. What came through the box's HTTP server names its `api` and has a
    `status`. `refused` says why nothing left; tokens and cost are counted where they are known.

    `dropped` names fields of the request that stayed here while the rest was passed on.

    `cancelled` says that the asker went away before it had the answer. If that had not come, its
    tokens and cost are `reckoned`. `logprobs` counts the tokens whose log-probabilities came.

    `sampled` is what a model on this machine read and drew, token by token; the agent is not told.

    `alternative` names the rollout that called, if it was not the live segment.
    """

    type: Literal["model.called"] = "model.called"
    segment: str
    policy: str
    request: BlobRef
    response: BlobRef
    seconds: Seconds
    api: str | None = None
    model: str | None = None
    version: str | None = None
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    refused: str | None = None
    tokens_in: Annotated[int, Field(ge=0)] | None = None
    tokens_out: Annotated[int, Field(ge=0)] | None = None
    cost: Annotated[float, Field(ge=0.0)] | None = None
    dropped: list[str] = []
    cancelled: bool = False
    reckoned: bool = False
    logprobs: Annotated[int, Field(ge=0)] | None = None
    sampled: BlobRef | None = None
    alternative: str | None = None


class WebFetched(_Strict):
    """The agent searched the cached web, or read a page of it.

    `request` and `response` are what it asked and was given; `refused` says why nothing was
    looked for.
    """

    type: Literal["web.fetched"] = "web.fetched"
    segment: str
    request: BlobRef
    response: BlobRef
    seconds: Seconds
    refused: str | None = None
    alternative: str | None = None


class SegmentPrinted(_Strict):
    """What the agent printed in the segment; `size_bytes` of the blob are kept of `seen_bytes`."""

    type: Literal["segment.printed"] = "segment.printed"
    segment: str
    text: BlobRef
    seen_bytes: Annotated[int, Field(ge=0)]


class ProposalRefused(_Strict):
    """A proposal that is not one: of no kind the project allows, or with a payload not of its kind.

    It ends no segment. The agent is told the reason.
    """

    type: Literal["proposal.refused"] = "proposal.refused"
    segment: str
    kind: str
    payload: BlobRef
    reason: str
    alternative: str | None = None


class ProposalFrozen(_Strict):
    """A proposal was received and the box is frozen.

    `digest` covers segment, kind, payload, rationale and evidence; `probability` and `stratum` are
    fixed here, before the draw. `box` asked for it in its call number `call`: should it outlive its
    runtime, and ask the next one again, it is known to be the same proposal.
    """

    type: Literal["proposal.frozen"] = "proposal.frozen"
    segment: str
    box: str = ""
    call: Annotated[int, Field(ge=0)] = 0
    kind: str
    payload: BlobRef
    rationale: BlobRef
    evidence: list[NamedBlob]
    changes: list[ChangedPath]
    digest: Digest
    probability: Probability
    stratum: str
    freeze_seconds: Seconds


class AuditDrawn(_Strict):
    """The draw: `audited` is ``u < probability``."""

    type: Literal["audit.drawn"] = "audit.drawn"
    segment: str
    digest: Digest
    u: Annotated[float, Field(ge=0.0, lt=1.0)]
    probability: Probability
    audited: bool


class AlternativeStarted(_Strict):
    """A rollout began: a box of its own, from the work folder as the segment found it.

    One that was begun before and did not come to its end, because the runtime stopped, begins anew.
    """

    type: Literal["alternative.started"] = "alternative.started"
    segment: str
    alternative: str
    box: str


class AlternativeProposed(_Strict):
    """A rollout came to a proposal, which is judged beside the live one and never carried out.

    `digest` covers what that of a live proposal covers, under the alternative's name. `printed` is
    what its agent printed, cut as a segment's is.
    """

    type: Literal["alternative.proposed"] = "alternative.proposed"
    segment: str
    alternative: str
    kind: str
    payload: BlobRef
    rationale: BlobRef
    evidence: list[NamedBlob]
    changes: list[ChangedPath]
    digest: Digest
    printed: BlobRef
    printed_bytes: Annotated[int, Field(ge=0)]


class AlternativeEnded(_Strict):
    """A rollout came to no proposal, and why; it is absent from the audit, which is not a 0."""

    type: Literal["alternative.ended"] = "alternative.ended"
    segment: str
    alternative: str
    reason: str


class AlternativesOrdered(_Strict):
    """In which order the proposals of one moment are shown: a draw from the seed.

    Each place holds the names of those whose proposals are the same; the live one is named by its
    segment.
    """

    type: Literal["alternatives.ordered"] = "alternatives.ordered"
    segment: str
    order: Annotated[list[Annotated[list[str], Field(min_length=1)]], Field(min_length=1)]


class AuditShown(_Strict):
    """What the auditors of a proposal are shown, as canonical JSON; its hash is what votes name."""

    type: Literal["audit.shown"] = "audit.shown"
    segment: str
    case: BlobRef


class AuditVoted(_Strict):
    """One auditor's vote, and the hash of what it was shown.

    `scores` are those of all alternatives, by the places in which they were shown; empty where the
    auditor judged the live one alone.
    """

    type: Literal["audit.voted"] = "audit.voted"
    segment: str
    digest: Digest
    auditor: str
    decision: Literal["approve", "modify", "reject", "escalate", "terminate"]
    score: Score
    note: str
    modified: BlobRef | None
    seen: Digest
    seconds: Seconds
    scores: list[Score] = []


class AuditScored(_Strict):
    """The votes as one score and one decision.

    `scores` are those of all alternatives, by place; empty where one auditor or more gave none.
    """

    type: Literal["audit.scored"] = "audit.scored"
    segment: str
    score: Score
    decision: Literal["approve", "modify", "reject", "escalate", "terminate"]
    modified: BlobRef | None
    note: str
    seen: Digest
    scores: list[Score] = []


class AuditUnmeasured(_Strict):
    """An audit that did not measure; no reward follows."""

    type: Literal["audit.unmeasured"] = "audit.unmeasured"
    segment: str
    reason: str
    expired: bool


class RewardIssued(_Strict):
    """What one segment earned; ``value = score * weight``, ``weight = 1 / probability``.

    `alternative` names the rollout that earned it, if it was not the live segment.
    """

    type: Literal["reward.issued"] = "reward.issued"
    segment: str
    boundary: Annotated[int, Field(ge=0)]
    score: Score
    probability: Probability
    weight: float
    value: float
    seen: Digest
    alternative: str | None = None


class GateDecided(_Strict):
    """Whether the step is carried out; `payload` are the only bytes that may be used."""

    type: Literal["gate.decided"] = "gate.decided"
    segment: str
    digest: Digest
    verdict: Verdict
    by: str
    payload: BlobRef | None
    feedback: str | None


class StepStarted(_Strict):
    """The intent, durable before the executor begins."""

    type: Literal["step.started"] = "step.started"
    segment: str
    kind: str
    payload: BlobRef
    key: str


class StepUnresolved(_Strict):
    """Nobody knows whether the step was done; only a look or a person can tell."""

    type: Literal["step.unresolved"] = "step.unresolved"
    segment: str
    reason: str


class StepCompleted(_Strict):
    """The step is over, done or not: the boundary of the segment."""

    type: Literal["step.completed"] = "step.completed"
    segment: str
    status: Status
    content: BlobRef
    how: Literal["executed", "not executed", "reconciled", "resolved"]


class ItemPosted(_Strict):
    """A question was put before people; what they see is the body."""

    type: Literal["item.posted"] = "item.posted"
    item: str
    purpose: Literal["audit", "gate", "human", "ask", "resolve"]
    body: BlobRef


class ItemAnswered(_Strict):
    """A person's answer was taken."""

    type: Literal["item.answered"] = "item.answered"
    item: str
    by: str
    answer: BlobRef


class ItemClosed(_Strict):
    """A question went inert without an answer."""

    type: Literal["item.closed"] = "item.closed"
    item: str
    reason: Literal["expired", "withdrawn"]


Event = Annotated[
    RunStarted
    | RunResumed
    | RunInterrupted
    | RunParked
    | SeedRevealed
    | RunEnded
    | BoxStarted
    | BoxDied
    | SegmentStarted
    | ModelCalled
    | WebFetched
    | SegmentPrinted
    | ProposalRefused
    | ProposalFrozen
    | AuditDrawn
    | AlternativeStarted
    | AlternativeProposed
    | AlternativeEnded
    | AlternativesOrdered
    | AuditShown
    | AuditVoted
    | AuditScored
    | AuditUnmeasured
    | RewardIssued
    | GateDecided
    | StepStarted
    | StepUnresolved
    | StepCompleted
    | ItemPosted
    | ItemAnswered
    | ItemClosed,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Validates a decoded JSON object as the event that it says it is."""
