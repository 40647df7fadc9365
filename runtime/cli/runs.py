"""`monastery runs`: what runs there are."""

import msgspec
import typer

from monastery.runtime.cli import output
from monastery.runtime.cli.home import HomeOption, open_store
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog="Example: monastery runs --json")
def runs(home: HomeOption = None, json: output.JsonOption = False) -> None:
    """List the runs, the newest first.

    A run is waiting (it has not begun), running, interrupted (it can go on: monastery run --resume
    RUN), parked (it waits for people without a box: monastery audit, monastery wake), done or
    failed.
    """
    with open_store(home) as store:
        rows = store.runs()
        steps = {row.run: steps_over(store, row) for row in rows}
    if json:
        output.as_json(
            [
                {
                    "run": row.run,
                    "project": row.project,
                    "project_path": str(row.project_path),
                    "status": standing(row),
                    "steps": steps[row.run],
                    "started": row.started,
                }
                for row in rows
            ]
        )
        return
    if not rows:
        output.line("no runs yet; start one with: monastery run PROJECT.yaml")
        return
    output.table(
        ("RUN", "PROJECT", "STATUS", "STEPS", "STARTED"),
        [
            (row.run, row.project, standing(row), str(steps[row.run]), output.when(row.started))
            for row in rows
        ],
        right=("STEPS",),
    )


def standing(row: RunRow) -> str:
    """Return how a run stands; one of many that was not admitted yet has no event, and waits."""
    begun = row.seq > 0 or row.status in ("done", "failed")
    return row.status if begun else "waiting"


def steps_over(store: Store, row: RunRow) -> int:
    """Return how many steps of a run are over, from the end of its journal alone.

    The segment that began last has the number of the steps before it, plus one.
    """
    back = 64
    while True:
        start = max(0, row.seq - back)
        found: int | None = None
        for entry in store.entries(row.run, start=start):
            event = msgspec.json.decode(entry.body)["event"]
            if event["type"] == "segment.started":
                found = event["index"] - 1
            elif event["type"] == "step.completed" and found is not None:
                found += 1
        if found is not None or start == 0:
            return found or 0
        back *= 8
