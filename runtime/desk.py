"""The desk: where questions wait for people, through stops and crashes.

A question is posted through the run's journal, with its row in one transaction. Answers are written
by other processes into a table of their own; the desk looks there, and takes an answer into the
journal once.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import trio

from monastery.runtime.canonical import canonical
from monastery.runtime.errors import BadInput
from monastery.runtime.events import ItemAnswered, ItemClosed, ItemPosted
from monastery.runtime.journal import Journal
from monastery.runtime.records import Answer, Item, RunId
from monastery.runtime.store import CloseItem, PutItem, Store, StoredItem

POLL_SECONDS = 0.1
Closed = Literal["expired", "withdrawn"]


class StoreDesk:
    """The desk of one run, over the store."""

    def __init__(
        self,
        run: RunId,
        store: Store,
        journal: Journal,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._run, self._store, self._journal, self._now = run, store, journal, now

    async def ask(self, item: Item) -> Answer | None:
        """Put the question where people find it, durably, and wait; see `ports.Desk`."""
        stored = self._find(item)
        if stored is None:
            stored = await self._post(item)
        if stored.state == "answered":
            return self._store.answered(item.id)
        if stored.state != "open":
            return None
        deadline = stored.item.deadline
        while True:
            # The clock is read first: an answer given in time counts, even if nobody was there to
            # take it.
            late = deadline is not None and self._now() > deadline
            answer = self._store.answered(item.id)
            if answer is not None:
                break
            if self._store.item(item.id).state != "open":
                return None
            if late:
                await self._close(stored.item, "expired")
                return None
            await trio.sleep(POLL_SECONDS)
        body = canonical(answer.body)
        await self._journal.append(
            ItemAnswered(item=item.id, by=answer.by, answer=self._journal.ref(body)),
            blobs=[body],
            changes=[CloseItem(item.id, "answered")],
        )
        return answer

    async def withdraw(self, prefix: str) -> None:
        """Make the run's open questions whose ids begin with `prefix` inert."""
        for stored in self._store.items(run=self._run):
            if stored.item.id.startswith(prefix):
                await self._close(stored.item, "withdrawn")

    def _find(self, item: Item) -> StoredItem | None:
        try:
            return self._store.item(item.id)
        except BadInput:
            return None

    async def _post(self, item: Item) -> StoredItem:
        body = canonical(item.body)
        await self._journal.append(
            ItemPosted(item=item.id, purpose=item.purpose, body=self._journal.ref(body)),
            blobs=[body],
            changes=[PutItem(item)],
        )
        return StoredItem(item, "open")

    async def _close(self, item: Item, state: Closed) -> None:
        await self._journal.append(
            ItemClosed(item=item.id, reason=state), changes=[CloseItem(item.id, state)]
        )
