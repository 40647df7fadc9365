"""The desk's rows: what is erased is gone from them, and an older home gets them."""

from pathlib import Path

import pytest

from monastery.runtime.desk_book import DeskBook
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Dig
from monastery.runtime.records import ItemId
from tests.cli.questions import RUN
from tests.desk.world import ADA, BOB, World


def test_erasing_removes_the_recordings_of_one_run(world: World) -> None:
    """They show files of its box; those of other runs stay, and so do the rows with the hashes."""
    rows = [
        Dig(name, ItemId(f"{run}.1.audit.ada"), "ada", "first", "box", "", world.now)
        for name, run in (("dig-1", RUN), ("dig-2", f"{RUN}0"))
    ]
    with world.book.turn():
        for row in rows:
            world.book.put_dig(row)
            path = world.book.recording(row)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"secret")
    assert [one.dig for one in world.book.recordings(RUN)] == ["dig-1"]
    world.book.erase_recordings(RUN)
    assert [world.book.recording(row).exists() for row in rows] == [False, True]
    assert [one.dig for one in world.book.all_digs()] == ["dig-1", "dig-2"]
    assert world.book.find_dig("dig-2").item == rows[1].item
    for name in ("dig", "dig-3"):
        with pytest.raises(BadInput, match="dig"):
            world.book.find_dig(name)


def test_what_is_erased_is_in_no_ballot_and_no_reason(world: World, tmp_path: Path) -> None:
    """A note may repeat what had to go; the vote stays in the rows without its words."""
    secret = "THE-NUMBER-4711"
    item = world.put(desk={"two_votes": False})
    world.take(BOB, item)
    assert world.clerk.skip(BOB, item.id, f"it is {secret}", world.now) is None
    world.take(ADA, item)
    assert world.vote(ADA, item, note=f"why {secret}").final
    assert secret.encode() in world.book.item_bytes(item.id)
    row = world.book.run(RUN)
    world.book.release(RUN, row.epoch)
    world.questions.store.close()
    world.book.erase(RUN, [], [item.id])
    found = b"".join(path.read_bytes() for path in world.home.rglob("*") if path.is_file())
    assert secret.encode() not in found
    (ballot,) = world.book.ballots(item.id, "ada")
    assert dict(ballot.body) == {"erased": True}


def test_what_the_agent_printed_is_that_segments(world: World) -> None:
    """A question whose segment printed nothing shows nothing, not another segment's."""
    item = world.put()
    assert world.book.printed(item.id) == (b"", 0)


def test_a_question_that_took_anothers_place_is_found(world: World) -> None:
    """By its name alone, and only while it is open."""
    from dataclasses import replace

    item = world.put(11)
    world.put(1)
    assert world.book.later(item.id) is None
    second = world.questions.put(replace(item, id=type(item.id)(f"{item.id}~2")))
    assert world.book.later(item.id) == second.id
    assert world.book.later(second.id) is None
    world.questions.close(second, "expired")
    assert world.book.later(item.id) is None


def test_two_books_share_one_home(world: World) -> None:
    """What one wrote the other reads; neither keeps the other out for longer than a turn."""
    with DeskBook.open(world.home) as other:
        world.add("mira", "auditor")
        found = other.person("mira")
        assert found is not None
        assert found.roles == {"auditor"}
