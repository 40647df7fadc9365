"""The database's schema, as a chain of migrations: a new database and an old one go the same way.

A migration is never changed once it was released; `tests/runtime/released/` holds a journal of each
released version, which the chain must open. All that are due run in one transaction.
"""

from collections.abc import Callable

import apsw
import msgspec

from monastery.runtime.content import new_content_key
from monastery.runtime.errors import StoreError
from monastery.runtime.merkle import Frontier, leaf_hash
from monastery.runtime.owner import is_dead
from monastery.runtime.people import question_of
from monastery.runtime.records import Item

_FIRST = """
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

# Contents get a salt; `salt` NULL marks those that format 1 named by their bare hash. An erased one
# has `erased`, the time, and no bytes. A run's frontier is that of its Merkle tree.
_PROOFS = """
ALTER TABLE blobs RENAME COLUMN sha256 TO ref;
ALTER TABLE blobs ADD COLUMN salt BLOB;
ALTER TABLE blobs ADD COLUMN erased TEXT;
ALTER TABLE runs ADD COLUMN content_key BLOB NOT NULL DEFAULT x'';
ALTER TABLE runs ADD COLUMN frontier BLOB NOT NULL DEFAULT x'';
"""

_LEASES = """
CREATE TABLE leases (
    run TEXT PRIMARY KEY, epoch INTEGER NOT NULL, beats INTEGER NOT NULL, seconds REAL NOT NULL,
    until_boot REAL NOT NULL, until_wall TEXT NOT NULL
) WITHOUT ROWID;
"""

# The desk. A question's `head` is what `people.question_of` makes of it, so that a queue of
# thousands is read without what they show. An answer is taken from `due` on; NULL is at once.
_DESK = """
ALTER TABLE items ADD COLUMN head BLOB NOT NULL DEFAULT x'';
ALTER TABLE answers ADD COLUMN due TEXT;
CREATE INDEX items_in_order ON items (state);
CREATE TABLE people (
    name TEXT PRIMARY KEY, roles TEXT NOT NULL, since TEXT NOT NULL, "left" TEXT
) WITHOUT ROWID;
CREATE TABLE passes (
    digest TEXT PRIMARY KEY, person TEXT NOT NULL, kind TEXT NOT NULL, scope TEXT NOT NULL,
    made TEXT NOT NULL, expires TEXT NOT NULL, label TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE claims (
    item TEXT PRIMARY KEY, person TEXT NOT NULL, since TEXT NOT NULL, until TEXT NOT NULL,
    shown TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX claims_by_person ON claims (person);
CREATE TABLE ballots (
    number INTEGER PRIMARY KEY, item TEXT NOT NULL, person TEXT NOT NULL, stage TEXT NOT NULL,
    slip TEXT NOT NULL, at TEXT NOT NULL, seconds REAL NOT NULL, counts INTEGER NOT NULL,
    body BLOB NOT NULL, UNIQUE (item, person, slip)
);
CREATE INDEX ballots_by_person ON ballots (person, number);
CREATE TABLE opinions (
    opinion TEXT NOT NULL, person TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (opinion, person)
) WITHOUT ROWID;
CREATE TABLE skips (
    item TEXT NOT NULL, person TEXT NOT NULL, at TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE INDEX skips_by_person ON skips (person, item);
"""

# Planted questions, which are no run's. `body` is what was shown, until it was judged; `sealed` and
# `salt` are what was committed to in the log, an append-only chain. `holds` are votes that their
# runs were not handed.
_PLANTED = """
CREATE TABLE planted (
    item TEXT PRIMARY KEY, person TEXT NOT NULL, stands_for TEXT NOT NULL, run TEXT NOT NULL,
    head BLOB NOT NULL, body BLOB, printed BLOB NOT NULL, name TEXT NOT NULL, same TEXT NOT NULL,
    good INTEGER NOT NULL, why TEXT NOT NULL, sealed BLOB NOT NULL, salt BLOB NOT NULL,
    who TEXT, at TEXT, due TEXT, answer BLOB, held INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0, revealed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX planted_by_person ON planted (person);
CREATE INDEX planted_by_author ON planted (who);
CREATE INDEX planted_open ON planted (item) WHERE revealed = 0;
CREATE TABLE planted_draws (
    item TEXT NOT NULL, person TEXT NOT NULL, planted INTEGER NOT NULL, PRIMARY KEY (item, person)
) WITHOUT ROWID;
CREATE TABLE planted_log (
    number INTEGER PRIMARY KEY, hash BLOB NOT NULL, body BLOB NOT NULL, frontier BLOB NOT NULL
);
CREATE TABLE planted_seed (seed BLOB NOT NULL);
CREATE TABLE holds (
    item TEXT PRIMARY KEY, person TEXT NOT NULL, at TEXT NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
"""

# Shells in copies of boxes. The recordings are files beside the database.
_DIGS = """
CREATE TABLE digs (
    dig TEXT PRIMARY KEY, item TEXT NOT NULL, person TEXT NOT NULL, stage TEXT NOT NULL,
    of TEXT NOT NULL, owner TEXT NOT NULL, began TEXT NOT NULL, ended TEXT, why TEXT NOT NULL,
    sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX digs_by_item ON digs (item, person);
"""


def _first(db: apsw.Connection) -> None:
    db.execute(_FIRST)


def _proofs(db: apsw.Connection) -> None:
    db.execute(_PROOFS)
    for (run,) in db.execute("SELECT run FROM runs").fetchall():
        frontier = Frontier()
        for (body,) in db.execute("SELECT body FROM events WHERE run = ? ORDER BY seq", (run,)):
            frontier = frontier.append([leaf_hash(body)])
        db.execute(
            "UPDATE runs SET content_key = ?, frontier = ? WHERE run = ?",
            (new_content_key(), frontier.encode(), run),
        )


def _leases(db: apsw.Connection) -> None:
    db.execute(_LEASES)


def _desk(db: apsw.Connection) -> None:
    db.execute(_DESK)
    for item, body in db.execute("SELECT item, body FROM items").fetchall():
        assert isinstance(body, bytes)
        head = msgspec.json.encode(question_of(msgspec.json.decode(body, type=Item)))
        db.execute("UPDATE items SET head = ? WHERE item = ?", (head, item))


def _planted(db: apsw.Connection) -> None:
    db.execute(_PLANTED)


def _digs(db: apsw.Connection) -> None:
    db.execute(_DIGS)


_MIGRATIONS: list[Callable[[apsw.Connection], None]] = [
    _first,
    _proofs,
    _leases,
    _desk,
    _planted,
    _digs,
]
"""The one at index n makes version n + 1 out of version n; 0 is an empty database."""

SCHEMA_VERSION = len(_MIGRATIONS)


def migrate(db: apsw.Connection, name: str) -> None:
    """Bring a database to this program's version, in one transaction.

    Raises:
        StoreError: It is of a later version; or an earlier program is running one of its runs.
    """
    if db.pragma("user_version") == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.pragma("user_version")  # again: another process may have been first
        if version > SCHEMA_VERSION:
            raise StoreError(f"{name} is of version {version}, this program reads {SCHEMA_VERSION}")
        if 0 < version < SCHEMA_VERSION:
            _refuse_while_running(db, name, version)
        for migration in _MIGRATIONS[version:]:
            migration(db)
        db.pragma("user_version", SCHEMA_VERSION)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _refuse_while_running(db: apsw.Connection, name: str, version: int) -> None:
    for run, owner in db.execute("SELECT run, owner FROM runs WHERE owner IS NOT NULL"):
        if not is_dead(owner):
            raise StoreError(
                f"{name} is of version {version}, and run {run!r} is being run by the program"
                " that wrote it; stop that run, then this program can take the journal over"
            )
