"""What the store holds, as values: rows, and the changes to them that come with an append."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from monastery.runtime.content import Sealed
from monastery.runtime.merkle import Frontier
from monastery.runtime.records import Item, ItemId, RunId

RunStatus = Literal["running", "interrupted", "parked", "done", "failed"]
ItemState = Literal["open", "answered", "expired", "withdrawn"]
GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class PutItem:
    """Row change: a question becomes open."""

    item: Item


@dataclass(frozen=True, slots=True)
class CloseItem:
    """Row change: a question is no longer open."""

    item: ItemId
    state: ItemState


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Row change: what the run is doing."""

    status: RunStatus


RowChange = PutItem | CloseItem | SetStatus


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it lies in the journal: its number, its canonical bytes, their chained hash."""

    seq: int
    hash: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """One transaction's worth of a run's journal.

    Attributes:
        seq: The number of the first entry; the run must stand just before it.
        head: The hash of the entry before it.
        checkpoint: Whether to sign the head outside the database; with no entries, only that.
    """

    run: RunId
    owner: str
    epoch: int
    seq: int
    head: bytes
    entries: Sequence[Entry]
    blobs: Sequence[Sealed] = ()
    changes: Sequence[RowChange] = ()
    checkpoint: bool = False


@dataclass(frozen=True, slots=True)
class RunRow:
    """What the store knows of a run without reading its journal."""

    run: RunId
    project: str
    project_path: Path
    started: datetime
    status: RunStatus
    owner: str | None
    epoch: int
    seq: int
    head: bytes
    seed: bytes = field(repr=False)
    content_key: bytes = field(repr=False)
    frontier: Frontier = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A question and where it stands."""

    item: Item
    state: ItemState
