"""What released versions wrote is opened, shown, verified and gone on with by this one."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from monastery.runtime.errors import StoreError
from monastery.runtime.journal import decode
from monastery.runtime.owner import this_process
from monastery.runtime.recall import earlier_step
from monastery.runtime.records import RunId
from monastery.runtime.schema import SCHEMA_VERSION, migrate
from monastery.runtime.store import Store
from monastery.runtime.story import tell
from monastery.runtime.verify import verify
from tests.runtime.released.make import HOME, _Desk
from tests.runtime.world import Small, notes

RELEASED = Path(__file__).parent / "released"
VERSIONS = sorted(path.name for path in RELEASED.glob("v*"))
pytestmark = pytest.mark.virtual


@pytest.fixture(params=VERSIONS)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A home as a released version left it."""
    source = RELEASED / request.param
    with closing(sqlite3.connect(tmp_path / "monastery.sqlite3")) as db:
        db.executescript((source / "journal.sql").read_text())
    for name in ("checkpoints", "keys"):
        if (source / name).exists():
            shutil.copytree(source / name, tmp_path / name)
    return tmp_path


def _run(home: Path, name: str) -> RunId:
    with Store.open(home) as store:
        (row,) = [row for row in store.runs() if row.run.startswith(f"{name}-")]
    return row.run


def _verdicts(home: Path, run: RunId) -> dict[str, bool | None]:
    with Store.open(home) as store:
        found = verify(store, run)
    print(*found, sep="\n")
    return {one.name: one.verdict for one in found}


def _sql(home: Path, statement: str, *values: Any) -> int:
    with closing(apsw.Connection(str(home / "monastery.sqlite3"))) as db:
        db.execute(statement, values)
        return int(db.changes())


async def test_a_released_run_that_ended_verifies_and_is_told(home: Path) -> None:
    """Every verdict holds by the rules of its own format, and its words are there."""
    run = _run(home, "ended")
    assert set(_verdicts(home, run).values()) == {True}
    with Store.open(home) as store:
        row, story = store.run(run), tell(store, run)
        assert (row.status, str(row.project_path)) == ("done", f"{HOME}/project.yaml")
        steps = [earlier_step(store, one) for one in story.segments if one.completed is not None]
        assert [step.payload for step in steps[-3:]] == [b"note 0", b"note 4", b"note 5"]
        assert sum(one.reward is not None for one in story.segments) == 3


async def test_a_released_run_goes_on(home: Path) -> None:
    """Stopped in the middle of a step by that version, it is finished by this one, and verifies."""
    run = _run(home, "stopped")
    small = Small(home, notes("first", "second", "third"), rate=0.0)
    small.notebook.finds = None

    class Found:
        status, content = "done", {"notes": 2}

    small.notebook.finds = Found()  # type: ignore[assignment]
    ending = await small.live(small.claim(run))
    assert ending.success
    assert small.notebook.done == [b"third"]
    with Store.open(home) as store:
        versions = [msgspec.json.decode(entry.body)["v"] for entry in store.entries(run)]
        assert versions == sorted(versions)
        assert versions[-1] > versions[0] or VERSIONS[-1] != "v1"
        assert [earlier_step(store, one).payload for one in tell(store, run).segments[:3]] == [
            b"first",
            b"second",
            b"third",
        ]
    assert set(_verdicts(home, run).values()) == {True}


async def test_a_released_question_and_its_answer_are_kept(home: Path) -> None:
    """What a person answered to the earlier version is taken by this one."""
    run = _run(home, "waiting")
    small = Small(home, notes("asked"))
    small.auditors = [_Desk(small)]
    assert (await small.live(small.claim(run))).success
    (vote,) = small.events("audit.voted")
    assert (vote.auditor, vote.score, vote.note) == ("ada", 0.5, "well asked")
    assert set(_verdicts(home, run).values()) == {True}


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("UPDATE blobs SET content = x'00' WHERE content = CAST('note 5' AS BLOB)", "integrity"),
        ("UPDATE events SET body = body || ' ' WHERE seq = 5", "integrity"),
        ("DELETE FROM events WHERE seq > 40", "completeness"),
        ("UPDATE blobs SET salt = zeroblob(32)", "integrity"),
    ],
)
async def test_tampering_with_what_is_released_is_found(
    home: Path, statement: str, verdict: str
) -> None:
    """Migrated or not, a journal that was changed does not verify."""
    run = _run(home, "ended")
    assert _sql(home, statement) > 0
    assert _verdicts(home, run)[verdict] is False


async def test_a_checkpoint_of_the_first_format_still_counts(home: Path) -> None:
    """A line of number and hash that the journal does not hold fails, signed or not."""
    run = _run(home, "ended")
    path = home / "checkpoints" / run
    path.write_text("\n".join([f"3 {'0' * 64}", *path.read_text().splitlines()[1:]]) + "\n")
    assert _verdicts(home, run)["checkpoint"] is False


async def test_what_is_being_run_by_an_earlier_version_is_left_alone(home: Path) -> None:
    """A migration under a running program would break its run: one line says what to stop."""
    before = (RELEASED / VERSIONS[0] / "journal.sql").read_text()
    assert "user_version=1" in before
    with closing(sqlite3.connect(home / "monastery.sqlite3")) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    _sql(home, "UPDATE runs SET owner = ? WHERE run LIKE 'stopped%'", this_process())
    with pytest.raises(StoreError, match=r"being run by the program that wrote it; stop that run"):
        Store.open(home)
    _sql(home, "UPDATE runs SET owner = NULL")
    with Store.open(home) as store:
        assert len(store.runs()) == 3


async def test_a_migration_that_breaks_leaves_the_old_version(home: Path) -> None:
    """All of the chain or nothing: after a failure in the middle the database is as it was."""
    with closing(sqlite3.connect(home / "monastery.sqlite3")) as db:
        before = list(db.iterdump())
    if "ref TEXT" in "".join(before):
        return
    _sql(home, "ALTER TABLE runs ADD COLUMN frontier TEXT")  # the chain's last statement fails
    with closing(sqlite3.connect(home / "monastery.sqlite3")) as db:
        before = list(db.iterdump())
    with pytest.raises(StoreError, match="cannot open the journal"):
        Store.open(home)
    with closing(sqlite3.connect(home / "monastery.sqlite3")) as db:
        assert list(db.iterdump()) == before


def test_a_new_database_and_a_migrated_one_are_alike(home: Path, tmp_path: Path) -> None:
    """Both go through the same chain."""

    def tables(path: Path) -> list[Any]:
        with closing(sqlite3.connect(path)) as db:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema ORDER BY name")]
            found = [(name, db.execute(f"PRAGMA table_info({name})").fetchall()) for name in names]
            return [*found, db.execute("PRAGMA user_version").fetchone()]

    with Store.open(home), Store.open(tmp_path / "new"):
        pass
    assert tables(home / "monastery.sqlite3") == tables(tmp_path / "new" / "monastery.sqlite3")


def test_two_programs_that_migrate_at_once_migrate_once(home: Path) -> None:
    """Who comes second finds the work done."""
    path = str(home / "monastery.sqlite3")
    with closing(apsw.Connection(path)) as one, closing(apsw.Connection(path)) as two:
        migrate(one, "it")
        migrate(two, "it")
    with Store.open(home) as store:
        assert all(decode(entry) for entry in store.entries(_run(home, "ended")))
