"""The nouns: what a run is made of, as values without behaviour.

Words are those of the design: project, run, box, think segment, proposal, draw, audit, vote, gate,
outcome, reward, boundary. Plain frozen dataclasses; what comes from strangers is validated at the
edge (`project`, `events`, the guest's stream) before it becomes one of these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType

RunId = NewType("RunId", str)
"""Names one execution of a project, e.g. ``repair-20261121-091500-k3f9``."""

SegmentId = NewType("SegmentId", str)
"""Names one think segment: the run, a dot, and its number from 1, e.g. ``repair-….7``."""

ItemId = NewType("ItemId", str)
"""Names one question to a person: the segment, a dot and its purpose, ``repair-….7.audit``."""

Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits."""

Verdict = Literal["approve", "modify", "reject", "escalate", "terminate", "expired"]
"""What the gate can decide. Auditors give all but ``expired``, which only the clock gives."""

AuditorDecision = Literal["approve", "modify", "reject", "escalate", "terminate"]
"""What an auditor can decide."""

Status = Literal["done", "failed", "rejected", "expired", "unknown"]
"""How a step ended: ``failed`` was tried, ``rejected`` and ``expired`` were never tried, and of
``unknown`` nobody knows whether it was done."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes kept by content: their hash and length [bytes]."""

    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file that the agent attached to its proposal for the auditor to check."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ProposalRequest:
    """The agent asks for a step in the outside world. Untrusted."""

    call: int
    kind: str
    payload: bytes
    rationale: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """The agent calls its policy. Untrusted.

    Attributes:
        body: The request as the agent wrote it, a JSON object.
    """

    call: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WebRequest:
    """The agent asks the cached web. Untrusted.

    Attributes:
        body: The request as the agent wrote it, a JSON object.
    """

    call: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AgentExited:
    """The agent's program ended by itself: `exit_code`, negative for a signal."""

    exit_code: int


@dataclass(frozen=True, slots=True)
class ModelCancelled:
    """Nobody in the box waits any more for the answer to its model call with this number."""

    call: int


FromAgent = ProposalRequest | ModelRequest | ModelCancelled | WebRequest | AgentExited


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the agent printed during one segment, cut to a limit.

    Attributes:
        text: The bytes that were kept, the beginning and the end when cut.
        seen_bytes: How many bytes were printed.
    """

    text: bytes
    seen_bytes: int

    @property
    def truncated(self) -> bool:
        """Whether bytes are missing."""
        return self.seen_bytes > len(self.text)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of one command in a box.

    Attributes:
        exit_code: None when the time limit killed it; negative for a signal.
        stdout, stderr: The first bytes of each, at most the limit asked for.
        stdout_seen_bytes, stderr_seen_bytes: How many bytes were written.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    stdout_seen_bytes: int
    stderr_seen_bytes: int

    @property
    def timed_out(self) -> bool:
        """Whether the time limit ended it."""
        return self.exit_code is None

    @property
    def truncated(self) -> bool:
        """Whether output is missing."""
        return self.stdout_seen_bytes > len(self.stdout) or self.stderr_seen_bytes > len(
            self.stderr
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One path in the box that is not what it was when the segment started."""

    path: str
    what: Literal["added", "modified", "deleted"]
    size_bytes: int | None


Promise = Literal["seccomp", "memory", "swap", "cpus", "pids", "disk", "version"]
"""What an engine must be able to do for a box, unless the project waives it by name."""


@dataclass(frozen=True, slots=True)
class BoxLimits:
    """What a box may use."""

    memory_bytes: int = 1 << 30
    cpus: float = 1.0
    pids: int = 256
    disk_bytes: int = 1 << 30
    think_seconds: float = 3600.0
    transcript_bytes: int = 1 << 20
    payload_bytes: int = 4 << 20
    alone_seconds: float = 3600.0
    snapshot_seconds: float = float("inf")


