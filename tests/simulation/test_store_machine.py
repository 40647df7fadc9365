"""The store against a model: owners, stale owners and crashes in any order; Hypothesis shrinks."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monastery.runtime.errors import StoreError
from monastery.runtime.owner import this_process
from monastery.runtime.records import RunId
from monastery.runtime.rows import GENESIS, Append, Entry, RunRow
from monastery.runtime.store import Store

RUN = RunId("machine-1")


class StoreMachine(RuleBasedStateMachine):
    """One run, the owners that it ever had, and what each of them believes to be its last event."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="monastery-machine-"))
        self.crashes = 0
        self.store = Store.open(self.folder / "0")
        self.owners: list[RunRow] = [
            self.store.create_run(
                RUN, project="p", project_path=Path("p"), owner=this_process(), seed=bytes(32)
            )
        ]
        self.beliefs: list[tuple[int, bytes]] = [(0, GENESIS)]
        self.kept: list[bytes] = []

    def teardown(self) -> None:
        """Remove all homes."""
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(who=st.integers(min_value=0), count=st.integers(1, 3), content=st.binary(max_size=8))
    def append(self, who: int, count: int, content: bytes) -> None:
        """Whoever owns or owned the run appends; only the last owner's events are kept."""
        who %= len(self.owners)
        row, (seq, head) = self.owners[who], self.beliefs[who]
        bodies = [b"%d %d %s" % (who, seq + number, content) for number in range(count)]
        entries = [
            Entry(seq + number, hashlib.sha256(body).digest(), body)
            for number, body in enumerate(bodies)
        ]
        (refusal,) = self.store.append(
            [Append(row.run, row.owner or "", row.epoch, seq, head, entries)]
        )
        assert (refusal is None) == (who == len(self.owners) - 1), refusal
        if refusal is None:
            self.beliefs[who] = seq + count, entries[-1].hash
            self.kept += bodies
        else:
            assert isinstance(refusal, StoreError)

    @precondition(lambda self: len(self.owners) < 5)
    @rule()
    def claim(self) -> None:
        """Another runtime takes the run, and knows what the journal knows."""
        row = self.store.claim(RUN, this_process())
        assert row.epoch > self.owners[-1].epoch
        self.owners.append(row)
        self.beliefs.append((row.seq, row.head))

    @rule(who=st.integers(min_value=0), back=st.integers(1, 3))
    def forget(self, who: int, back: int) -> None:
        """Whoever believes in an earlier event than the last is refused, the owner too."""
        who %= len(self.owners)
        row, (seq, _) = self.owners[who], self.beliefs[who]
        if seq < back:
            return
        stale = Entry(seq - back, b"s" * 32, b"stale")
        (refusal,) = self.store.append(
            [Append(row.run, row.owner or "", row.epoch, seq - back, b"x" * 32, [stale])]
        )
        assert isinstance(refusal, StoreError)

    @rule(who=st.integers(min_value=0))
    def release(self, who: int) -> None:
        """An owner of the past gives up what it has no more: nothing changes."""
        who %= len(self.owners)
        if who < len(self.owners) - 1:
            self.store.release(RUN, self.owners[who].epoch)

    @rule()
    def crash(self) -> None:
        """The process dies; what lies on the disk is all that is left."""
        self.crashes += 1
        home = self.folder / str(self.crashes)
        before = self.store.home
        shutil.copytree(before, home, ignore=shutil.ignore_patterns("*-shm"))
        self.store.close()
        shutil.rmtree(before)
        self.store = Store.open(home)

    @invariant()
    def holds_what_was_kept(self) -> None:
        """The journal is what its owners appended, in order, and the row stands at its end."""
        assert [entry.body for entry in self.store.entries(RUN)] == self.kept
        row = self.store.run(RUN)
        assert (row.seq, row.head) == self.beliefs[-1]
        assert row.owner == self.owners[-1].owner


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
