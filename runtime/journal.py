"""The journal of one run: hash-chained events, appended before what they tell of is done.

An entry's bytes are canonical JSON of ``{at, event, prev, run, seq, v}``; its hash is SHA-256 over
a tag and these bytes, and ``prev`` is the hash of the entry before. What is hashed is what is kept.
Over the same bytes the store keeps a Merkle tree (`merkle`), whose head the checkpoints sign.

Format 2 names contents by salted hashes (`content`). A journal of format 1 is read as it is, and
goes on in format 2 when its run goes on.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import trio

from monastery.runtime import checkpoint as checkpoints
from monastery.runtime.canonical import canonical
from monastery.runtime.content import Sealed, Sealer
from monastery.runtime.errors import StoreError
from monastery.runtime.events import EVENT, BlobRef, Event
from monastery.runtime.keys import HomeKey
from monastery.runtime.merkle import Frontier, leaf_hash
from monastery.runtime.records import RunId
from monastery.runtime.rows import GENESIS, Append, Entry, RowChange, RunRow
from monastery.runtime.store import Store

Hop = Callable[..., Awaitable[Any]]
"""Called with a function that blocks and its arguments; returns what the function returns."""

FORMAT_VERSION = 2
READ_VERSIONS = (1, FORMAT_VERSION)
TIMER_SECONDS = 60.0
QUICK_SECONDS = 0.002
_TAG = b"monastery.event.v1\n"


@dataclass(frozen=True, slots=True)
class Record:
    """One event with its place in the journal."""

    seq: int
    at: datetime
    event: Event


def entry_hash(body: bytes) -> bytes:
    """Return the hash of an entry's canonical bytes."""
    return hashlib.sha256(_TAG + body).digest()


def decode(entry: Entry) -> Record:
    """Return the event in an entry.

    Raises:
        StoreError: The bytes are not an event of this version.
    """
    try:
        body = msgspec.json.decode(entry.body)
        event = body["event"]
        if body["v"] == 1:
            event = _from_first(event)
        elif body["v"] not in READ_VERSIONS:
            raise StoreError(f"event {entry.seq} is of version {body['v']!r}")
        return Record(body["seq"], datetime.fromisoformat(body["at"]), EVENT.validate_python(event))
    except (ValueError, KeyError, TypeError) as exc:
        raise StoreError(f"event {entry.seq} cannot be read: {exc}") from exc


