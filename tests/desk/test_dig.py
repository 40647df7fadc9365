"""A shell in a copy of the frozen box, in a real browser: opened, used, recorded, gone."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.keys import Keys

from monastery.runtime.desk_book import DeskBook
from monastery.runtime.people import Dig
from tests.desk.browser import browser
from tests.desk.dug import forks, waiting
from tests.desk.server import serving
from tests.desk.test_browser import Sitting


@pytest.fixture(scope="module")
def page() -> Iterator[Chrome]:
    """One browser for all of these tests."""
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def bell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A run whose question waits, with its box frozen."""
    with waiting(tmp_path_factory.mktemp("bell")) as found:
        yield found


class Digger(Sitting):
    """Someone at the desk with a shell."""

    def open(self, item: str) -> None:
        """Open a copy of the box with the keyboard, and wait for its prompt."""
        self.go(f"item/{item}")
        self.keys("o")
        self.until(lambda: "$" in self.text("#dig-rows"))

    def type(self, text: str) -> None:
        """Type on the shell, and Enter."""
        ActionChains(self.page).send_keys(text, Keys.ENTER).perform()

    def sees(self, text: str) -> None:
        """Wait until the shell shows it."""
        self.until(lambda: text in self.text("#dig-glass"))

    def is_over(self) -> str:
        """Wait until the shell is over; return why."""
        self.until(lambda: "recording is kept" in self.text("#dig-said"))
        return self.text("#dig-said")


def digs(home: Path) -> list[Dig]:
    """Return the rows."""
    with DeskBook.open(home) as book:
        return book.all_digs()


def real_files(item: str) -> str:
    """Return what lies in the run's real work folder."""
    run = item.partition(".")[0]
    found = subprocess.run(
        ["docker", "volume", "inspect", "-f", "{{.Mountpoint}}", f"monastery-{run}-work"],
        capture_output=True,
        text=True,
        check=True,
    )
    return subprocess.run(
        ["ls", found.stdout.strip()], capture_output=True, text=True, check=True
    ).stdout


def test_a_claim_is_verified_in_a_copy_with_the_keyboard(
    page: Chrome, bell: tuple[Path, str]
) -> None:
    """The copy has the agent's files and no network; nothing reaches the box; nothing is left."""
    home, item = bell
    with serving(home) as server:
        ada = Digger(page, server)
        ada.sign_in()
        ada.open(item)
        ada.type("cat note.txt")
        ada.sees("the bell is broken")
        ada.type("echo mine > mine.txt; ls | wc -l")
        ada.sees("\n4\n")
        ada.type(
            "cat /proc/net/dev | tail -n +3 | cut -d: -f1; python3 -c 'import socket;"
            ' socket.create_connection(("192.0.2.1", 80))\' 2>&1 | tail -1'
        )
        ada.sees("Network is unreachable")
        assert "eth0" not in ada.text("#dig-glass")
        ada.type("stty size")
        rows, columns = (int(one) for one in _last_numbers(ada))
        assert rows > 10
        assert columns > 40
        assert forks(item) != ""
        assert "mine.txt" not in real_files(item)
        assert "note.txt" in real_files(item)

        # The desk's keys are the shell's, until Ctrl-Enter; what is chosen by them is nothing.
        ada.keys("r")
        assert not page.find_elements("css selector", "input[name=decision]:checked")
        ActionChains(page).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(
            Keys.CONTROL
        ).perform()
        assert page.switch_to.active_element.get_attribute("id") == "dig-close"
        ada.keys(Keys.ENTER)
        assert "You closed it" in ada.is_over()
        ada.until(lambda: forks(item) == "")

    (dig,) = digs(home)
    assert (dig.person, dig.item, dig.stage, dig.of) == ("ada", item, "first", "box")
    recorded = (home / "digs" / f"{dig.dig}.cast").read_bytes()
    assert hashlib.sha256(recorded).hexdigest() == dig.sha256
    header, *moments = [json.loads(line) for line in recorded.splitlines()]
    assert header["version"] == 2
    assert "cat note.txt\r" in "".join(text for _, kind, text in moments if kind == "i")
    assert "the bell is broken" in "".join(text for _, kind, text in moments if kind == "o")


def _last_numbers(ada: Digger) -> list[str]:
    found: list[str] = []

    def look() -> bool:
        for line in ada.text("#dig-rows").splitlines():
            parts = line.split()
            if len(parts) == 2 and all(part.isdecimal() for part in parts):
                found[:] = parts
        return bool(found)

    ada.until(look)
    return found
