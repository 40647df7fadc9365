"""A shell in a copy of the frozen box, in a real browser: opened, used, recorded, gone."""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from monastery.auditor.dig.digs import CUT_OFF
from monastery.runtime.cli import dig as dig_command
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Dig
from tests.cli.conftest import Cli
from tests.cli.test_audit_terminal import Screen
from tests.desk.browser import browser
from tests.desk.dug import forks, waiting
from tests.desk.server import serving
from tests.desk.test_browser import Sitting


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
        self.until(lambda: text in self.text("#dig-rows"))

    def is_over(self) -> str:
        """Wait until the shell is over; return why."""
        self.until(lambda: "recording is kept" in self.text("#dig-said"))
        return self.text("#dig-said")


@pytest.fixture(scope="module")
def ada(bell: tuple[Path, str]) -> Iterator[Digger]:
    """Ada, signed in at the run's desk."""
    with browser() as page, serving(bell[0]) as server:
        found = Digger(page, server)
        found.sign_in()
        yield found


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
    ada: Digger, bell: tuple[Path, str]
) -> None:
    """The copy has the agent's files and no network; nothing reaches the box; nothing is left."""
    home, item = bell
    page = ada.page
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
    ActionChains(page).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
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


def test_hostile_output_is_harmless_and_a_flood_can_be_stopped(
    ada: Digger, bell: tuple[Path, str]
) -> None:
    """Titles, clipboards, links and bidirectional text do nothing; Ctrl-C is heard among `yes`."""
    home, item = bell
    page = ada.page
    ada.open(item)
    title = page.title
    ada.type("cat evil.txt")
    ada.sees("END")
    shown = ada.text("#dig-rows")
    assert "LINK<b>BOLD</b> ‹U+202E›esrever‹U+202C› ‹U+200B›zero hidden END" in shown
    assert page.title == title
    assert not page.find_elements("css selector", "#dig-glass a, #dig-glass b")
    ada.type("yes flood")
    ada.sees("flood\nflood\nflood")
    ActionChains(page).key_down(Keys.CONTROL).send_keys("c").key_up(Keys.CONTROL).perform()
    ada.type("echo st''opped")
    ada.sees("\nstopped")
    assert page.execute_script("return document.querySelectorAll('#dig-glass div').length") < 3000
    # A page that is loaded anew finds its shell again; a vote ends it.
    ada.arrive(page.refresh)
    ada.until(lambda: "stopped" in ada.text("#dig-rows"))
    assert not [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    ada.type("exit")
    assert "The shell ended" in ada.is_over()
    assert digs(home)[-1].size_bytes < 32 << 20


def test_the_desk_in_a_terminal_has_it_too(bell: tuple[Path, str]) -> None:
    """`x` opens the same shell, for who has the question; Ctrl-] gets out.

    The recording is played without its escapes.
    """
    home, item = bell
    desk = Screen(SimpleNamespace(home=home), "--by", "ada")  # type: ignore[arg-type]
    desk.expect("x dig")
    desk.press("x", "an agent's box, copied")
    desk.expect("copy of the box:/work$")
    desk.type("cat note.txt; cat evil.txt\r")
    shown = desk.expect("zero hidden END", 60.0)
    assert "the bell is broken" in shown
    assert "‹U+202E›esrever" in shown
    assert "evil.example" not in shown
    desk.type("\x1d")
    desk.expect("its recording is kept: monastery dig play dig-")
    desk.press("q", "")
    assert desk.end()[0] == 0
    assert forks(item) == ""

    dig = digs(home)[-1]
    assert (dig.person, dig.why) == ("ada", "You closed it.")
    cli = Cli(home.parent)
    listed = cli("dig", "list", "--json").json
    assert [one["sha256"] for one in listed][-1] == dig.sha256
    played = cli("dig", "play", dig.dig)
    assert "the bell is broken" in played.out
    assert "‹U+202E›esrever" in played.out
    assert "\x1b" not in played.out
    content = dig_command._recording(dig.dig, home)
    assert hashlib.sha256(content).hexdigest() == dig.sha256
    recording = home / "digs" / f"{dig.dig}.cast"
    recording.write_bytes(content.replace(b"broken", b"mended"))
    with pytest.raises(BadInput, match="its hash is another"):
        dig_command._recording(dig.dig, home)
    recording.write_bytes(content)


def test_a_killed_server_leaves_nothing_once_another_has_started(
    ada: Digger, bell: tuple[Path, str]
) -> None:
    """Its copy is reaped with its volume, and its row is closed with what was recorded."""
    home, item = bell
    ada.open(item)
    (port,) = re.findall(r":(\d+)/", ada.server.url)
    (pid,) = re.findall(r"pid=(\d+)", _listening(port))
    os.kill(int(pid), signal.SIGKILL)
    assert forks(item) != ""
    with serving(home):
        ada.until(lambda: forks(item) == "")
        ada.until(lambda: digs(home)[-1].why == CUT_OFF)


def _listening(port: str) -> str:
    """Return who listens on a port of this machine, as /proc tells."""
    wanted = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{int(port):04X}") and line.split()[3] == "0A"
    }
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                for descriptor in (folder / "fd").iterdir():
                    if str(descriptor.readlink()).strip("socket:[]") in wanted:
                        return f"pid={folder.name}"
    return ""


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
