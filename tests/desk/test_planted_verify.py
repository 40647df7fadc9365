"""What verifies planted questions finds every way in which they could be bent afterwards."""

import msgspec
import pytest

from monastery.runtime import checkpoint
from monastery.runtime.canonical import canonical
from monastery.runtime.planted import commitment, entry_hash
from monastery.runtime.planted_verify import verify_planted
from monastery.runtime.records import ItemId
from monastery.runtime.rows import GENESIS
from tests.desk.planting import WHY, known, planting, put, through
from tests.desk.world import ADA, World


def _verdicts(world: World) -> dict[str, bool | None]:
    return {one.name: one.verdict for one in verify_planted(world.book)}


def _why(world: World) -> str:
    return "; ".join(one.reason for one in verify_planted(world.book) if one.verdict is False)


@pytest.fixture
def judged(world: World) -> ItemId:
    """A bad planted question that ada let through, revealed; and another that she did not."""
    planting(world, known(), known("bad-2", b"rm -rf src\n"))
    first = through(world, ADA, 1, decision="approve")
    found = world.clerk.next(ADA, world.now, by_hand=True)
    assert isinstance(found, str)
    world.clerk.skip(ADA, found, "later", world.now)
    through(world, ADA, 2, decision="reject")
    world.clerk.close(world.now)
    return first


def _forge(world: World, change: object) -> None:
    """Change the log as somebody could who has the database: every hash is made anew."""
    rows = world.book._db.execute("SELECT body FROM planted_log ORDER BY number").fetchall()
    entries = [msgspec.json.decode(body) for (body,) in rows]  # type: ignore[arg-type]
    entries = change(entries) or entries  # type: ignore[operator]
    world.book._db.execute("DELETE FROM planted_log")
    head = GENESIS
    for number, entry in enumerate(entries):
        body = canonical(entry | {"number": number, "prev": head.hex()})
        head = entry_hash(body)
        world.book._db.execute(
            "INSERT INTO planted_log VALUES (?, ?, ?, x'')", (number, head, body)
        )


def _unsigned(world: World) -> None:
    """Take the signed roots away: what is found then is found by the log alone."""
    checkpoint.path_of(world.home, "planted").unlink()


def _find(entries: list[dict[str, object]], what: str, item: str) -> dict[str, object]:
    return next(one for one in entries if one["type"] == what and one["item"] == item)


def test_an_honest_desk_is_found_honest(world: World, judged: ItemId) -> None:
    """Chain, signed roots, draws, commitments; and no reward."""
    assert _verdicts(world) == {
        "chain": True,
        "checkpoint": True,
        "draws": True,
        "commitments": True,
        "no reward": True,
    }


def test_while_the_desk_is_open_nobody_can_tell_all(world: World) -> None:
    """What waits is not revealed: that is unknown, and no failure."""
    planting(world)
    put(world)
    world.clerk.next(ADA, world.now, by_hand=True)
    verdicts = _verdicts(world)
    assert verdicts["commitments"] is None
    assert verdicts["draws"] is True
    assert False not in verdicts.values()


def test_an_empty_home_has_nothing_wrong(world: World) -> None:
    """Nothing was planted, and nothing is claimed."""
    assert set(_verdicts(world).values()) == {True}


def test_a_label_that_was_swapped_afterwards(world: World, judged: ItemId) -> None:
    """Who let a bad one through cannot be made to have let a good one through."""
    world.book._db.execute("UPDATE planted SET good = 1 WHERE item = ?", (judged,))
    assert "another than was committed to" in _why(world)
    sealed = known(good=True).sealed()
    world.book._db.execute("UPDATE planted SET sealed = ? WHERE item = ?", (sealed, judged))
    assert "not what was committed to before it was shown" in _why(world)


def test_a_reason_that_was_swapped_afterwards(world: World, judged: ItemId) -> None:
    """What is told is part of what was committed to."""
    world.book._db.execute("UPDATE planted SET why = ? WHERE item = ?", (f"{WHY}.", judged))
    assert "another than was committed to" in _why(world)


def test_another_salt(world: World, judged: ItemId) -> None:
    """A salt that was looked for until the hash fits does not fit; nor one that was not used."""
    world.book._db.execute("UPDATE planted SET salt = ? WHERE item = ?", (bytes(32), judged))
    assert "not what was committed to" in _why(world)


def test_a_reveal_with_another_salt(world: World, judged: ItemId) -> None:
    """Also when the whole log is hashed anew, and no signed root is left."""

    def change(entries: list[dict[str, object]]) -> None:
        _find(entries, "revealed", judged)["salt"] = bytes(32).hex()

    _forge(world, change)
    assert _verdicts(world)["checkpoint"] is False
    _unsigned(world)
    assert "what was revealed is not what was committed to" in _why(world)


