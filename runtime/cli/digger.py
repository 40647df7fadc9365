"""Copies of boxes for people at a desk: found by the question that they are about, never torn."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from monastery.runtime.cli.run import recorded_project
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.dig_rows import Place
from monastery.runtime.errors import BoxError
from monastery.runtime.journal import records
from monastery.runtime.people import Question
from monastery.runtime.ports import Copied, Copies
from monastery.runtime.records import BoxSpec
from monastery.runtime.runner import spec_of

Ask = Callable[..., Awaitable[Any]]


class BoxDigger:
    """Opens copies of the boxes of one home's runs, which other processes may be running.

    A frozen box stands still as long as its question is open, so a copy is whole if the question is
    open after it was made, at the same step, and no other process has taken the run up meanwhile.

    Args:
        copies: Makes them.
        book: Where questions and runs are looked up.
        ask: Calls a function in the book's turn.
    """

    def __init__(self, copies: Copies, book: DeskBook, ask: Ask) -> None:
        self._copies, self._book, self._ask = copies, book, ask

    @asynccontextmanager
    async def open(self, question: Question) -> AsyncIterator[Copied]:
        """Open a copy of the box in which the proposal of a question was made.

        Raises:
            BoxError: There is none, or it went on.
        """
        before: Place = await self._ask(self._stands, question)
        if before.step != question.step:
            raise BoxError("its box is not at this step")
        spec: BoxSpec = await self._ask(self._spec, question)
        async with self._copies.copy(question.run, spec) as copied:
            if await self._ask(self._stands, question) != before:
                raise BoxError("its box went on while it was copied; try once more")
            yield copied

    def _stands(self, question: Question) -> Place:
        standing = self._book.standing(question.item)
        if standing is None or standing.state != "open":
            raise BoxError("its question is closed, and the box may have gone on")
        return self._book.place(question.run)

    def _spec(self, question: Question) -> BoxSpec:
        """Return what the run's box is made of: as recorded, with the image that it really had."""
        row = self._book.run(question.run)
        loaded = recorded_project(self._book, row)
        spec = spec_of(loaded.project, loaded.folder)
        image = None
        for record in records(self._book, question.run):
            if record.event.type == "box.started":
                image = record.event.image_digest
        return spec if image is None else replace(spec, image=image, packages=None)
