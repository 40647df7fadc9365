"""Verification: every way to falsify a record is found, under the verdict that it belongs to."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from monastery.runtime.canonical import canonical, sha256
from monastery.runtime.content import Sealer
from monastery.runtime.journal import entry_hash
from monastery.runtime.merkle import Frontier, leaf_hash
from monastery.runtime.records import RunId
from monastery.runtime.rows import GENESIS
from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from tests.runtime.world import SetAuditor, Small, approve, notes

Bodies = list[dict[str, Any]]
pytestmark = pytest.mark.virtual

VERDICTS = [
    "integrity",
    "completeness",
    "draws",
    "boundary",
    "alternatives",
    "outcome order",
    "waits",
    "checkpoint",
]


async def _recorded(home: Path) -> RunId:
    """Live a run of ten steps, about half of them audited."""
    texts = [f"note {number}" for number in range(10)]
    small = Small(home, notes(*texts), [SetAuditor(approve(0.75))], rate=0.5)
    row = small.new()
    await small.live(row)
    return row.run


def _verdicts(home: Path, run: RunId) -> dict[str, bool | None]:
    with Store.open(home) as store:
        found = verify(store, run)
    assert [one.name for one in found] == VERDICTS
    return {one.name: one.verdict for one in found}


def _raw(home: Path, sql: str, *values: Any) -> None:
    with apsw.Connection(str(home / "monastery.sqlite3")) as db:
        db.execute(sql, values)


def _forge(home: Path, run: RunId, change: Callable[[Bodies], Any]) -> None:
    """Change events as a forger would who can hash: numbers, chain, tree and head fit again."""
    with apsw.Connection(str(home / "monastery.sqlite3")) as db:
        rows = db.execute("SELECT body FROM events WHERE run = ? ORDER BY seq", (run,)).fetchall()
        bodies: Bodies = [msgspec.json.decode(body) for (body,) in rows]
        change(bodies)
        db.execute("DELETE FROM events WHERE run = ?", (run,))
        head, frontier = GENESIS, Frontier()
        for seq, body in enumerate(bodies):
            raw = canonical(body | {"seq": seq, "prev": head.hex()})
            head, frontier = entry_hash(raw), frontier.append([leaf_hash(raw)])
            db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (run, seq, head, raw))
        db.execute(
            "UPDATE runs SET seq = ?, head = ?, frontier = ? WHERE run = ?",
            (len(bodies), head, frontier.encode(), run),
        )


def _first(bodies: Bodies, kind: str) -> dict[str, Any]:
    event: dict[str, Any] = next(b["event"] for b in bodies if b["event"]["type"] == kind)
    return event


def _at(bodies: Bodies, kind: str) -> int:
    return next(n for n, body in enumerate(bodies) if body["event"]["type"] == kind)


async def test_an_honest_record_holds_in_every_verdict(tmp_path: Path) -> None:
    """A finished run that nobody touched is true throughout."""
    run = await _recorded(tmp_path)
    assert _verdicts(tmp_path, run) == dict.fromkeys(VERDICTS, True)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE events SET body = CAST(replace(body, '0.75', '0.95') AS BLOB) WHERE seq = ?1",
        "UPDATE events SET hash = randomblob(32) WHERE seq = ?1",
        "DELETE FROM events WHERE seq = ?1",
        "UPDATE events SET seq = CASE seq WHEN ?1 THEN -1 ELSE ?1 END WHERE seq IN (?1, ?1 + 1);"
        "UPDATE events SET seq = ?1 + 1 WHERE seq = -1",
        "INSERT INTO events SELECT run, 10000, hash, body FROM events WHERE seq = ?1",
        "UPDATE blobs SET content = CAST('note X' AS BLOB) WHERE content = CAST('note 3' AS BLOB)",
        "DELETE FROM blobs WHERE content = CAST('note 3' AS BLOB)",
    ],
    ids=["edit", "hash", "inner delete", "reorder", "insert", "blob edit", "blob delete"],
)
async def test_clumsy_tampering_breaks_integrity_at_every_event(tmp_path: Path, sql: str) -> None:
    """Whoever changes rows without hashing is found, whichever of the events it was."""
    run = await _recorded(tmp_path / "honest")
    with Store.open(tmp_path / "honest") as store:
        last = store.run(run).seq - 1
        bodies = [entry.body for entry in store.entries(run)]
    touched = range(last) if "?1" in sql else range(1)
    for seq in touched:
        if "replace" in sql and b"0.75" not in bodies[seq]:
            continue
        home = tmp_path / f"tampered-{seq}"
        shutil.copytree(tmp_path / "honest", home)
        statements = [(part, (seq,) if "?1" in part else ()) for part in sql.split(";")]
        for part, values in statements:
            _raw(home, part, *values)
        assert _verdicts(home, run)["integrity"] is False, seq


async def test_a_tail_that_is_cut_off_is_found(tmp_path: Path) -> None:
    """Cut without care it contradicts the store; cut with care it contradicts the checkpoint."""
    run = await _recorded(tmp_path)
    _raw(tmp_path, "DELETE FROM events WHERE seq > 30")
    assert _verdicts(tmp_path, run)["completeness"] is False
    _forge(tmp_path, run, lambda bodies: None)
    _raw(tmp_path, "UPDATE runs SET status = 'interrupted'")
    verdicts = _verdicts(tmp_path, run)
    assert verdicts["completeness"] is None
    assert verdicts["checkpoint"] is False


def _flip_draw(bodies: Bodies) -> None:
    drawn = next(b["event"] for b in bodies if b["event"].get("audited") is False)
    drawn["audited"] = True


def _raise_probability(bodies: Bodies) -> None:
    _first(bodies, "proposal.frozen")["probability"] = 0.25
    _first(bodies, "audit.drawn")["probability"] = 0.25


def _other_proposal(bodies: Bodies) -> None:
    _first(bodies, "proposal.frozen")["digest"] = "0" * 64


def _other_seed(bodies: Bodies) -> None:
    _first(bodies, "seed.revealed")["seed"] = "0" * 64


def _no_draw(bodies: Bodies) -> None:
    del bodies[_at(bodies, "audit.drawn")]


@pytest.mark.parametrize(
    "change", [_flip_draw, _raise_probability, _other_proposal, _other_seed, _no_draw]
)
async def test_a_forged_draw_is_found(tmp_path: Path, change: Callable[[Bodies], None]) -> None:
    """Though the chain fits again, the draw does not come out of the seed and the proposal."""
    run = await _recorded(tmp_path)
    _forge(tmp_path, run, change)
    verdicts = _verdicts(tmp_path, run)
    assert verdicts["integrity"] is True
    assert verdicts["draws"] is False
    assert verdicts["checkpoint"] is False


def _higher_score(bodies: Bodies) -> None:
    _first(bodies, "reward.issued")["score"] = 1.0


def _other_boundary(bodies: Bodies) -> None:
    _first(bodies, "reward.issued")["boundary"] += 1


def _no_weight(bodies: Bodies) -> None:
    _first(bodies, "reward.issued")["weight"] = 1.0


def _twice(bodies: Bodies) -> None:
    at = _at(bodies, "reward.issued")
    bodies.insert(at, bodies[at])


def _printed_late(bodies: Bodies) -> None:
    bodies.insert(_at(bodies, "step.completed"), bodies[_at(bodies, "segment.printed")])


def _segment_from_nowhere(bodies: Bodies) -> None:
    del bodies[_at(bodies, "step.completed")]


@pytest.mark.parametrize(
    "change",
    [_higher_score, _other_boundary, _no_weight, _twice, _printed_late, _segment_from_nowhere],
)
async def test_a_reward_across_a_boundary_is_found(
    tmp_path: Path, change: Callable[[Bodies], None]
) -> None:
    """A reward is for one segment, once, with the score and the weight that its draw gave it."""
    run = await _recorded(tmp_path)
    _forge(tmp_path, run, change)
    verdicts = _verdicts(tmp_path, run)
    assert verdicts["integrity"] is True
    assert verdicts["boundary"] is False


def _unseen(bodies: Bodies) -> None:
    for kind in ("audit.voted", "audit.scored", "reward.issued"):
        _first(bodies, kind)["seen"] = "0" * 64


def _step_before_gate(bodies: Bodies) -> None:
    at = _at(bodies, "gate.decided")
    bodies[at], bodies[at + 1] = bodies[at + 1], bodies[at]


def _later_case(bodies: Bodies) -> None:
    cases = [body["event"] for body in bodies if body["event"]["type"] == "audit.shown"]
    cases[0]["case"] = cases[-1]["case"]


@pytest.mark.parametrize("change", [_unseen, _step_before_gate, _later_case])
async def test_an_approval_that_knew_the_outcome_is_found(
    tmp_path: Path, change: Callable[[Bodies], None]
) -> None:
    """Votes name a recorded case of their own step, and the gate decides before the step."""
    run = await _recorded(tmp_path)
    _forge(tmp_path, run, change)
    verdicts = _verdicts(tmp_path, run)
    assert verdicts["integrity"] is True
    assert verdicts["outcome order"] is False


async def test_a_checkpoint_from_elsewhere_finds_a_whole_record_rewritten(tmp_path: Path) -> None:
    """Even a forger with the home folder in hand cannot agree with a checkpoint kept elsewhere."""
    run = await _recorded(tmp_path / "home")
    kept = tmp_path / "kept"
    shutil.copy(tmp_path / "home" / "checkpoints" / run, kept)
    shutil.rmtree(tmp_path / "home" / "checkpoints")
    _forge(tmp_path / "home", run, _higher_score)
    assert _verdicts(tmp_path / "home", run)["checkpoint"] is None
    with Store.open(tmp_path / "home") as store:
        found = {one.name: one.verdict for one in verify(store, run, kept)}
    assert found["checkpoint"] is False


async def test_a_content_without_a_salt_is_not_one_of_this_format(tmp_path: Path) -> None:
    """Named by its bare hash in an event of format 2 it could be guessed: integrity fails."""
    run = await _recorded(tmp_path)
    bare = sha256(b"note 3")

    def rename(bodies: Bodies) -> None:
        for body in bodies:
            if body["event"].get("payload", {}).get("ref") == salted:
                body["event"]["payload"]["ref"] = bare

    with Store.open(tmp_path) as store:
        salted = Sealer(store.run(run).content_key).seal(b"note 3").ref
    _forge(tmp_path, run, rename)
    _raw(tmp_path, "UPDATE blobs SET ref = ?, salt = NULL WHERE ref = ?", bare, salted)
    with Store.open(tmp_path) as store:
        (integrity, *_) = verify(store, run)
    assert integrity.verdict is False
    assert "as another format keeps it" in integrity.reason
