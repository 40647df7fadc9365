"""The store: one SQLite database that holds the journals of all runs, and what they refer to.

There is one operation that writes a run: `append`. It puts events, the blobs they name and the row
changes that belong to them into one transaction, and is refused unless the caller still owns the
run (epoch) and knows its last event (sequence and head hash). Nothing writes around it; a person's
answers lie in a table of their own until the run takes them into its journal.

WAL with synchronous=FULL: what a call acknowledged survives kill -9 and power loss as far as fsync
promises it. Readers in other processes are never blocked.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import apsw
import msgspec

from monastery.runtime import checkpoint
from monastery.runtime.errors import BadInput, LeaseLapsed, NotOwner, RunHeld, StoreError
from monastery.runtime.lease import FREE, TERMS, Lease, Moment, standing
from monastery.runtime.lease import TABLE as LEASES
from monastery.runtime.owner import told
from monastery.runtime.records import Answer, Item, ItemId, RunId, Sha256

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE runs (
    run TEXT PRIMARY KEY, project TEXT NOT NULL, project_path TEXT NOT NULL, started TEXT NOT NULL,
    status TEXT NOT NULL, owner TEXT, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
    head BLOB NOT NULL, seed BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE events (
    run TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (run, seq)
);
CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE items (
    item TEXT PRIMARY KEY, run TEXT NOT NULL, state TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX items_by_state ON items (state, run);
CREATE TABLE answers (
    item TEXT PRIMARY KEY, who TEXT NOT NULL, at TEXT NOT NULL, body BLOB NOT NULL
);
"""

_MIGRATIONS = {1: LEASES}
"""What makes a database of each version one of the next."""

RunStatus = Literal["running", "interrupted", "parked", "done", "failed"]
ItemState = Literal["open", "answered", "expired", "withdrawn"]
GENESIS = bytes(32)
BUSY_SECONDS = 10
"""How long a write waits for another program that holds the database."""


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
    """

    run: RunId
    owner: str
    epoch: int
    seq: int
    head: bytes
    entries: Sequence[Entry]
    blobs: Sequence[tuple[Sha256, bytes]] = ()
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


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A question and where it stands."""

    item: Item
    state: ItemState


