"""What an answer needs to take effect: a run that goes on, and an account for whom it asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx

from monastery.auditor.web.app import make
from monastery.auditor.web.office import Office
from monastery.runtime.cli import again
from monastery.runtime.cli.audit_seat import strangers
from monastery.runtime.project_file import parse
from tests.cli.questions import RUN
from tests.desk.test_web import BASE, HOST, Client
from tests.desk.world import World

PROJECT = b"""
name: tidy
goal: Tidy up.
agent: {command: [python3, agent.py]}
steps: {plan: {}}
audit: {auditors: [{person: ada}, {person: zoe}, {panel: two}]}
"""


@asynccontextmanager
async def desk(world: World) -> AsyncIterator[Client]:
    """Open the desk's application, which knows what goes on with a run."""
    app = make(
        Office(world.clerk, lambda: world.now),
        names=[HOST],
        desk="here",
        waking=partial(again.waking, world.book),
        clock=lambda: 0.0,
    )
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        yield Client(world, http)


async def test_the_page_says_when_nothing_runs_the_run(world: World) -> None:
    """Before a vote and after it, with the command; not while a runtime has the run."""
    item = world.put(desk={"two_votes": False})
    async with desk(world) as client:
        client.sign_in("ada")
        assert "Nothing runs this run" not in (await client.get(f"/item/{item.id}")).text
        world.book.release(RUN, world.book.run(RUN).epoch)
        shown = (await client.get(f"/item/{item.id}")).text
        command = f"monastery run --resume {RUN}"
        assert "Nothing runs this run" in shown
        assert command in shown
        world.pass_seconds(5)
        assert (await client.vote(item)).status_code == 303
        assert command in (await client.get(f"/item/{item.id}")).text
        assert "Nothing runs" not in (await client.get("/item/nothing")).text


async def test_the_page_people_names_whom_a_step_asks_in_vain(world: World) -> None:
    """Until they have an account; a panel is nobody's name, and who left has none any more."""
    world.put(1, **{"for": "zoe"})
    world.put(2, **{"for": "ada"})
    world.put(3, desk={"panel": True}, **{"for": "reviewers"})
    async with desk(world) as client:
        client.sign_in("mira")
        shown = (await client.get("/people")).text
        assert "<b>zoe</b>" in shown
        assert "<b>ada</b>" not in shown
        assert "reviewers" not in shown
        await client.post("/people", do="add", name="zoe", **{"role-auditor": "on"})
        assert "there is no account of" not in (await client.get("/people")).text
        await client.post("/people", do="leave", name="zoe")
        assert "<b>zoe</b>" in (await client.get("/people")).text


def test_a_run_says_whom_it_asks_in_vain(world: World, tmp_path: Path) -> None:
    """Where anyone has an account; where nobody has, the terminal's desk is all there is."""
    loaded = parse(PROJECT, tmp_path / "p.yaml", on_disk=False)
    assert strangers(world.home, loaded) == ["zoe"]
    world.add("zoe", "auditor")
    assert strangers(world.home, loaded) == []
    (tmp_path / "new").mkdir()
    assert strangers(tmp_path / "new", loaded) == []
