"""The desk: where questions wait for people, through stops and crashes.

A question is posted through the run's journal, with its row in one transaction. Answers are written
by other processes into a table of their own; the desk looks there, and takes an answer into the
journal once.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import trio

from monastery.runtime.canonical import canonical
from monastery.runtime.errors import BadInput
from monastery.runtime.events import ItemAnswered, ItemClosed, ItemPosted
from monastery.runtime.journal import Journal
from monastery.runtime.records import Answer, Item, ItemId, RunId
from monastery.runtime.rows import CloseItem, PutItem, StoredItem
from monastery.runtime.store import Store

POLL_SECONDS = 0.1
Closed = Literal["expired", "withdrawn"]


class StoreDesk:
    """The desk of one run, over the store.

    Attributes:
        waiting: The questions that somebody in this process waits for, by the names they were
            asked under.
    """

    def __init__(
        self,
        run: RunId,
        store: Store,
        journal: Journal,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._run, self._store, self._journal, self._now = run, store, journal, now
        self.waiting: set[ItemId] = set()

    async def ask(self, item: Item) -> Answer | None:
        """Put the question where people find it, durably, and wait; see `ports.Desk`.

        A question that waits already but is about another proposal by now is withdrawn, and put
        anew under a name of its own: no answer to the one counts for the other.
        """
        stored = self._find(item)
        number = 1
        while stored is not None and stored.item.body.get("digest") != item.body.get("digest"):
            if stored.state == "open":
                await self._close(stored.item, "withdrawn")
            number += 1
            item = replace(item, id=ItemId(f"{item.id.partition('~')[0]}~{number}"))
            stored = self._find(item)
        if stored is None:
            if "~" in item.id:
                await self._close_others(item)
            stored = await self._post(item)
        if stored.state == "answered":
            return self._store.answered(item.id)
        if stored.state != "open":
            return None
        asked = ItemId(item.id.partition("~")[0])
        self.waiting.add(asked)
        try:
            return await self._wait(stored.item)
        finally:
            self.waiting.discard(asked)

    async def _close_others(self, item: Item) -> None:
        """Withdraw what was asked under the same name about an earlier proposal."""
        base = item.id.partition("~")[0]
        for stored in self._store.items(run=self._run):
            if stored.item.id.partition("~")[0] == base:
                await self._close(stored.item, "withdrawn")

    async def _wait(self, item: Item) -> Answer | None:
        """Wait until the question is answered, expires, or is withdrawn.

        How long it has to go is read from the wall clock once. From then on a clock that cannot be
        set counts: whoever sets the machine's clock makes nothing expire, and keeps nothing open.
        """
        left = math.inf if item.deadline is None else (item.deadline - self._now()).total_seconds()
        ends = trio.current_time() + left
        seen: tuple[int, int] | None = None
        while True:
            # The clock is read first: an answer given in time counts, even if nobody was there to
            # take it.
            late = trio.current_time() > ends
            version = self._store.version()
            if late or version != seen:
                seen = version
                answer = self._store.answered(item.id)
                if answer is not None and (late or self._due(answer)):
                    return await self._take(item, answer)
                if answer is not None:  # its author may still correct it
                    seen = None
                if self._store.item(item.id).state != "open":
                    return None
            if late:
                await self._close(item, "expired")
                return None
            await trio.sleep(POLL_SECONDS)

    def _due(self, answer: Answer) -> bool:
        return answer.due is None or self._now() >= answer.due

    async def _take(self, item: Item, answer: Answer) -> Answer:
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