def _from_first(value: Any) -> Any:
    """Return an event of format 1 with its contents' names where format 2 has them."""
    if isinstance(value, list):
        return [_from_first(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = "sha256" in value and "size_bytes" in value
    return {
        "ref" if named and key == "sha256" else key: _from_first(one) for key, one in value.items()
    }


def records(store: Store, run: RunId | str) -> Iterator[Record]:
    """Return a run's events in order."""
    return map(decode, store.entries(run))


def check_chain(store: Store, row: RunRow) -> None:
    """See that a run's journal is whole, and not older than its checkpoints, before it goes on.

    Raises:
        StoreError: It was edited, or put back; `monastery verify` tells more.
        BadInput: A file of checkpoints is damaged.
    """
    notes = {path: kept.newest for path, kept in checkpoints.kept(store.home, row.run).items()}
    sizes = {note.size for note in notes.values() if note is not None}
    head, frontier, roots = GENESIS, Frontier(), {0: Frontier().root()}
    for number, entry in enumerate(store.entries(row.run)):
        body = msgspec.json.decode(entry.body)
        fits = (entry.seq, body["seq"], body["prev"], body["run"])
        if entry.hash != entry_hash(entry.body) or fits != (number, number, head.hex(), row.run):
            raise StoreError(f"event {number} of {row.run!r} was edited; see `monastery verify`")
        head, frontier = entry.hash, frontier.append([leaf_hash(entry.body)])
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
    if (head, frontier) != (row.head, row.frontier):
        raise StoreError(f"the journal of {row.run!r} does not end where its run does")
    for path, note in notes.items():
        if note is None:
            continue
        key = HomeKey.of(store.home).public
        if note.origin != key.origin(row.run) or not key.signed(note):
            raise StoreError(
                f"the newest checkpoint in {str(path)!r} is not signed by this home's key"
                f" ({key.name}); put the key back, or the file"
            )
        if note.size > row.seq:
            raise StoreError(
                f"the journal of {row.run!r} was put back: it has {row.seq} events, and its"
                f" checkpoint in {str(path)!r} remembers {note.size}"
            )
        if roots.get(note.size) != note.root:
            raise StoreError(
                f"the journal of {row.run!r} is not the one whose checkpoint of {note.size} events"
                f" lies in {str(path)!r}; see `monastery verify`"
            )


class Writer:
    """Writes for all runs of a process: what waits while a commit runs goes together in the next.

    A thread hop costs as much as a quick disk's flush. So a commit is made in place as long as the
    last one took less than `QUICK_SECONDS`; a slow disk, or a crowd of runs, goes through threads.

    Args:
        store: Used by this writer alone.
        hop: Runs a function that blocks; in a thread, unless time is virtual.
    """

    def __init__(self, store: Store, hop: Hop) -> None:
        self._store, self._hop = store, hop
        self._waiting: list[_Handed] = []
        self._turn = trio.Lock()
        self._last_seconds = QUICK_SECONDS

    async def write(self, one: Append) -> None:
        """Append durably; return when it is on disk.

        Raises:
            NotOwner: Another runtime owns the run.
            StoreError: It could not be written.
        """
        handed = _Handed(one)
        self._waiting.append(handed)
        # Shielded: once handed over it will be written, and the caller must learn of it.
        with trio.CancelScope(shield=True):
            async with self._turn:
                if not handed.settled:  # by the one who had the turn before
                    await self._commit()
        if handed.refusal is not None:
            raise handed.refusal

    async def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        appends, began = [handed.append for handed in batch], time.perf_counter()
        refusals: Sequence[StoreError | None]
        try:
            if self._last_seconds < QUICK_SECONDS:
                refusals = self._store.append(appends)
            else:
                refusals = await self._hop(self._store.append, appends)
        except StoreError as exc:
            refusals = [exc] * len(batch)
        self._last_seconds = time.perf_counter() - began
        for handed, refusal in zip(batch, refusals, strict=True):
            handed.settled, handed.refusal = True, refusal


@dataclass(slots=True)
class _Handed:
    append: Append
    settled: bool = False
    refusal: StoreError | None = None


class Journal:
    """One run's journal, for the runtime that owns the run.

    Args:
        row: Where the run's journal stands.
        writer: Writes for all runs of this process.
        told: Called with every event once it is durable; must not block or raise.
    """

    def __init__(self, row: RunRow, writer: Writer, told: Callable[[Record], None]) -> None:
        self.run, self._owner, self._epoch = row.run, row.owner or "", row.epoch
        self._seq, self._head = row.seq, row.head
        self._checkpointed = row.seq
        self._sealer = Sealer(row.content_key)
        self._writer, self._told = writer, told
        self._noted: list[tuple[Event, Sequence[bytes]]] = []
        self._lock = trio.Lock()

    def ref(self, content: bytes) -> BlobRef:
        """Return the name of some bytes; hand the bytes to the append that names them."""
        return BlobRef(ref=self._sealer.seal(content).ref, size_bytes=len(content))

    def note(self, event: Event, *, blobs: Sequence[bytes] = ()) -> None:
        """Keep an event for the next append; for what comes out the same after a crash."""
        self._noted.append((event, blobs))

    async def append(
        self,
        *events: Event | Callable[[int], Event],
        blobs: Sequence[bytes] = (),
        changes: Sequence[RowChange] = (),
        checkpoint: bool = False,
    ) -> None:
        """Append what was noted and then these events, durably and in one transaction.

        Args:
            events: An event that must know its own number is given as a function of it.
            blobs: The contents behind the blob names in the events.
            changes: Row changes that belong to them.
            checkpoint: Whether to sign, outside the database, that the journal came this far.

        Raises:
            NotOwner: Another runtime owns the run.
            StoreError: It could not be written; the run must stop.
        """
        async with self._lock:
            noted, self._noted = self._noted, []
            records, entries, head = [], [], self._head
            for seq, given in enumerate([*(event for event, _ in noted), *events], self._seq):
                record = Record(seq, datetime.now(UTC), given(seq) if callable(given) else given)
                entries.append(_entry(self.run, record, prev=head))
                records.append(record)
                head = entries[-1].hash
            if not entries:
                return
            contents = [content for _, kept in noted for content in kept] + list(blobs)
            named = [self._sealer.seal(content) for content in contents]
            await self._write(entries, named, changes, checkpoint=checkpoint)
            self._seq, self._head = self._seq + len(entries), head
            if checkpoint:
                self._checkpointed = self._seq
            for record in records:
                self._told(record)

    @asynccontextmanager
    async def checkpointed(self) -> AsyncIterator[None]:
        """Meanwhile sign once a minute what was appended since the last checkpoint.

        While a run waits for a person nothing is appended, and nothing else would sign the last
        events before.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sign_in_time)
            yield
            nursery.cancel_scope.cancel()

    async def _sign_in_time(self) -> None:
        while True:
            await trio.sleep(TIMER_SECONDS)
            async with self._lock:
                if self._checkpointed < self._seq:
                    await self._write([], checkpoint=True)
                    self._checkpointed = self._seq

    async def _write(
        self,
        entries: Sequence[Entry],
        blobs: Sequence[Sealed] = (),
        changes: Sequence[RowChange] = (),
        *,
        checkpoint: bool,
    ) -> None:
        """Hand the writer what comes after the journal's last event."""
        await self._writer.write(
            Append(
                run=self.run,
                owner=self._owner,
                epoch=self._epoch,
                seq=self._seq,
                head=self._head,
                entries=entries,
                blobs=blobs,
                changes=changes,
                checkpoint=checkpoint,
            )
        )


def _entry(run: RunId, record: Record, *, prev: bytes) -> Entry:
    body = canonical(
        {
            "v": FORMAT_VERSION,
            "run": run,
            "seq": record.seq,
            "prev": prev.hex(),
            "at": record.at.isoformat(),
            "event": record.event.model_dump(),
        }
    )
    return Entry(record.seq, entry_hash(body), body)
