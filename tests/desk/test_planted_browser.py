"""Planted steps in a real browser, among those of a real run that knows nothing of them."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import trio
from selenium.webdriver.common.keys import Keys

from monastery.auditor.person import PersonAuditor
from monastery.runtime.cli.rendering import executors
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.journal import records
from monastery.runtime.planted_verify import verify_planted
from monastery.runtime.ports import Desk
from monastery.runtime.project_file import load
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.scripted import ScriptedSandbox
from tests.cli.conftest import MAIN, environment
from tests.desk.browser import LONG_SECONDS, browser
from tests.desk.server import serving
from tests.desk.test_browser import Sitting
from tests.runtime.world import inline

PROJECT = """\
name: garden
goal: Plan the garden.
agent: {command: [agent]}
steps:
  plan: {}
audit:
  auditors:
    - person: ada
  planted: {folder: planted, rate: 0.1, floor: 0.7}
"""
BAD = """\
kind: plan
good: false
why: It sells the garden.
rationale: Nobody would miss it.
payload: {text: "sell the garden\\nbuy a boat\\n"}
printed: {text: "I think of a boat."}
"""


async def _agent(inside: Any) -> int:
    """Propose one plan."""
    if not inside.history:
        inside.print("I think of peas.")
        await inside.propose("plan", "dig\nplant peas\n", "Peas are early.")
    return 0


def test_a_planted_bad_step_is_judged_with_the_keyboard_and_told(tmp_path: Path) -> None:
    """Ada stops it, then judges the real one; she sees her recall, and the run hears of one."""
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "sold.yaml").write_text(BAD)
    path = tmp_path / "garden.yaml"
    path.write_text(PROJECT)
    loaded, home = load(path), tmp_path / "home"
    # Always, so that the test draws nothing: a project may ask for a tenth at most.
    wants = {"planted": {"rate": 1.0, "floor": 0.7}}
    with Store.open(home) as store:
        row = new_run(store, loaded)

    def live() -> None:
        def build(desk: Desk, calls: int) -> World:
            ada = PersonAuditor("ada", 3600.0, desk, wants=wants)
            return World(ScriptedSandbox(_agent), [ada], executors(loaded, desk), None)

        trio.run(lambda: go(home, row, loaded, build, lambda _: None, hop=inline))

    run = threading.Thread(target=live)
    run.start()
    with serving(home, "--undo-seconds", "0") as server, browser() as page:
        ada = Sitting(page, server)
        ada.sign_in()
        ada.until(lambda: ada.text("#waiting-here") == "1")
        ada.arrive(lambda: ada.keys("n"))
        assert "sell the garden" in ada.text()
        assert "Plan the garden." in ada.text()
        for word in ("miss it", "boat.", "It sells", "planted", "peas"):
            assert word not in page.page_source
        url, path_line = page.current_url, ada.text(".path")
        ada.armed()
        ada.keys("r", "1")
        ada.arrive(lambda: ada.keys(Keys.ENTER))
        assert "Nobody would miss it." in ada.text(".reasons")
        ada.armed()
        ada.keys("k")
        ada.arrive(lambda: ada.keys(Keys.ENTER))
        assert "Recorded" in ada.text()
        assert "planted" not in page.page_source
        ada.arrive(lambda: ada.keys("n"))
        assert "plant peas" in ada.text()
        assert len(page.current_url) == len(url)
        assert len(ada.text(".path")) == len(path_line)
        for decide in ("a", "k"):
            ada.armed()
            ada.keys(decide, *("9" if decide == "a" else ""))
            ada.arrive(lambda: ada.keys(Keys.ENTER))
        ada.arrive(lambda: ada.keys("y"))
        assert "1 of 1" in ada.text("#recall-bad")
        assert "none yet" in ada.text("#recall-good")
        assert "It sells the garden." in ada.text(".planted")
        assert "Right" in ada.text(".planted")
        run.join(LONG_SECONDS * 2)
        assert not run.is_alive()
    with DeskBook.open(home) as book:
        assert [one.verdict for one in verify_planted(book)] == [True] * 5
        events = [record.event for record in records(book, row.run)]
        (reward,) = [event for event in events if event.type == "reward.issued"]
        assert reward.score == 0.9
        assert len([event for event in events if event.type == "item.posted"]) == 1
    told = [*MAIN, "plant", "verify", "--home", str(home), "--json"]
    done = subprocess.run(told, capture_output=True, text=True, env=environment(), check=True)
    assert {one["verdict"] for one in json.loads(done.stdout)["findings"]} == {True}