class Store:
    """The database in one home folder. Synchronous; an instance serves one thread at a time."""

    def __init__(self, home: Path, connection: apsw.Connection) -> None:
        self.home = home
        self._db = connection

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        create: bool = True,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
    ) -> Self:
        """Open the database of a home folder.

        Args:
            home: The folder.
            create: Whether to make it when it is not there.
            synchronous: ``NORMAL`` for what may be lost in a power cut; not for a journal.

        Raises:
            BadInput: There is none, and it should not be made.
            StoreError: It cannot be opened, or is of another version.
        """
        path = home / "monastery.sqlite3"
        if not create and not path.exists():
            raise BadInput(f"no runs in {str(home)!r}: name another home with --home")
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            db = apsw.Connection(str(path))
            db.set_busy_timeout(BUSY_SECONDS * 1000)
            db.execute("PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON")
            db.pragma("synchronous", synchronous)
            _migrate(db, path)
        except (apsw.Error, OSError) as exc:
            raise StoreError(f"cannot open the journal {str(path)!r}: {exc}") from exc
        return cls(home, db)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Runs

    def create_run(
        self, run: RunId, *, project: str, project_path: Path, owner: str, seed: bytes
    ) -> RunRow:
        """Make a run that `owner` owns, with an empty journal."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, 'running', ?, 1, 0, ?, ?)",
                (run, project, str(project_path), _now(), owner, GENESIS, seed),
            )
            self._lease(run, Lease.begun(1, TERMS.lease_seconds, Moment.now()))
        return self.run(run)

    def claim(self, run: RunId, owner: str, *, seen: tuple[int, int] | None = None) -> RunRow:
        """Make `owner` the one who may write the run's journal; earlier owners are fenced off.

        Args:
            run: Which.
            owner: Who takes it.
            seen: The lease as a `LeaseLapsed` showed it, by who has waited as it asked.

        Raises:
            RunHeld: A living runtime has it.
            LeaseLapsed: Its runtime does not renew its lease; wait, and ask again.
            BadInput: There is no such run, or it is over.
        """
        with self._transaction():
            row = self.run(run)
            if row.status in ("done", "failed"):
                raise BadInput(f"run {run!r} is over ({row.status}); start a new one")
            if row.owner != owner:
                self._check_free(row, seen)
            self._db.execute(
                "UPDATE runs SET owner = ?, epoch = epoch + 1, status = 'running' WHERE run = ?",
                (owner, run),
            )
            self._lease(run, Lease.begun(row.epoch + 1, TERMS.lease_seconds, Moment.now()))
        return self.run(run)

    def _check_free(self, row: RunRow, seen: tuple[int, int] | None) -> None:
        """Refuse to take a run that another runtime has, or may have.

        Raises:
            RunHeld: See `claim`.
        """
        lease = self.lease(row.run)
        now = standing(row.owner, lease, Moment.now())
        if not now.held and now.wait_seconds == 0:
            return
        held = f"run {row.run!r} is being run by another process ({told(row.owner or '')})"
        if lease is None:
            raise RunHeld(f"{held}; stop it first")
        until = f"{lease.until_wall:%Y-%m-%d %H:%M:%S} UTC"
        if now.held:
            raise RunHeld(f"{held}, which holds it until {until} and goes on renewing that")
        if not now.watch or seen != (lease.epoch, lease.beats):
            raise LeaseLapsed(
                f"{held}, whose lease ran out at {until} by its clock;"
                f" waiting {now.wait_seconds:.0f} s to see whether it is renewed",
                now.wait_seconds,
                (lease.epoch, lease.beats),
            )

    def lease(self, run: RunId | str) -> Lease | None:
        """Return a run's lease as its owner wrote it last."""
        query = "SELECT epoch, beats, seconds, until_boot, until_wall FROM leases WHERE run = ?"
        for row in self._query(query, (run,)):
            return Lease.of_row(row)
        return None

    def renew(self, run: RunId, epoch: int, seconds: float) -> None:
        """Let the lease of a run run for so many seconds from now.

        Raises:
            NotOwner: Another runtime has taken the run over.
        """
        now = Moment.now()
        with self._transaction():
            lease = self.lease(run)
            if self.run(run).epoch != epoch:
                raise NotOwner(f"run {run!r} was taken over by another runtime")
            beats = 0 if lease is None else lease.beats + 1
            self._lease(run, Lease.begun(epoch, seconds, now, beats=beats))

    def held(self, row: RunRow) -> bool:
        """Whether a runtime has the run: its owner lives as far as can be told, and says so."""
        return standing(row.owner, self.lease(row.run), Moment.now()) != FREE

    def _lease(self, run: RunId, lease: Lease) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?)", (run, *lease.row)
        )

    def release(self, run: RunId, epoch: int) -> None:
        """Give up ownership, if it is still held."""
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET owner = NULL WHERE run = ? AND epoch = ?", (run, epoch)
            )

    def run(self, run: RunId | str) -> RunRow:
        """Return one run.

        Raises:
            BadInput: There is none of that name.
        """
        for row in self._runs("WHERE run = ?", (run,)):
            return row
        raise BadInput(f"no run {run!r} in {str(self.home)!r}; `monastery runs` lists them")

    def runs(self) -> list[RunRow]:
        """Return all runs, the newest first."""
        return list(self._runs("ORDER BY started DESC, run DESC"))

    def _runs(self, where: str, values: tuple[Any, ...] = ()) -> Iterator[RunRow]:
        for row in self._query(
            "SELECT run, project, project_path, started, status, owner, epoch, seq, head, seed "
            "FROM runs " + where,
            values,
        ):
            run, project, path, started, status, *rest = row
            found = RunRow(
                RunId(run), project, Path(path), datetime.fromisoformat(started), status, *rest
            )
            if status == "running" and not self.held(found):
                found = replace(found, status="interrupted")
            yield found

    # The journal

    def append(self, batch: Sequence[Append]) -> list[StoreError | None]:
        """Write a batch of appends in one transaction (group commit).

        Returns:
            For each append None, or why it was refused; the others of the batch stand.

        Raises:
            StoreError: The database refused the transaction; nothing of the batch stands.
        """
        with self._transaction():
            refusals = [self._append(one) for one in batch]
        for one, refusal in zip(batch, refusals, strict=True):
            if one.checkpoint and refusal is None:
                self._note_checkpoint(one.run, one.entries[-1])
        return refusals

    def _note_checkpoint(self, run: RunId, last: Entry) -> None:
        try:
            checkpoint.note(self.home, run, last.seq, last.hash)
        except OSError as exc:
            raise StoreError(f"cannot note a checkpoint in {str(self.home)!r}: {exc}") from exc

    def _append(self, one: Append) -> StoreError | None:
        found = self._db.execute(
            "SELECT owner, epoch, seq, head FROM runs WHERE run = ?", (one.run,)
        ).fetchone()
        if found is None or found[:2] != (one.owner, one.epoch):
            return NotOwner(f"run {one.run!r} is owned by another runtime now")
        if found[2:] != (one.seq, one.head):
            return StoreError(f"run {one.run!r} has an event {found[2] - 1} unknown to its runtime")
        self._db.executemany("INSERT OR IGNORE INTO blobs VALUES (?, ?)", one.blobs)
        self._db.executemany(
            "INSERT INTO events VALUES (?, ?, ?, ?)",
            [(one.run, entry.seq, entry.hash, entry.body) for entry in one.entries],
        )
        self._db.execute(
            "UPDATE runs SET seq = seq + ?, head = ? WHERE run = ?",
            (len(one.entries), one.entries[-1].hash, one.run),
        )
        for change in one.changes:
            self._change(one.run, change)
        return None

    def _change(self, run: RunId, change: RowChange) -> None:
        match change:
            case PutItem(item):
                self._db.execute(
                    "INSERT INTO items VALUES (?, ?, 'open', ?)",
                    (item.id, run, msgspec.json.encode(item)),
                )
            case CloseItem(item, state):
                self._db.execute("UPDATE items SET state = ? WHERE item = ?", (state, item))
            case SetStatus(status):
                self._db.execute("UPDATE runs SET status = ? WHERE run = ?", (status, run))

    def entries(self, run: RunId | str, *, start: int = 0) -> Iterator[Entry]:
        """Return a run's entries in order, from the number `start` on, as they lie on disk."""
        query = "SELECT seq, hash, body FROM events WHERE run = ? AND seq >= ? ORDER BY seq"
        for row in self._query(query, (run, start)):
            yield Entry(*row)

    def blob(self, sha256: str) -> bytes:
        """Return a blob's bytes, which are surely those of its name.

        Raises:
            StoreError: It is not there, or was edited.
        """
        for (content,) in self._query("SELECT content FROM blobs WHERE sha256 = ?", (sha256,)):
            if hashlib.sha256(content).hexdigest() != sha256:
                raise StoreError(f"blob {sha256} in {str(self.home)!r} was edited")
            return bytes(content)
        raise StoreError(f"blob {sha256} is not in {str(self.home)!r}")

    # Questions and answers

    def items(
        self, *, state: ItemState | None = "open", run: str | None = None
    ) -> list[StoredItem]:
        """Return questions, the oldest first; of one state or all, of one run or all."""
        rows = self._query(
            "SELECT body, state FROM items WHERE (?1 IS NULL OR state = ?1)"
            " AND (?2 IS NULL OR run = ?2) ORDER BY rowid",
            (state, run),
        )
        return [StoredItem(msgspec.json.decode(body, type=Item), now) for body, now in rows]

    def version(self) -> tuple[int, int]:
        """Return what changes when anyone has written, here or elsewhere; cheap to ask."""
        try:
            return self._db.pragma("data_version"), self._db.total_changes()
        except apsw.Error as exc:
            raise self._unreadable(exc) from exc

    def item(self, item: str) -> StoredItem:
        """Return one question.

        Raises:
            BadInput: There is none of that id.
        """
        for body, now in self._query("SELECT body, state FROM items WHERE item = ?", (item,)):
            return StoredItem(msgspec.json.decode(body, type=Item), now)
        raise BadInput(f"no item {item!r}; `monastery audit list` shows what waits")

    def answer(self, answer: Answer) -> None:
        """Put a person's answer where its run will find it. The first answer counts.

        Raises:
            BadInput: The item is not open any more, past its deadline, or answered already; its run
                is over; or the answer names another proposal than the item does.
        """
        with self._transaction():
            stored = self.item(answer.item)
            if stored.state != "open":
                raise BadInput(f"item {answer.item!r} is no longer open: it was {stored.state}")
            run = self.run(stored.item.run)
            if run.status in ("done", "failed"):
                raise BadInput(f"item {answer.item!r} is of run {run.run!r}, which is {run.status}")
            if answer.body.get("digest", about := stored.item.body.get("digest")) != about:
                raise BadInput(f"item {answer.item!r} is about another proposal than the answer")
            deadline = stored.item.deadline
            if deadline is not None and answer.at > deadline:
                raise BadInput(f"item {answer.item!r} expired at {deadline:%Y-%m-%d %H:%M:%S %Z}")
            earlier = self.answered(answer.item)
            if earlier is not None:
                raise BadInput(f"item {answer.item!r} was answered by {earlier.by!r} already")
            self._db.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?)",
                (
                    answer.item,
                    answer.by,
                    answer.at.isoformat(),
                    msgspec.json.encode(answer.body, order="deterministic"),
                ),
            )

    def answered(self, item: ItemId) -> Answer | None:
        """Return the answer that lies ready for an item, if there is one."""
        for who, at, body in self._query(
            "SELECT who, at, body FROM answers WHERE item = ?", (item,)
        ):
            return Answer(item, who, datetime.fromisoformat(at), msgspec.json.decode(body))
        return None

    # Plumbing

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except (apsw.Error, OSError) as exc:
            why = _why(exc)
            raise StoreError(f"cannot write the journal in {str(self.home)!r}: {why}") from exc

    def _query(self, sql: str, values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._db.execute(sql, values)
        except apsw.Error as exc:
            raise self._unreadable(exc) from exc

    def _unreadable(self, exc: apsw.Error) -> StoreError:
        return StoreError(f"cannot read the journal in {str(self.home)!r}: {_why(exc)}")


def _why(exc: Exception) -> str:
    """Return why the database refused, with the mend where there is one."""
    match exc:
        case apsw.FullError():
            return "the disk is full; make room, then go on with the run"
        case apsw.BusyError():
            return f"another program holds its lock for longer than {BUSY_SECONDS} s; end it"
        case apsw.ReadOnlyError():
            return "it is read-only; see what became of its file system"
        case _:
            return str(exc)


def _migrate(db: apsw.Connection, path: Path) -> None:
    version = db.pragma("user_version")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{str(path)!r} is of version {version}, this program reads {SCHEMA_VERSION}"
        )
    if version < SCHEMA_VERSION:
        db.execute("BEGIN IMMEDIATE")
        with db:  # closes the transaction's savepoint; another process may have been quicker
            version = db.pragma("user_version")
            if version == 0:
                db.execute(_SCHEMA)
            for step in range(max(version, 1), SCHEMA_VERSION):
                db.execute(_MIGRATIONS[step])
            db.pragma("user_version", SCHEMA_VERSION)
        db.execute("COMMIT")
    os.chmod(path, 0o600)  # noqa: PTH101 - the seed of the draws lies in it


def _now() -> str:
    return datetime.now(UTC).isoformat()
