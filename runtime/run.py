"""One run that is being lived: what the loop's verbs share."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from monastery.runtime.cases import EARLIER_STEPS
from monastery.runtime.events import SegmentStarted
from monastery.runtime.journal import Journal
from monastery.runtime.ports import Auditor, Desk, Executor, Policy, Sandbox, Web
from monastery.runtime.project import Project
from monastery.runtime.records import EarlierStep, RunId, SegmentId
from monastery.runtime.store import Store
from monastery.runtime.story import SegmentStory, Story

_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class World:
    """The adapters that one run works with."""

    sandbox: Sandbox
    auditors: Sequence[Auditor]
    executors: Mapping[str, Executor]
    policy: Policy | None
    web: Web | None = None

    async def close(self) -> None:
        """Let go of what the policy and the cached web hold open, if they hold anything."""
        for one in (self.policy, self.web):
            aclose = getattr(one, "aclose", None)
            if aclose is not None:
                with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                    await aclose()


@dataclass(frozen=True, slots=True)
class Run:
    """A run, its journal, and the story so far.

    Attributes:
        seed: Of all its draws.
        store: For reading; all writing goes through the journal.
        story: What the journal tells, kept up to date by it, of segments that are not over.
        later: Where deferred audits wait; the run is not over before they are.
        earlier: The last steps that are over, for auditors.
        delivery: Held while the box is frozen: nothing is handed to the agent meanwhile.
        fetching: Held while a fetch from the cached web is carried.
        judging: The votes that are being waited for, as the questions to people would be named.
    """

    id: RunId
    project: Project
    seed: bytes
    journal: Journal
    store: Store
    story: Story
    desk: Desk
    world: World
    later: trio.Nursery
    earlier: deque[EarlierStep] = field(default_factory=lambda: deque(maxlen=EARLIER_STEPS))
    delivery: trio.Lock = field(default_factory=trio.Lock)
    fetching: trio.Lock = field(default_factory=trio.Lock)
    judging: set[str] = field(default_factory=set)

    @property
    def segment(self) -> SegmentStory:
        """The open segment."""
        last = self.story.last
        assert last is not None, "a segment is open from the run's start to its end"
        return last


def next_segment(run: RunId, index: int) -> Callable[[int], SegmentStarted]:
    """Return a segment's first event, as a function of its number: it follows its boundary."""
    name = SegmentId(f"{run}.{index}")
    return lambda seq: SegmentStarted(segment=name, index=index, boundary=seq - 1)