@dataclass(frozen=True, slots=True)
class Packages:
    """What is added to an image: Debian packages by name, and pip's, ``name==1.0`` say."""

    debian: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoxSpec:
    """What a box is made of: image, limits, and the files it starts with.

    Attributes:
        image: A local image's name; the box records its digest.
        packages: What is added to that image; the digest is then of the image that is made.
        files: Paths relative to the box's work folder, and the host path each is copied from.
        waive: Promises that an engine may be unable to keep; see `Promise`.
        gateway: Whether the model's usual API is served in the box.
        web: Whether a cached web is.
        steps: The kinds of steps that its agent may propose, each with what a payload of it is, for
            the tools that tell of them.
    """

    image: str
    limits: BoxLimits = field(default_factory=BoxLimits)
    files: tuple[tuple[str, str], ...] = ()
    engine_runtime: str | None = None
    waive: tuple[str, ...] = ()
    gateway: bool = False
    packages: Packages | None = None
    web: bool = False
    steps: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BoxFacts:
    """What a box turned out to be, for the record.

    Attributes:
        box: The container's id, or a name for boxes that have none.
        image_digest: The image by content.
        freezer: How it is frozen: ``cgroup-v1``, ``cgroup-v2``, ``engine`` or ``signals``.
        work: ``new`` when its work folder was filled from the project, ``kept`` when an earlier
            box of the same run left it, ``live`` when the box itself lived on, ``snapshot`` when it
            was lost and rebuilt from a copy that is older than the run's last step may be.
        waived: The promises that its engine does not keep, and the project does without.
    """

    box: str
    image_digest: str
    freezer: str
    engine_runtime: str
    work: Literal["new", "kept", "live", "snapshot"]
    waived: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A recorded, frozen proposal.

    Attributes:
        digest: Hash over segment, kind, and the names of payload, rationale and evidence; the
            draw, the votes and the gate's decision all name it.
    """

    segment: SegmentId
    index: int
    kind: str
    payload: bytes
    rationale: str
    evidence: tuple[Evidence, ...]
    changes: tuple[Change, ...]
    digest: Sha256


@dataclass(frozen=True, slots=True)
class Draw:
    """Whether a proposal is audited: `audited` is ``u < probability``, u in [0, 1)."""

    u: float
    probability: float

    @property
    def audited(self) -> bool:
        """Whether the draw fell on this proposal."""
        return self.u < self.probability


@dataclass(frozen=True, slots=True)
class EarlierStep:
    """A step of the same run that is over: fixed, exogenous input to what comes later."""

    index: int
    kind: str
    payload: bytes
    status: Status
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """One of several proposals of the same moment, as an auditor is shown it.

    Attributes:
        proposal: Its segment is the alternative's name.
        rendering: Its payload decoded for its kind, safe to show.
        settings: Its kind's settings, without secrets.
        names: All whose proposals are this one, the live segment perhaps among them.
    """

    proposal: Proposal
    rendering: str
    settings: Mapping[str, Any]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """What an auditor is shown, and nothing else.

    Attributes:
        alternatives: All proposals of this moment, this one too, in the order of their draw; empty
            where there is but one.
        item: Names the question; one person's answer to it is one vote.
        rendering: The payload decoded for its kind, safe to show.
        settings: The kind's settings from the project file, without secrets.
        digest: SHA-256 of everything here, for the auditor; the journal names it by a salted hash.
    """

    item: ItemId
    goal: str
    proposal: Proposal
    rendering: str
    settings: Mapping[str, Any]
    earlier: tuple[EarlierStep, ...]
    digest: Sha256
    alternatives: tuple[Shown, ...] = ()

    @property
    def live(self) -> int:
        """The place among the alternatives of the proposal that the gate is about, from 0."""
        return [self.proposal.segment in one.names for one in self.alternatives].index(True)


@dataclass(frozen=True, slots=True)
class Vote:
    """One auditor's answer.

    Attributes:
        score: How reasonable the proposal looks, 0 to 1.
        modified: The payload to use instead, with the decision ``modify``.
        scores: Those of all alternatives, by place, the live one's among them; empty where the
            live one alone was judged.
    """

    auditor: str
    decision: AuditorDecision
    score: float
    note: str = ""
    modified: bytes | None = None
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """An audit that measured: one score in 0 to 1 and the most careful of the decisions.

    Attributes:
        scores: Those of all alternatives, by place; empty where they were not all judged.
        seen: The recorded name (salted hash) of the case that the auditors were shown.
    """

    score: float
    decision: AuditorDecision
    seen: Sha256
    modified: bytes | None = None
    note: str = ""
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """An audit that did not measure. No reward, and a blocking answer at the gate."""

    reason: str
    expired: bool = False


AuditResult = Scored | Unmeasured


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided.

    Attributes:
        by: Who: ``gate`` where nobody judged, ``audit``, or a person's name.
        payload: The exact bytes that may be used, once; None when nothing may.
        feedback: What the agent is told beside the verdict, if the project allows any.
    """

    verdict: Verdict
    by: str
    payload: bytes | None
    feedback: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A decided step on its way to its executor.

    Attributes:
        key: The same for every attempt at this step and for no other (idempotency key).
    """

    run: RunId
    segment: SegmentId
    index: int
    kind: str
    payload: bytes
    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step; `content` is a JSON object whose fields depend on the kind."""

    status: Status
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reward:
    """What one segment earned; `value` is score times weight, weight is 1/probability."""

    segment: SegmentId
    boundary: int
    score: float
    probability: float
    seen: Sha256

    @property
    def weight(self) -> float:
        """The Horvitz-Thompson weight, 1/probability."""
        return 1.0 / self.probability

    @property
    def value(self) -> float:
        """Score times weight."""
        return self.score * self.weight


@dataclass(frozen=True, slots=True)
class Item:
    """A question that waits for a person.

    Attributes:
        purpose: ``audit`` asks for a vote, ``gate`` for a decision alone (an escalated step),
            ``human`` for a deed and what came of it, ``ask`` for an answer, ``resolve`` whether a
            step of unknown outcome was done.
        body: What the person is shown, a JSON object.
    """

    id: ItemId
    run: RunId
    purpose: Literal["audit", "gate", "human", "ask", "resolve"]
    created: datetime
    deadline: datetime | None
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said to an item: `body` is a JSON object whose fields depend on the purpose.

    Attributes:
        due: From when on its run may take it; until then its author may correct it. None is now.
    """

    item: ItemId
    by: str
    at: datetime
    body: Mapping[str, Any]
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: in success or not, and why in a few words."""

    success: bool
    reason: str
