"""The model calls of an earlier run, as its journal holds them."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from monastery.runtime.events import ModelCalled
from monastery.runtime.gateway import wall
from monastery.runtime.journal import records
from monastery.runtime.store import Store

Call = tuple[Mapping[str, Any], Mapping[str, Any]]


def recorded_calls(store: Store, run: str) -> Iterator[Call]:
    """Yield what reached the policy of a run, and what it answered.

    Calls that nobody waited for have no answer; they are left out.

    Raises:
        BadInput: There is no such run.
        StoreError: Its journal cannot be read, or a content of it was erased.
    """
    for record in records(store, store.run(run).run):
        event = record.event
        if isinstance(event, ModelCalled) and event.refused is None and not event.cancelled:
            asked = msgspec.json.decode(store.blob(event.request.ref))
            answer = msgspec.json.decode(store.blob(event.response.ref))
            passed = wall.check(asked, inline_data=True)
            if isinstance(passed, wall.Passed):  # the record holds what the agent asked
                asked = {"api": passed.api, "request": passed.request}
            yield asked, answer