def test_a_commitment_that_came_after_the_answer(world: World, judged: ItemId) -> None:
    """Then anything could have been committed to."""

    def change(entries: list[dict[str, object]]) -> None:
        one = _find(entries, "committed", judged)
        entries.remove(one)
        entries.insert(entries.index(_find(entries, "answered", judged)) + 1, one)

    _forge(world, change)
    _unsigned(world)
    assert "out of order" in _why(world)


def test_a_missing_reveal(world: World, judged: ItemId) -> None:
    """What was judged and is hidden when the desk has closed is found."""

    def change(entries: list[dict[str, object]]) -> None:
        entries.remove(_find(entries, "revealed", judged))

    _forge(world, change)
    _unsigned(world)
    assert "not revealed when the desk closed" in _why(world)


def test_one_that_is_not_in_the_log(world: World, judged: ItemId) -> None:
    """Nobody plants beside the log; nor takes a bad day out of it."""

    def change(entries: list[dict[str, object]]) -> list[dict[str, object]]:
        return [one for one in entries if one.get("item") != judged]

    _forge(world, change)
    _unsigned(world)
    assert "no commitment" in _why(world)


def test_one_that_is_not_kept(world: World, judged: ItemId) -> None:
    """A row that is gone is missed."""
    world.book._db.execute("DELETE FROM planted WHERE item = ?", (judged,))
    assert "not kept any more" in _why(world)


def test_a_judgement_that_was_changed(world: World, judged: ItemId) -> None:
    """The rows that recall is counted from are held to the log."""
    world.book._db.execute(
        "UPDATE planted SET answer = ? WHERE item = ?", (b'{"decision":"reject"}', judged)
    )
    assert "another judgement" in _why(world)


def test_one_that_no_lot_fell_on(world: World, judged: ItemId) -> None:
    """Who plants at will, or draws until it fits, is found when the seed is revealed."""

    def change(entries: list[dict[str, object]]) -> None:
        drawn = next(one for one in entries if one["type"] == "drawn")
        drawn["u"] = 0.125

    _forge(world, change)
    _unsigned(world)
    assert "does not come out again" in _why(world)


def test_a_log_that_was_edited(world: World, judged: ItemId) -> None:
    """One byte in one entry, or one entry less at the end."""
    log = world.book._db
    log.execute("UPDATE planted_log SET body = replace(body, 'reject', 'Reject') WHERE number > 3")
    assert _verdicts(world)["chain"] is False


def test_a_tail_that_was_cut_off(world: World, judged: ItemId) -> None:
    """The signed root remembers more."""
    world.book._db.execute("DELETE FROM planted_log WHERE number > 4")
    assert _verdicts(world)["checkpoint"] is False


def test_a_planted_question_that_reached_a_run(world: World, judged: ItemId) -> None:
    """An answer that lies ready for a run, or a name in its journal, is a reward about to be."""
    log = world.book._db
    row = (judged, "ada", world.now.isoformat(), b"{}", None)
    log.execute("INSERT INTO answers (item, who, at, body, due) VALUES (?, ?, ?, ?, ?)", row)
    assert _verdicts(world)["no reward"] is False
    log.execute("DELETE FROM answers")
    log.execute("UPDATE events SET body = ? WHERE seq = 0", (f'{{"item":"{judged}"}}'.encode(),))
    assert _verdicts(world)["no reward"] is False


def test_a_commitment_gives_nothing_away(world: World) -> None:
    """The same proposal is committed to by another hash each time: its salt is by lot."""
    planting(world)
    sealed = known().sealed()
    assert commitment(bytes(32), sealed) != commitment(b"\1" * 32, sealed)
    through(world, ADA, 1)
    entries = [msgspec.json.decode(one.body) for one in world.book.planted_log()]
    (one,) = [entry for entry in entries if entry["type"] == "committed"]
    kept = world.book.sealed_of(one["item"])
    assert kept is not None
    assert kept[0] == sealed
    assert one["commitment"] == commitment(kept[1], sealed)
    before = entries[: entries.index(one) + 1]
    assert kept[1].hex() not in str(before)


def test_what_was_undone_is_neither_in_the_log_nor_signed(world: World) -> None:
    """Of several who are heard in one turn, one fails after it has written to the log."""
    with world.book.turn():
        with world.book.part():
            world.book.log(world.now, "seed.committed", commitment="00" * 32)
        with pytest.raises(RuntimeError):
            _fails(world)
    assert len(world.book.planted_log()) == 1
    verdicts = _verdicts(world)
    assert (verdicts["chain"], verdicts["checkpoint"]) == (True, True)


def _fails(world: World) -> None:
    with world.book.part():
        world.book.log(world.now, "drawn", item="x")
        raise RuntimeError("planted")
