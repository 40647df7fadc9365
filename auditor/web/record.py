"""The page for researchers: what is known of those who judge, from settled steps alone."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from monastery.auditor.desk.rules import Caller, Refused
from monastery.auditor.desk.study import Study, as_json, study
from monastery.auditor.web.api import by_token, refused
from monastery.auditor.web.figure import differences, reach
from monastery.auditor.web.office import Office
from monastery.auditor.web.pages import page
from monastery.auditor.web.session import visit
from monastery.runtime.errors import BadInput

MOST_RUNS = 20
"""So many runs are read, the newest; a run further back has a page of its own."""
MOST_STEPS = 200
_FORBIDDEN = "You would need the role 'researcher' to read the record; ask an admin."


async def record(request: Request) -> Response:
    """Show runs, steps with both votes, agreement and persuasion."""
    by = await visit(request)
    if by is None:
        return RedirectResponse("/enter", 303)
    if "researcher" not in by.caller.roles:
        raise HTTPException(403, _FORBIDDEN)
    office: Office = request.app.state.office
    run = request.query_params.get("run")
    found = await office.ask(_study, office, run)
    if found is None:
        raise HTTPException(404, "There is no run of that name here.")
    return page(
        request,
        "record.html",
        by,
        study=found,
        steps=found.steps[:MOST_STEPS],
        only=run,
        most_runs=MOST_RUNS,
        picture=differences,
        far=reach(one for told in found.persuasion for one in told.differences),
    )


@by_token
def as_data(office: Office, caller: Caller, item: str, body: Mapping[str, Any]) -> Response:
    """Tell a program the same, but for the steps; of one run, or of the newest."""
    if "researcher" not in caller.roles:
        return refused(Refused("forbidden", _FORBIDDEN))
    found = _study(office, item or None)
    if found is None:
        return refused(Refused("unknown", "There is no run of that name here."))
    return JSONResponse(as_json(found))


def _study(office: Office, run: str | None) -> Study | None:
    try:
        return study(office.clerk.book.told(run, most=MOST_RUNS))
    except BadInput:
        return None
