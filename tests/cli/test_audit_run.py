"""A run that asks a person, and a person who answers with the command line: end to end."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import trio

from monastery.auditor.person import PersonAuditor
from monastery.runtime.journal import Record
from monastery.runtime.records import Answer, Item
from tests.runtime.world import Small, notes

AUDIT = [sys.executable, "-m", "monastery.runtime.cli.main", "audit"]


class Late:
    """The run's desk, which is there only when the run is."""

    small: Small

    async def ask(self, item: Item) -> Answer | None:
        """Pass it on."""
        return await self.small.desk.ask(item)

    async def withdraw(self, prefix: str) -> None:
        """Pass it on."""
        await self.small.desk.withdraw(prefix)


async def answered(home: Path, *typed: str, seconds: float = 3600.0) -> Small:
    """Live a run of one step, and run these words of `audit` when its question is posted."""
    late = Late()
    small = Small(
        home,
        notes("one"),
        auditors=[PersonAuditor("alice", seconds, late, wants={"two_votes": False})],
    )
    late.small = small
    posted = trio.Event()

    def watch(record: Record) -> None:
        if record.event.type == "item.posted":
            posted.set()

    small.watch = watch
    async with trio.open_nursery() as nursery:
        nursery.start_soon(small.live, small.new())
        await posted.wait()
        if typed:
            item = small.events("item.posted")[0].item
            await trio.run_process(
                [*AUDIT, typed[0], item, *typed[1:]],
                env={**os.environ, "MONASTERY_HOME": str(home)},
                capture_stdout=True,
            )
    return small


async def test_vote_becomes_reward(tmp_path: Path) -> None:
    """A score on the command line is the step's score and reward, and the step is carried out."""
    words = ["--decision", "approve", "--score", "0.75", "--note", "well", "--by", "root"]
    small = await answered(tmp_path, "score", *words)
    (vote,) = small.events("audit.voted")
    assert (vote.auditor, vote.score, vote.note) == ("alice", 0.75, "well")
    assert small.events("item.answered")[0].by == "root"
    assert small.events("reward.issued")[0].value == 0.75
    assert small.notebook.done == [b"one"]


async def test_modified_bytes_are_carried_out(tmp_path: Path) -> None:
    """With modify exactly the other bytes are carried out."""
    (tmp_path / "other").write_bytes(b"another")
    words = ["--decision", "modify", "--score", "0.5", "--payload", str(tmp_path / "other")]
    small = await answered(tmp_path, "score", *words)
    assert small.notebook.done == [b"another"]


async def test_expired_is_unmeasured(tmp_path: Path) -> None:
    """Nobody answering in time is expired: no vote, no reward, and the step is not carried out."""
    small = await answered(tmp_path, seconds=0.5)
    (unmeasured,) = small.events("audit.unmeasured")
    assert unmeasured.expired
    assert small.events("gate.decided")[0].verdict == "expired"
    assert small.events("reward.issued") == []
    assert small.notebook.done == []


async def test_waiting_question_is_shown(tmp_path: Path) -> None:
    """What waits is listed and shown by other processes while the run stands still."""
    late = Late()
    small = Small(tmp_path, notes("one"), auditors=[PersonAuditor("alice", 3600.0, late)])
    late.small = small
    posted = trio.Event()
    small.watch = lambda record: posted.set() if record.event.type == "item.posted" else None

    async def told(*words: str) -> Any:
        ended = await trio.run_process(
            [*AUDIT, *words, "--home", str(tmp_path), "--json"], capture_stdout=True
        )
        return json.loads(ended.stdout)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(small.live, small.new())
        await posted.wait()
        (waiting,) = await told("list")
        sheet = await told("show", waiting["item"])
        nursery.cancel_scope.cancel()
    assert (waiting["for"], waiting["kind"], waiting["state"]) == ("alice", "note", "open")
    assert (sheet["step"]["rendering"], sheet["reasons"]) == ("one", None)
