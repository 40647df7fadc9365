"""The database file of a home: opening it, transactions, and what its errors mean.

WAL with synchronous=FULL: what a transaction wrote survives power loss as fsync promises it, and
readers in other processes are never blocked.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import apsw

from monastery.runtime.errors import BadInput, StoreError
from monastery.runtime.schema import migrate

BUSY_SECONDS = 10
"""How long a write waits for another program that holds the database."""
_RETRY_SECONDS = 0.01


class Database:
    """One connection to the database in a home folder."""

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
            _write_ahead(db)
            db.execute("PRAGMA foreign_keys=ON")
            db.pragma("synchronous", synchronous)
            migrate(db, repr(str(path)))
            os.chmod(path, 0o600)  # noqa: PTH101 - the seed of the draws lies in it
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

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Keep others from writing until the block ends; a block within a block is part of it."""
        if self._db.in_transaction:
            yield
            return
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


def _write_ahead(db: apsw.Connection) -> None:
    """Turn the write-ahead log on; SQLite itself does not wait while another process does so."""
    last = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except apsw.BusyError:
            if time.monotonic() > last:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return
