"""Proposals that mean harm, in a real browser and on a terminal: letters in a frame, no more."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from tests.cli.conftest import Cli
from tests.cli.questions import Questions
from tests.desk.corpus import MARK, RAW, proposals
from tests.desk.server import serving
from tests.desk.test_browser import Sitting

MOST_PAGE_BYTES = 2 << 20
KINDS = list(proposals())

LOOK = Path(__file__).with_name("look.js").read_text()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with everything that means harm."""
    made = tmp_path_factory.mktemp("home")
    questions = Questions(made)
    for item in proposals().values():
        questions.put(item)
    questions.store.close()
    return made


@pytest.fixture(scope="module")
def sitting(page: Chrome, home: Path) -> Iterator[Sitting]:
    """Ada at its desk."""
    with serving(home) as server:
        found = Sitting(page, server)
        found.sign_in()
        yield found


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_agent_wrote_stays_in_its_frame(sitting: Sitting, kind: str) -> None:
    """No script ran, nothing was fetched, no letter of it stands outside, hides, or looks ours."""
    sitting.page.get_log("browser")  # type: ignore[no-untyped-call]
    sitting.go(f"item/{proposals()[kind].id}")
    for _ in range(3 if kind in ("git", "email", "http", "ssh", "file") else 1):
        sitting.page.execute_script(
            "for (const one of document.querySelectorAll('details')) one.open = true"
        )
        harmless(sitting, kind)
        sitting.keys("b")
    log = sitting.page.get_log("browser")  # type: ignore[no-untyped-call]
    assert [one["message"] for one in log if one["level"] == "SEVERE"] == []


def harmless(sitting: Sitting, kind: str) -> dict[str, Any]:
    """Look at the page, and see that what is on it is harmless."""
    seen: dict[str, Any] = sitting.page.execute_script(LOOK, MARK)
    assert sitting.page.current_url == sitting.server.url + f"item/{proposals()[kind].id}"
    assert seen["bad"] == []
    assert seen["owned"] == "undefined"
    assert MARK not in seen["title"] + seen["ours"]
    assert MARK in seen["text"]
    assert all(one.startswith(sitting.server.url) for one in seen["loaded"])
    assert [char for char in RAW if char in seen["html"]] == []
    assert len(seen["html"]) < MOST_PAGE_BYTES
    assert not re.search("[\u0300-\u036f]{4}", seen["html"])
    if kind not in ("line", "lines", "deep"):
        assert "‹… 900 lines not shown›" not in seen["text"]
    return seen


def test_names_that_deceive_are_taken_apart(sitting: Sitting) -> None:
    """A host that looks like another, and what only stands before one, are told as they are."""
    sitting.go(f"item/{proposals()['http'].id}")
    decoded = sitting.text(".decoded")
    assert "Goes to\nxn--pypal-4ve.example" in decoded
    assert "Before the host, and no part of it\nbank.example:443" in decoded
    assert "which is read p‹U+0430›ypal.example" in decoded
    sitting.go(f"item/{proposals()['command'].id}")
    text = sitting.page.execute_script("return document.querySelector('.pane-2').textContent")
    assert "‹U+0440›‹U+0430›‹U+0443›‹U+0440›‹U+0430›l.com" in text
    assert "g‹U+043E›‹U+043E›gle.com" in text


@pytest.mark.parametrize("kind", ["command", "git", "email", "lines", "deep"])
def test_a_terminal_shows_the_same_harmlessly(home: Path, cli: Cli, kind: str) -> None:
    """Nothing moves the cursor, hides or turns; what is theirs is behind the bar, line for line."""
    ran = cli("audit", "show", proposals()[kind].id, "--home", home)
    assert ran.code == 0, ran.err
    bad = {char for char in ran.out if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co")}
    assert bad <= {"\n"}
    assert len(ran.out) < MOST_PAGE_BYTES
    assert MARK in ran.out
    loose = [one[:120] for one in ran.out.splitlines() if MARK in one and one[0] not in "│ "]
    assert loose == []
