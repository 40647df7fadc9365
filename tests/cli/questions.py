"""A store with questions in it, without a run that asks them."""

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec

from monastery.runtime.events import Event
from monastery.runtime.owner import this_process
from monastery.runtime.records import Item, ItemId, RunId
from monastery.runtime.rows import Append, CloseItem, Entry, PutItem, RowChange
from monastery.runtime.store import Store

RUN = RunId("repair-20261121-091500-k3f9")
Purpose = Literal["audit", "gate", "human", "ask", "resolve"]


class Questions:
    """Puts questions into a home folder's store."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = Store.open(home)
        self.store.create_run(
            RUN, project="repair", project_path=home, owner=this_process(), seed=bytes(32)
        )

    def put(self, item: Item) -> Item:
        """Open a question."""
        self._change(PutItem(item))
        return item

    def close(self, item: Item, state: Literal["answered", "expired", "withdrawn"]) -> None:
        """Close a question, as its run would."""
        self._change(CloseItem(item.id, state))

    def answer(self, item: Item) -> dict[str, Any] | None:
        """Return the body of the answer to a question, if there is one."""
        found = self.store.answered(item.id)
        return None if found is None else dict(found.body)

    def said(self, item: Item) -> dict[str, Any] | None:
        """Return the answer to a question without the ballots that made it."""
        body = self.answer(item)
        if body is not None:
            del body["desk"]
        return body

    def record(self, event: Event) -> None:
        """Write an event into the run's journal, as its run would."""
        row = self.store.run(RUN)
        body = {"v": 2, "seq": row.seq, "at": datetime.now(UTC), "event": event.model_dump()}
        self._append(msgspec.json.encode(body), [])

    def _change(self, change: RowChange) -> None:
        self._append(b"{}", [change])

    def _append(self, body: bytes, changes: list[RowChange]) -> None:
        row = self.store.run(RUN)
        refusals = self.store.append(
            [
                Append(
                    run=RUN,
                    owner=row.owner or "",
                    epoch=row.epoch,
                    seq=row.seq,
                    head=row.head,
                    entries=[Entry(row.seq, hashlib.sha256(row.head).digest(), body)],
                    changes=changes,
                )
            ]
        )
        assert refusals == [None]


def question(
    purpose: Purpose = "audit",
    *,
    step: int = 1,
    expires_seconds: float | None = 3600.0,
    **body: Any,
) -> Item:
    """Return a question; `body` replaces what it shows."""
    payload: bytes = body.pop("payload", b"echo hello\n")
    now = datetime.now(UTC)
    shown: dict[str, Any] = {"goal": "repair the parser", "kind": "command", "step": step}
    if purpose in ("audit", "gate"):
        shown |= {
            "payload_base64": base64.b64encode(payload).decode(),
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
            "rendering": payload.decode(errors="replace"),
            "rationale": "because it is late",
            "evidence": [{"name": "log.txt", "base64": base64.b64encode(b"all green").decode()}],
            "changes": [{"path": "src/parser.py", "what": "modified", "size_bytes": 120}],
            "settings": {"command": ["sh"]},
            "earlier": [{"step": 0, "kind": "ask", "status": "done", "payload": "which one?"}],
            "digest": f"{step:064x}",
            "desk": {"two_votes": False},
        }
    else:
        shown["text"] = "please ring the bell"
    return Item(
        id=ItemId(f"{RUN}.{step}.{purpose}"),
        run=RUN,
        purpose=purpose,
        created=now,
        deadline=None if expires_seconds is None else now + timedelta(seconds=expires_seconds),
        body=shown | body,
    )


_OF_ONE = ("payload_base64", "payload_sha256", "rendering", "rationale", "evidence", "changes")
_OF_ONE += ("settings",)


def compared_question() -> Item:
    """Return a question that compares three proposals."""
    item = question(step=1)
    one = {name: value for name, value in item.body.items() if name in _OF_ONE}
    told = {name: value for name, value in item.body.items() if name not in _OF_ONE}
    offers = [
        {**one, "kind": "command", "rendering": text, "rationale": f"because of {text}", "same": 1}
        for text in ("a", "bb", "ccc")
    ]
    return replace(item, body=told | {"alternatives": offers, "desk": {"two_votes": True}})
