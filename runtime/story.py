"""The story of a run: its events folded into segments. Everyone who reads a journal reads this.

`show`, `export` and `verify` tell a whole story; the loop keeps one too, of the open segment alone,
so that a run that goes on after a crash and one that never stopped know the same things.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from monastery.runtime.events import (
    AlternativeEnded,
    AlternativeProposed,
    AlternativesOrdered,
    AlternativeStarted,
    AuditDrawn,
    AuditScored,
    AuditShown,
    AuditUnmeasured,
    AuditVoted,
    BoxDied,
    BoxStarted,
    Event,
    GateDecided,
    ItemAnswered,
    ItemClosed,
    ItemPosted,
    ModelCalled,
    ProposalFrozen,
    ProposalRefused,
    RewardIssued,
    RunEnded,
    RunInterrupted,
    RunParked,
    RunResumed,
    RunStarted,
    SeedRevealed,
    SegmentPrinted,
    SegmentStarted,
    StepCompleted,
    StepStarted,
    StepUnresolved,
    WebFetched,
)
from monastery.runtime.journal import Record, records
from monastery.runtime.records import RunId, SegmentId
from monastery.runtime.store import Store


@dataclass(slots=True)
class AlternativeStory:
    """One rollout of a segment that was audited, as far as the journal tells.

    Attributes:
        calls, fetches, refused: Those of its last start: what an earlier one did, which a stop of
            the runtime cut off, led to no proposal.
    """

    id: SegmentId
    calls: list[ModelCalled] = field(default_factory=list)
    fetches: list[WebFetched] = field(default_factory=list)
    refused: list[ProposalRefused] = field(default_factory=list)
    proposal: AlternativeProposed | None = None
    ended: AlternativeEnded | None = None
    reward: RewardIssued | None = None

    @property
    def over(self) -> bool:
        """Whether it came to a proposal, or to its end without."""
        return self.proposal is not None or self.ended is not None


@dataclass(slots=True)
class SegmentStory:
    """One think segment and the step that ended it, as far as the journal tells.

    Attributes:
        alternatives: Its rollouts, by name.
        at: When each kind of event was recorded, by its type, the last of each.
    """

    id: SegmentId
    index: int
    boundary: int
    calls: list[ModelCalled] = field(default_factory=list)
    fetches: list[WebFetched] = field(default_factory=list)
    printed: SegmentPrinted | None = None
    refused: list[ProposalRefused] = field(default_factory=list)
    proposal: ProposalFrozen | None = None
    drawn: AuditDrawn | None = None
    alternatives: dict[str, AlternativeStory] = field(default_factory=dict)
    ordered: AlternativesOrdered | None = None
    shown: AuditShown | None = None
    votes: list[AuditVoted] = field(default_factory=list)
    scored: AuditScored | None = None
    unmeasured: AuditUnmeasured | None = None
    reward: RewardIssued | None = None
    decision: GateDecided | None = None
    started_step: StepStarted | None = None
    unresolved: StepUnresolved | None = None
    completed: StepCompleted | None = None
    at: dict[str, datetime] = field(default_factory=dict)

    @property
    def awaits_audit(self) -> bool:
        """Whether an audit was drawn and has not come to a reward or to nothing."""
        drawn = self.drawn is not None and self.drawn.audited
        return drawn and self.reward is None and self.unmeasured is None

    def take(self, record: Record) -> None:
        """Take up one of the segment's events."""
        event = record.event
        if self._took_alternative(event):
            return
        self.at[event.type] = record.at
        match event:
            case AlternativesOrdered():
                self.ordered = event
            case ModelCalled():
                self.calls.append(event)
            case WebFetched():
                self.fetches.append(event)
            case ProposalRefused():
                self.refused.append(event)
            case AuditVoted():
                self.votes.append(event)
            case SegmentPrinted():
                self.printed = event
            case ProposalFrozen():
                self.proposal = event
            case AuditDrawn():
                self.drawn = event
            case AuditShown():
                self.shown = event
            case AuditScored():
                self.scored = event
            case AuditUnmeasured():
                self.unmeasured = event
            case RewardIssued():
                self.reward = event
            case GateDecided():
                self.decision = event
            case StepStarted():
                self.started_step = event
            case StepUnresolved():
                self.unresolved = event
            case StepCompleted():
                self.completed = event
            case _:
                raise AssertionError(f"{event.type} is not of a segment")

    def _took_alternative(self, event: Event) -> bool:
        """Take up an event of one of the segment's rollouts; return whether it was one."""
        name: str | None = getattr(event, "alternative", None)
        if name is None:
            return False
        if isinstance(event, AlternativeStarted):
            self.alternatives[name] = AlternativeStory(SegmentId(name))
        # A rollout that was never begun can have ended too.
        told = self.alternatives.setdefault(name, AlternativeStory(SegmentId(name)))
        match event:
            case ModelCalled():
                told.calls.append(event)
            case WebFetched():
                told.fetches.append(event)
            case ProposalRefused():
                told.refused.append(event)
            case AlternativeProposed():
                told.proposal = event
            case AlternativeEnded():
                told.ended = event
            case RewardIssued():
                told.reward = event
            case _:
                pass
        return True


