"""Fetches from the cached web: from the agent in its box to the copy outside, and back.

A search is ``{"search": words, "limit": …}``, a page ``{"get": url, "raw": …, "links": …,
"offset": …, "limit": …}``; all but the first may be left out. What is given, or why nothing is, is
a JSON object too. Each is recorded in the segment in which the agent has it, as model calls are
(`calls`). They are answered one after another, so that no two of them overdraw together what is
left for the run.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import trio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monastery.runtime.canonical import canonical
from monastery.runtime.errors import WebFailed
from monastery.runtime.events import WebFetched
from monastery.runtime.ports import Box
from monastery.runtime.project import CachedWebSettings
from monastery.runtime.records import WebRequest
from monastery.runtime.run import Run

TEXT_CHARACTERS = 20_000
"""How much of a text is given when the agent does not say."""

MOST_CHARACTERS = 200_000
MOST_BYTES = 1 << 18
"""How much of a text, and of a page as it lies there, is given at a time."""

_CHARACTERS = 2000


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Search(_Strict):
    search: Annotated[str, Field(min_length=1, max_length=_CHARACTERS)]
    limit: Annotated[int, Field(ge=1, le=50)] = 10


class _Get(_Strict):
    get: Annotated[str, Field(min_length=1, max_length=_CHARACTERS)]
    raw: bool = False
    links: bool = False
    offset: Annotated[int, Field(ge=0, le=1 << 40)] = 0
    limit: Annotated[int, Field(ge=1)] | None = None


async def carry(run: Run, box: Box, asked: WebRequest, alternative: str | None = None) -> None:
    """Carry one fetch out and its answer in, recorded before the agent has it.

    Args:
        run: The run.
        box: Where it was asked.
        asked: What was.
        alternative: The rollout that thinks in the box; None in the run's own.
    """
    async with run.fetching:
        began = trio.current_time()
        answer, refused = await _answer(run, asked.body)
        seconds = trio.current_time() - began
        async with run.delivery:
            # Who asks on and on when all is used up fills no journal: it is said once.
            if refused is None or not run.story.fetched.refused:
                request, response = canonical(asked.body), canonical(answer)
                await run.journal.append(
                    WebFetched(
                        segment=run.segment.id,
                        request=run.journal.ref(request),
                        response=run.journal.ref(response),
                        seconds=seconds,
                        refused=refused,
                        alternative=alternative,
                    ),
                    blobs=[request, response],
                )
            await box.answer(asked.call, answer)


async def _answer(run: Run, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
    """Return what the agent is told, and why nothing was even looked for."""
    settings = run.project.cached_web
    if run.world.web is None or settings is None:
        why = "this project has no cached web; its file may name one"
        return _error("no_web", why), why
    spent = _why_spent(run, settings)
    if spent is not None:
        return _error("budget_exhausted", spent), spent
    try:
        asked = _parsed(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return _error("bad_request", f"{where}: {first['msg']}"), None
    try:
        return await run.world.web.fetch(asked), None
    except WebFailed as exc:
        return _error("web_failed", str(exc)), None


def _parsed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with every field, each within its bounds.

    Raises:
        ValidationError: It is none.
    """
    if "get" not in body:
        return _Search.model_validate(body).model_dump()
    asked = _Get.model_validate(body)
    most, usual = (MOST_BYTES, MOST_BYTES) if asked.raw else (MOST_CHARACTERS, TEXT_CHARACTERS)
    return asked.model_dump() | {"limit": min(most, asked.limit or usual)}


def _why_spent(run: Run, settings: CachedWebSettings) -> str | None:
    """Return why the run is given nothing more, or None when it is."""
    fetched = run.story.fetched
    if fetched.count >= settings.fetches:
        return f"this run has made all of its {settings.fetches} fetches"
    if fetched.size_bytes >= settings.size:
        return f"this run was given {fetched.size_bytes} of {settings.size} bytes"
    return None


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}
