"""Payloads as a reader of their kind sees them."""

import contextlib
import re
from collections.abc import Mapping

from monastery.runtime.executors import KINDS
from monastery.runtime.executors.context import Context
from monastery.runtime.ports import Desk, Executor
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import Answer, Item

HEADLINE_COLUMNS = 100
_HASH = re.compile(r"\b[0-9a-f]{64}\b")


class NoDesk:
    """The desk of those who only read: nobody is asked."""

    async def ask(self, item: Item) -> Answer | None:
        """Refuse to ask."""
        raise AssertionError(f"item {item.id!r} was asked where nothing is carried out")

    async def withdraw(self, prefix: str) -> None:
        """Do nothing: nothing was asked."""


def executors(loaded: Loaded, desk: Desk) -> Mapping[str, Executor]:
    """Return the executors of the step kinds that a project allows."""
    context = Context(folder=loaded.folder, goal=loaded.project.goal, desk=desk)
    return {kind: KINDS[kind](settings, context) for kind, settings in loaded.project.steps.items()}


def rendering(known: Mapping[str, Executor], kind: str, payload: bytes) -> str:
    """Return a payload as a reader of its kind sees it; not yet made safe."""
    if kind in known:
        # A refused payload, or one of another version of its kind, cannot be rendered: as it is.
        with contextlib.suppress(Exception):
            return known[kind].render(payload)
    return payload.decode(errors="backslashreplace")


def headline(known: Mapping[str, Executor], kind: str, payload: bytes) -> str:
    """Return the first line that says something of a payload's rendering; not yet made safe.

    Hashes are cut to what a person compares.
    """
    for text in rendering(known, kind, payload).splitlines():
        if text.strip():
            short = _HASH.sub(lambda match: f"{match[0][:12]}…", text.strip(" :"))
            return short if len(short) <= HEADLINE_COLUMNS else f"{short[:HEADLINE_COLUMNS]}…"
    return "(empty)"