@dataclass(slots=True)
class Spent:
    """What a run's model calls used up; refused ones cost nothing.

    Attributes:
        calls: How many reached the policy.
        cost: In the unit of the project's prices.
    """

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0

    def add(
        self,
        refused: str | None = None,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        cost: float | None = None,
    ) -> None:
        """Count one call."""
        self.calls += refused is None
        self.tokens += (tokens_in or 0) + (tokens_out or 0)
        self.cost += cost or 0.0


@dataclass(slots=True)
class Fetched:
    """What a run was given of its cached web.

    Attributes:
        count: How many searches and pages.
        refused: How often it is recorded that there was no more.
    """

    count: int = 0
    size_bytes: int = 0
    refused: int = 0

    def add(self, size_bytes: int, refused: str | None) -> None:
        """Count one fetch."""
        if refused is None:
            self.count += 1
            self.size_bytes += size_bytes
        else:
            self.refused += 1


@dataclass(slots=True)
class Story:
    """A run as far as its journal tells.

    Attributes:
        by_id: Its segments in order, but for those that were forgotten.
        brief: Whether to count model calls, fetches and refusals without keeping them: a segment
            that lasts for days may have any number of them, and the loop needs none.
    """

    brief: bool = False
    started: RunStarted | None = None
    started_at: datetime | None = None
    by_id: dict[str, SegmentStory] = field(default_factory=dict)
    boxes: list[BoxStarted] = field(default_factory=list)
    deaths: list[BoxDied] = field(default_factory=list)
    stops: list[RunInterrupted | RunParked | RunResumed] = field(default_factory=list)
    posted: dict[str, ItemPosted] = field(default_factory=dict)
    seed: SeedRevealed | None = None
    ended: RunEnded | None = None
    ended_at: datetime | None = None
    call_count: int = 0
    spent: Spent = field(default_factory=Spent)
    fetched: Fetched = field(default_factory=Fetched)

    @property
    def segments(self) -> list[SegmentStory]:
        """The segments in order."""
        return list(self.by_id.values())

    @property
    def last(self) -> SegmentStory | None:
        """The segment that began last."""
        return next(reversed(self.by_id.values()), None)

    def take(self, record: Record) -> None:
        """Take up the run's next event."""
        if isinstance(record.event, ModelCalled):
            call = record.event
            self.call_count += 1
            self.spent.add(call.refused, call.tokens_in, call.tokens_out, call.cost)
        if isinstance(record.event, WebFetched):
            self.fetched.add(record.event.response.size_bytes, record.event.refused)
        match record.event:
            case RunStarted() as event:
                self.started, self.started_at = event, record.at
            case RunResumed() | RunInterrupted() | RunParked() as event:
                self.stops.append(event)
            case BoxStarted() as event:
                self.boxes.append(event)
            case BoxDied() as event:
                self.deaths.append(event)
            case SeedRevealed() as event:
                self.seed = event
            case RunEnded() as event:
                self.ended, self.ended_at = event, record.at
            case ItemPosted() as event:
                self.posted[event.item] = event
            case ItemAnswered() | ItemClosed() as event:
                self.posted.pop(event.item, None)
            case SegmentStarted() as event:
                begun = SegmentStory(SegmentId(event.segment), event.index, event.boundary)
                begun.at[event.type] = record.at
                self.by_id[event.segment] = begun
            case ModelCalled() | WebFetched() | ProposalRefused() if self.brief:
                pass
            case event:
                self.by_id[event.segment].take(record)

    def forget(self, segment: str) -> None:
        """Drop a segment if nothing can be added to it any more; what it costs is the same always.

        A run that is being lived keeps its open segment and those that await a deferred audit.
        """
        told = self.by_id[segment]
        if told.completed is not None and not told.awaits_audit:
            del self.by_id[segment]


def fold(told: Iterable[Record], *, brief: bool = False) -> Story:
    """Return the story that some events tell, from the first on; see `Story.brief`."""
    story = Story(brief)
    for record in told:
        story.take(record)
    return story


def tell(store: Store, run: RunId | str) -> Story:
    """Return a run's story.

    Raises:
        StoreError: The journal cannot be read.
    """
    return fold(records(store, run))
