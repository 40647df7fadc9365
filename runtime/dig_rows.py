"""The rows of digs: who had a shell in a copy of which box, and the hash of what was recorded."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from monastery.runtime.errors import BadInput
from monastery.runtime.events import SegmentStarted
from monastery.runtime.journal import decode
from monastery.runtime.people import Dig
from monastery.runtime.records import ItemId, RunId
from monastery.runtime.rows import Entry
from monastery.runtime.store import Store, raw

FOLDER = "digs"
_COLUMNS = "dig, item, person, stage, of, owner, began, ended, why, sha256, size_bytes"


class Place(NamedTuple):
    """Where a run is: what changes when its box goes on, or is taken up by another process."""

    epoch: int
    step: int


class DigRows(Store):
    """A store with the rows of digs. Their recordings are files of its home."""

    def place(self, run: RunId) -> Place:
        """Return at which step a run is, and how often it was taken up.

        Raises:
            BadInput: There is no such run.
        """
        query = "SELECT seq, hash, body FROM events WHERE run = ? AND instr(body, ?)"
        for seq, digest, body in self._query(
            f"{query} ORDER BY seq DESC", (run, b'"segment.started"')
        ):
            event = decode(Entry(seq, raw(digest), raw(body))).event
            if isinstance(event, SegmentStarted):
                return Place(self.run(run).epoch, event.index)
        return Place(self.run(run).epoch, 0)

    def put_dig(self, dig: Dig) -> None:
        """Write a dig in the place of the one of the same name."""
        self._db.execute(
            f"INSERT OR REPLACE INTO digs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                dig.dig,
                dig.item,
                dig.person,
                dig.stage,
                dig.of,
                dig.owner,
                dig.began.isoformat(),
                None if dig.ended is None else dig.ended.isoformat(),
                dig.why,
                dig.sha256,
                dig.size_bytes,
            ),
        )

    def digs(self, item: ItemId, person: str) -> list[Dig]:
        """Return a person's digs on a question, the oldest first."""
        return list(self._digs("WHERE item = ? AND person = ?", item, person))

    def all_digs(self) -> list[Dig]:
        """Return everyone's, the oldest first."""
        return list(self._digs(""))

    def find_dig(self, name: str) -> Dig:
        """Return the dig of a name, or of the beginning of one.

        Raises:
            BadInput: There is none, or several.
        """
        found = [one for one in self._digs("") if one.dig.startswith(name)]
        exact = [one for one in found if one.dig == name]
        if len(exact or found) != 1:
            several = "several digs begin so" if found else "there is no such dig"
            raise BadInput(f"{name!r}: {several}; monastery dig list shows them")
        return (exact or found)[0]

    def recording(self, dig: Dig) -> Path:
        """Return where the recording of a dig is."""
        return self.home / FOLDER / f"{dig.dig}.cast"

    def recordings(self, run: RunId) -> list[Dig]:
        """Return the digs on a run's questions whose recordings are there."""
        return [
            one
            for one in self._digs("")
            if one.item.startswith(f"{run}.") and self.recording(one).exists()
        ]

    def erase_recordings(self, run: RunId) -> None:
        """Remove the recordings of a run's digs: they may show any file of its box."""
        for one in self.recordings(run):
            self.recording(one).unlink(missing_ok=True)

    def _digs(self, where: str, *values: str) -> Iterator[Dig]:
        query = f"SELECT {_COLUMNS} FROM digs {where} ORDER BY began, dig"  # noqa: S608
        for dig, item, person, stage, of, owner, began, ended, *rest in self._query(query, values):
            yield Dig(
                dig,
                ItemId(item),
                person,
                stage,
                of,
                owner,
                datetime.fromisoformat(began),
                None if ended is None else datetime.fromisoformat(ended),
                *rest,
            )
