"""The log of planted questions, which is committed to, and the seed of their draws.

The log is a hash chain with a Merkle tree over it, as a run's journal is. When a turn in which it
grew is over, its root is signed and kept where the runs' checkpoints are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw

from monastery.runtime import planted as nouns
from monastery.runtime.canonical import canonical
from monastery.runtime.merkle import Frontier, leaf_hash
from monastery.runtime.planted import LOG
from monastery.runtime.records import ItemId
from monastery.runtime.rows import GENESIS, Entry
from monastery.runtime.store import Store, raw


class PlantedLog(Store):
    """The part of a desk's book that can be checked afterwards."""

    def __init__(self, home: Path, connection: apsw.Connection) -> None:
        super().__init__(home, connection)
        self._grown: Frontier | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let nobody else write until the block ends; what raises in it undoes it."""
        if self._db.in_transaction:
            yield
            return
        self._grown = None
        with self._transaction():
            yield
        if self._grown is not None:
            self._keeper.note(LOG, self._grown.size, self._grown.root())

    @contextmanager
    def part(self) -> Iterator[None]:
        """Undo, if the block raises, what it wrote, and nothing else of the turn that it is in."""
        before = self._grown
        try:
            with self._db:
                yield
        except BaseException:
            self._grown = before  # what was undone must not be signed
            raise

    # The log

    def log(self, at: datetime, what: str, **told: Any) -> None:
        """Append an entry to the log."""
        size, head, frontier = 0, GENESIS, Frontier()
        query = "SELECT number, hash, frontier FROM planted_log ORDER BY number DESC LIMIT 1"
        for number, digest, peaks in self._query(query, ()):
            size, head = number + 1, raw(digest)
            frontier = Frontier.decode(size, raw(peaks))
        entry = {"number": size, "prev": head.hex(), "at": at.isoformat(), "type": what}
        body = canonical(entry | told)
        frontier = frontier.append([leaf_hash(body)])
        self._db.execute(
            "INSERT INTO planted_log VALUES (?, ?, ?, ?)",
            (size, nouns.entry_hash(body), body, frontier.encode()),
        )
        self._grown = frontier

    def planted_log(self) -> list[Entry]:
        """Return the log as it lies on disk."""
        rows = self._query("SELECT number, hash, body FROM planted_log ORDER BY number", ())
        return [Entry(number, raw(digest), raw(body)) for number, digest, body in rows]

    # The draw

    def planting_seed(self) -> bytes | None:
        """Return the seed of the draws, which is secret until it is dropped."""
        for (seed,) in self._query("SELECT seed FROM planted_seed", ()):
            return raw(seed)
        return None

    def put_planting_seed(self, seed: bytes) -> None:
        """Keep a seed, the only one."""
        self._db.execute("INSERT INTO planted_seed VALUES (?)", (seed,))

    def drop_planting_seed(self) -> None:
        """Forget the seed, which is revealed in the log."""
        self._db.execute("DELETE FROM planted_seed")

    def has_drawn(self, item: ItemId, person: str) -> bool:
        """Whether it was drawn already if a planted question comes before this one."""
        query = "SELECT TRUE FROM planted_draws WHERE item = ? AND person = ?"
        return any(True for _ in self._query(query, (item, person)))

    def put_drawn(self, item: ItemId, person: str, planted: bool) -> None:
        """Note a draw."""
        self._db.execute("INSERT INTO planted_draws VALUES (?, ?, ?)", (item, person, planted))
