"""Writes a journal of this version as text, to be kept when the version is released.

    python -m tests.runtime.released.make FOLDER

Three runs: one that ended, one that stopped while a step was under way, and one that waits for a
person whose answer lies ready. FOLDER gets `journal.sql` and the folder `checkpoints`.
"""

import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

from monastery.auditor.person import PersonAuditor
from monastery.runtime.journal import Record
from monastery.runtime.records import Answer, Vote
from monastery.runtime.store import Store
from tests.runtime.world import Notebook, SetAuditor, Small, approve, notes

HOME = "/srv/small"


async def _stopped(small: Small, kind: str) -> None:
    """Live a run until an event of this kind is durable."""
    with trio.CancelScope() as scope:

        def watch(record: Record) -> None:
            if record.event.type == kind:
                scope.cancel()

        small.watch = watch
        await small.live(small.new())


async def _live(home: Path) -> None:
    modify = Vote("set", "modify", 0.5, note="shorter", modified=b"note 0")
    texts = [f"note {number}" for number in range(6)]
    await _named(home, "ended", notes(*texts), [SetAuditor(modify, approve(0.75))], rate=0.5)
    stopped = Small(home, notes("first", "second"), rate=0.0)
    stopped.extra = {"name": "stopped"}
    stopped.notebook = _Stops()
    with trio.CancelScope() as scope:
        stopped.notebook.scope = scope
        await stopped.live(stopped.new())
    waiting = Small(home, notes("asked"))
    waiting.extra = {"name": "waiting"}
    waiting.auditors = [_Desk(waiting)]
    await _stopped(waiting, "item.posted")
    with Store.open(home) as store:
        (open_item,) = store.items()
        body: dict[str, Any] = {"decision": "approve", "score": 0.5, "note": "well asked"}
        body["digest"] = open_item.item.body["digest"]
        store.answer(Answer(open_item.item.id, "ada", datetime.now(UTC), body))


async def _named(home: Path, name: str, *args: Any, **more: Any) -> None:
    small = Small(home, *args, **more, extra={"name": name})
    await small.live(small.new())


class _Stops(Notebook):
    """Does the first step; is stopped while it does the second, which it has done."""

    scope: trio.CancelScope

    async def execute(self, step: Any) -> Any:
        outcome = await super().execute(step)
        if len(self.done) == 2:
            self.scope.cancel()
            await trio.sleep_forever()
        return outcome


class _Desk:
    """A person at the desk of a run that is not there before its auditors are."""

    name = "ada"

    def __init__(self, small: Small) -> None:
        self._small = small

    async def judge(self, case: Any, box: Any) -> Vote:
        return await PersonAuditor("ada", 1e9, self._small.desk).judge(case, box)


def main() -> None:
    """Write the folder."""
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        trio.run(_live, home, clock=MockClock(autojump_threshold=0.0))
        with closing(sqlite3.connect(home / "monastery.sqlite3")) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            lines = [f"PRAGMA user_version={version};", *db.iterdump()]
        folder.mkdir(parents=True)
        text = "\n".join(lines).replace(str(home), HOME) + "\n"
        (folder / "journal.sql").write_text(text)
        for name in ("checkpoints", "keys"):
            if (home / name).exists():
                shutil.copytree(home / name, folder / name)


if __name__ == "__main__":
    main()
