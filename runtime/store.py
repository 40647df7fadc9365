"""The store: one SQLite database that holds the journals of all runs, and what they refer to.

There is one operation that writes a run: `append`. It puts events, the blobs they name and the row
changes that belong to them into one transaction, and is refused unless the caller still owns the
run (epoch) and knows its last event (sequence and head hash). Nothing writes around it; a person's
answers lie in a table of their own until the run takes them into its journal.

What a call acknowledged survives kill -9 and power loss; see `database`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec

from monastery.runtime.checkpoint import Keeper
from monastery.runtime.content import belongs, new_content_key
from monastery.runtime.database import Database
from monastery.runtime.errors import (
    BadInput,
    Erased,
    LeaseLapsed,
    NotOwner,
    RunHeld,
    StoreError,
)
from monastery.runtime.lease import FREE, TERMS, Lease, Moment, standing
from monastery.runtime.merkle import Frontier, leaf_hash
from monastery.runtime.owner import told
from monastery.runtime.people import question_of
from monastery.runtime.records import Answer, Item, ItemId, RunId
from monastery.runtime.rows import (
    GENESIS,
    Append,
    CloseItem,
    Entry,
    ItemState,
    PutItem,
    RowChange,
    RunRow,
    SetStatus,
    StoredItem,
)

_RUN_COLUMNS = (
    "run, project, project_path, started, status, owner, epoch, seq, head, seed, content_key,"
    " frontier"
)


class Store(Database):
    """The database in one home folder. Synchronous; an instance serves one thread at a time."""

    def __init__(self, home: Path, connection: apsw.Connection) -> None:
        super().__init__(home, connection)
        self._keeper = Keeper(home)

    # Runs

    def create_run(
        self, run: RunId, *, project: str, project_path: Path, owner: str, seed: bytes
    ) -> RunRow:
        """Make a run that `owner` owns, with an empty journal."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO runs (run, project, project_path, started, status, owner, epoch, seq,"
                " head, seed, content_key) VALUES (?, ?, ?, ?, 'running', ?, 1, 0, ?, ?, ?)",
                (
                    run,
                    project,
                    str(project_path),
                    _now(),
                    owner,
                    GENESIS,
                    seed,
                    new_content_key(),
                ),
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
        for row in self._query(f"SELECT {_RUN_COLUMNS} FROM runs {where}", values):  # noqa: S608
            run, project, path, started, status, owner, epoch, seq, head, seed, key, peaks = row
            found = RunRow(
                run=RunId(run),
                project=project,
                project_path=Path(path),
                started=datetime.fromisoformat(started),
                status=status,
                owner=owner,
                epoch=epoch,
                seq=seq,
                head=head,
                seed=seed,
                content_key=key,
                frontier=self._frontier(run, seq, peaks),
            )
            if status == "running" and not self.held(found):
                found = replace(found, status="interrupted")
            yield found

    def _frontier(self, run: str, seq: int, peaks: bytes) -> Frontier:
        try:
            return Frontier.decode(seq, peaks)
        except ValueError as exc:
            raise StoreError(f"the tree of run {run!r} was edited: {exc}") from exc

    # The journal

    def append(self, batch: Sequence[Append]) -> list[StoreError | None]:
        """Write a batch of appends in one transaction (group commit).

        Returns:
            For each append None, or why it was refused; the others of the batch stand.

        Raises:
            StoreError: The database refused the transaction; nothing of the batch stands.
        """
        with self._transaction():
            written = [self._append(one) for one in batch]
        for one, frontier in zip(batch, written, strict=True):
            if isinstance(frontier, Frontier) and one.checkpoint:
                self._keeper.note(one.run, frontier.size, frontier.root())
        return [one if isinstance(one, StoreError) else None for one in written]

    def _append(self, one: Append) -> StoreError | Frontier:
        found = self._db.execute(
            "SELECT owner, epoch, seq, head, frontier FROM runs WHERE run = ?", (one.run,)
        ).fetchone()
        if found is None or found[:2] != (one.owner, one.epoch):
            return NotOwner(f"run {one.run!r} is owned by another runtime now")
        if found[2:4] != (one.seq, one.head):
            return StoreError(f"run {one.run!r} has an event {found[2] - 1} unknown to its runtime")
        frontier = self._frontier(one.run, one.seq, found[4])
        if not one.entries:
            return frontier
        frontier = frontier.append([leaf_hash(entry.body) for entry in one.entries])
        self._db.executemany(
            "INSERT OR IGNORE INTO blobs (ref, salt, content) VALUES (?, ?, ?)",
            [(blob.ref, blob.salt, blob.content) for blob in one.blobs],
        )
        self._db.executemany(
            "INSERT INTO events VALUES (?, ?, ?, ?)",
            [(one.run, entry.seq, entry.hash, entry.body) for entry in one.entries],
        )
        self._db.execute(
            "UPDATE runs SET seq = ?, head = ?, frontier = ? WHERE run = ?",
            (frontier.size, one.entries[-1].hash, frontier.encode(), one.run),
        )
        for change in one.changes:
            self._change(one.run, change)
        return frontier

    def _change(self, run: RunId, change: RowChange) -> None:
        match change:
            case PutItem(item):
                self._db.execute(
                    "INSERT INTO items (item, run, state, body, head) VALUES (?, ?, 'open', ?, ?)",
                    (
                        item.id,
                        run,
                        msgspec.json.encode(item),
                        msgspec.json.encode(question_of(item)),
                    ),
                )
            case CloseItem(item, state):
                self._db.execute("UPDATE items SET state = ? WHERE item = ?", (state, item))
            case SetStatus(status):
                self._db.execute("UPDATE runs SET status = ? WHERE run = ?", (status, run))

    def entries(self, run: RunId | str, *, start: int = 0) -> Iterator[Entry]:
        """Return a run's entries in order, from the number `start` on, as they lie on disk."""
        query = "SELECT seq, hash, body FROM events WHERE run = ? AND seq >= ? ORDER BY seq"
        for seq, digest, body in self._query(query, (run, start)):
            yield Entry(seq, raw(digest), raw(body))

    def blob(self, ref: str) -> bytes:
        """Return a content, which is surely the one of its name.

        Raises:
            Erased: It was erased.
            StoreError: It is not there, or was edited.
        """
        return self.sealed(ref)[1]

    def sealed(self, ref: str) -> tuple[bytes | None, bytes]:
        """Return a content's salt, None for one that format 1 named, and the content.

        Raises:
            Erased: It was erased.
            StoreError: It is not there, or was edited.
        """
        query = "SELECT salt, content, erased FROM blobs WHERE ref = ?"
        for salt, content, erased in self._query(query, (ref,)):
            if erased is not None:
                raise Erased(f"content {ref} was erased at {erased}")
            salt, content = None if salt is None else raw(salt), raw(content)
            if not belongs(ref, salt, content):
                raise StoreError(f"content {ref} in {str(self.home)!r} was edited")
            return salt, content
        raise StoreError(f"content {ref} is not in {str(self.home)!r}")

    # Questions and answers

    def items(
        self, *, state: ItemState | None = "open", run: str | None = None
    ) -> list[StoredItem]:
        """Return questions, the oldest first; of one state or all, of one run or all."""
        # Only what is asked for is asked: a condition that may be empty would hide the index, and
        # every question of every run be read at every audit.
        asked = [(name, value) for name, value in (("state", state), ("run", run)) if value]
        where = " AND ".join(f"{name} = ?" for name, _ in asked) or "TRUE"
        rows = self._query(
            f"SELECT body, state FROM items WHERE {where} ORDER BY rowid",  # noqa: S608 - names
            tuple(value for _, value in asked),
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
                "INSERT INTO answers (item, who, at, body, due) VALUES (?, ?, ?, ?, ?)",
                (
                    answer.item,
                    answer.by,
                    answer.at.isoformat(),
                    msgspec.json.encode(answer.body, order="deterministic"),
                    None if answer.due is None else answer.due.isoformat(),
                ),
            )

    def answered(self, item: ItemId) -> Answer | None:
        """Return the answer that lies ready for an item, if there is one; see when it is `due`."""
        for who, at, body, due in self._query(
            "SELECT who, at, body, due FROM answers WHERE item = ?", (item,)
        ):
            from_then = None if due is None else datetime.fromisoformat(due)
            given = datetime.fromisoformat(at)
            return Answer(item, who, given, msgspec.json.decode(body), from_then)
        return None

    # Erasing

    def item_bytes(self, item: ItemId) -> bytes:
        """Return what is kept of a question and its answer, to be searched."""
        query = (
            "SELECT body FROM items WHERE item = ?1"
            " UNION ALL SELECT body FROM answers WHERE item = ?1"
            " UNION ALL SELECT body FROM ballots WHERE item = ?1"
            " UNION ALL SELECT reason FROM skips WHERE item = ?1"
            " UNION ALL SELECT body FROM holds WHERE item = ?1"
            " UNION ALL SELECT body FROM planted WHERE stands_for = ?1 AND body IS NOT NULL"
        )
        return b"\n".join(raw(body) for (body,) in self._query(query, (item,)))

    def erase(self, run: RunId, refs: Sequence[str], items: Sequence[ItemId]) -> None:
        """Erase contents with their salts, questions' words with their answers, and the run's key.

        The salts of the other contents lie in their rows; nobody can compute an erased one again.
        Then the database is written anew, so that nothing is left in its free pages or its log.
        A call that was interrupted is made again; with nothing to erase it still clears up.

        Raises:
            BadInput: A run of this home is being run.
            StoreError: It could not be done, or another process still reads what was erased.
        """
        with self._transaction():
            self._db.pragma("secure_delete", True)
            for row in self.runs():
                if self.held(row):
                    raise BadInput(
                        f"run {row.run!r} of this home is being run; stop it first:"
                        " erasing writes the whole database anew"
                    )
            self._db.executemany(
                "UPDATE blobs SET content = x'', salt = NULL, erased = ? WHERE ref = ?",
                [(_now(), ref) for ref in refs],
            )
            for item in items:
                self._erase_item(item)
            key = new_content_key()
            self._db.execute("UPDATE runs SET content_key = ? WHERE run = ?", (key, run))
        try:
            self._db.execute("VACUUM")
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as exc:
            raise StoreError(
                f"it was erased, but {str(self.home)!r} could not be written anew ({exc});"
                " close what reads it, and erase once more"
            ) from exc

    def _erase_item(self, item: ItemId) -> None:
        kept = self.item(item).item
        shown = {name: kept.body[name] for name in ("kind", "step") if name in kept.body}
        emptied = replace(kept, body=shown | {"erased": True})
        self._db.execute(
            "UPDATE items SET body = ? WHERE item = ?", (msgspec.json.encode(emptied), item)
        )
        for table in ("answers", "ballots"):
            self._db.execute(
                f"UPDATE {table} SET body = ? WHERE item = ?",  # noqa: S608 - names of ours
                (b'{"erased":true}', item),
            )
        self._db.execute("UPDATE skips SET reason = '' WHERE item = ?", (item,))
        self._db.execute("UPDATE holds SET body = ? WHERE item = ?", (b'{"erased":true}', item))
        # What was shown in its place told of the same earlier steps.
        query = "SELECT item FROM planted WHERE stands_for = ? AND body IS NOT NULL"
        for (standin,) in self._db.execute(query, (item,)).fetchall():
            body = msgspec.json.encode(replace(emptied, id=ItemId(str(standin))))
            self._db.execute("UPDATE planted SET body = ? WHERE item = ?", (body, standin))


def raw(value: Any) -> bytes:
    """Return what lies in a column of bytes, also after somebody put something else there."""
    return value if isinstance(value, bytes) else str(value).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat()
