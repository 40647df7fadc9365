"""Following a run that is being lived: its segments as training items, once nothing is open there.

A learner that follows its journal learns only what is durable, in an order that the journal has
too. So whoever follows the same journal again, after a crash say, learns the same.
"""

from collections.abc import Iterable, Iterator

from monastery.runtime.credit import TrainingItem
from monastery.runtime.journal import Record
from monastery.runtime.store import Store
from monastery.runtime.story import SegmentStory, Story
from monastery.runtime.training import training_item


class Follower:
    """Reads items of one run.

    Args:
        store: Where the run lies, for reading; not the one that its runtime writes with.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._story = store, Story()
        self._settled: list[str] = []

    def take(self, record: Record) -> None:
        """Take up the run's next event, which is durable."""
        self._story.take(record)
        segment = getattr(record.event, "segment", None)
        told = None if segment is None else self._story.by_id.get(segment)
        if told is not None and told.completed is not None and not told.awaits_audit:
            self._settled.append(told.id)

    def catch_up(self, told: Iterable[Record]) -> None:
        """Take up what a run was before it goes on."""
        for record in told:
            self.take(record)

    def items(self) -> Iterator[tuple[SegmentStory, TrainingItem]]:
        """Yield segments whose steps are over and whose audits are settled, each once, in order.

        Of the steps before it an item tells nothing: whoever needs them has taken them up. A
        segment without a step, such as the last, is never audited and teaches nothing.
        """
        settled, self._settled = self._settled, []
        for segment in settled:
            told = self._story.by_id[segment]
            yield told, training_item(self._store, told, past=())
            self._story.forget(segment)
