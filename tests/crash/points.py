"""Named points between two durable writes, at which a runtime under test kills itself.

The runtime knows nothing of them: from outside, its store and the adapters that it is built with
are wrapped.
"""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec

from monastery.runtime import checkpoint
from monastery.runtime.rows import Append
from monastery.runtime.run import World
from monastery.runtime.store import Store

_KEPT = ("run.started", "run.resumed", "box.started", "segment.started", "model.called")
_KEPT += ("proposal.refused", "proposal.frozen", "audit.drawn", "audit.shown", "audit.voted")
_KEPT += ("audit.scored", "reward.issued", "gate.decided", "step.started", "step.unresolved")
_KEPT += ("step.completed", "item.posted", "item.answered", "seed.revealed", "run.ended")
_BOX = ("start_agent", "rejoin", "freeze", "changes", "answer", "thaw", "fork")
_DONE = ("open", "reap", "forget", *_BOX, "judge", "call", "execute", "reconcile")
_DONE += ("checkpoint",)

POINTS = tuple(
    f"{when} {what}"
    for what in (*(f"append {event}" for event in _KEPT), *_DONE)
    for when in ("before", "after")
)
"""``before append step.started``: the event is about to be written; ``after``: it is durable, and
nobody was told yet. ``before thaw``: the box is about to be thawed."""


class Points:
    """Counts what is reached, and dies of SIGKILL at one named point.

    Args:
        target: Its name; empty for none.
        occurrence: At which of the times that it is reached, from 1.
    """

    def __init__(self, target: str, occurrence: int) -> None:
        self._target, self._occurrence = target, occurrence
        self._reached: Counter[str] = Counter()

    def reach(self, name: str) -> None:
        """Die if this is the point."""
        self._reached[name] += 1
        if name == self._target and self._reached[name] == self._occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    def around_store(self) -> None:
        """Wrap the store's one operation that writes runs, and the checkpoint beside it."""
        append, note = Store.append, checkpoint.Keeper.note

        def appended(store: Store, batch: Sequence[Append]) -> Any:
            types = [msgspec.json.decode(e.body)["event"]["type"] for a in batch for e in a.entries]
            for name in types:
                self.reach(f"before append {name}")
            refusals = append(store, batch)
            for name in types:
                self.reach(f"after append {name}")
            return refusals

        def noted(*args: Any, **more: Any) -> None:
            self.reach("before checkpoint")
            note(*args, **more)
            self.reach("after checkpoint")

        Store.append = appended  # type: ignore[method-assign]
        checkpoint.Keeper.note = noted  # type: ignore[method-assign]

    def around_world(self, world: World) -> World:
        """Wrap the adapters of a run."""
        return replace(
            world,
            sandbox=_Sandbox(world.sandbox, self),
            auditors=[_Around(one, self, ("judge",)) for one in world.auditors],
            executors={
                kind: _Around(one, self, ("execute", "reconcile"))
                for kind, one in world.executors.items()
            },
            policy=None if world.policy is None else _Around(world.policy, self, ("call",)),
        )


class _Around:
    """Something whose named methods are reached before and after."""

    def __init__(self, inner: Any, points: Points, names: Iterable[str]) -> None:
        self._inner, self._points, self._names = inner, points, frozenset(names)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._reached(name, found) if name in self._names else found

    def _reached(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def awaited(coroutine: Any) -> Any:
            result = await coroutine
            self._points.reach(f"after {name}")
            return result

        def call(*args: Any, **more: Any) -> Any:
            self._points.reach(f"before {name}")
            result = method(*args, **more)
            if hasattr(result, "__aenter__"):  # a fork is open when it was entered
                return self._entered(name, result)
            return awaited(result)

        return call

    @asynccontextmanager
    async def _entered(self, name: str, manager: Any) -> AsyncIterator[Any]:
        async with manager as inside:
            self._points.reach(f"after {name}")
            yield inside


class _Sandbox(_Around):
    def __init__(self, inner: Any, points: Points) -> None:
        super().__init__(inner, points, ("reap", "forget"))

    @asynccontextmanager
    async def open(self, *args: Any) -> AsyncIterator[Any]:
        self._points.reach("before open")
        async with self._inner.open(*args) as box:
            self._points.reach("after open")
            yield _Around(box, self._points, _BOX)
