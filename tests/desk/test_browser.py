"""The desk in a real browser: judged by keys alone, in two tabs, with what means harm."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from monastery.auditor.person import PersonAuditor
from monastery.runtime.journal import records
from monastery.runtime.ports import Desk
from monastery.runtime.run import World
from monastery.runtime.runner import go
from monastery.runtime.store import Store
from tests.cli.questions import Questions
from tests.desk.browser import LONG_SECONDS
from tests.desk.samples import HOSTILE, samples
from tests.desk.server import Server, serving
from tests.runtime.world import Small, inline, notes


class Sitting:
    """Someone at the desk, with a keyboard."""

    def __init__(self, page: Chrome, server: Server) -> None:
        self.page, self.server = page, server

    def sign_in(self) -> None:
        """Press the button of the link that the server printed."""
        self.page.get(self.server.link)
        self.arrive(lambda: self.find("form[action='/enter'] button").click())

    def find(self, css: str) -> Any:
        """Return an element."""
        return self.page.find_element(By.CSS_SELECTOR, css)

    def text(self, css: str = "main") -> str:
        """Return what can be read in an element."""
        return str(self.find(css).text)

    def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something holds on the page."""
        WebDriverWait(self.page, LONG_SECONDS, ignored_exceptions=(Exception,)).until(
            lambda _: holds()
        )

    def arrive(self, act: Callable[[], None]) -> None:
        """Do what leads to another page, and wait until it is there."""
        self.page.execute_script("document.documentElement.dataset.old = 'yes'")
        act()
        self.until(
            lambda: self.page.execute_script(
                "return document.readyState === 'complete' && !document.documentElement.dataset.old"
            )
        )

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the cursor is."""
        for key in keys:
            ActionChains(self.page).send_keys(key).perform()

    def armed(self) -> None:
        """Wait until the page takes a decision."""
        self.until(lambda: "armed" in (self.find("body").get_attribute("class") or ""))

    def go(self, path: str) -> None:
        """Open a page by its address."""
        self.page.get(self.server.url + path)


@pytest.fixture(scope="module")
def sitting(
    page: Chrome, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Sitting, Questions, dict[str, Any]]]:
    """Ada, signed in at a desk with a question of each kind; each test has its own."""
    home = tmp_path_factory.mktemp("home")
    questions, items = Questions(home), samples()
    for item in items.values():
        questions.put(item)
    with serving(home) as server:
        found = Sitting(page, server)
        found.sign_in()
        yield found, questions, items
    questions.store.close()


def test_a_run_is_judged_with_the_keyboard_alone(page: Chrome, tmp_path: Path) -> None:
    """From the link to the reward: two votes by keys, and the record holds both."""
    small = Small(tmp_path, notes("ring the bell"), audit={"auditors": []})
    row = small.new()

    def live() -> None:
        def build(desk: Desk, calls: int) -> World:
            ada = PersonAuditor("ada", 3600.0, desk, wants={"runner": "jo"})
            return World(small.sandbox, [ada], {"note": small.notebook}, None)

        trio.run(lambda: go(tmp_path, row, small.loaded, build, lambda _: None, hop=inline))

    run = threading.Thread(target=live)
    run.start()
    with serving(tmp_path, "--undo-seconds", "0") as server:
        ada = Sitting(page, server)
        ada.sign_in()
        ada.until(lambda: ada.text("#waiting-here") == "1")
        assert page.title.startswith("(1) ")
        ada.arrive(lambda: ada.keys("n"))
        assert "ring the bell" in ada.text()
        assert "because of ring the bell" not in page.page_source
        ada.armed()
        ada.keys("r", "3", "w", "a5 e", Keys.ESCAPE)
        assert ada.find("textarea[name=note]").get_attribute("value") == "a5 e"
        ada.arrive(lambda: ada.keys(Keys.ENTER))
        assert "because of ring the bell" in ada.text(".reasons")
        ada.keys("p")
        ada.until(lambda: "I think of ring the bell." in ada.text(".reasons pre"))
        ada.armed()
        ada.keys("a", "9")
        ada.arrive(lambda: ada.keys(Keys.ENTER))
        assert "Recorded" in ada.text()
        run.join(LONG_SECONDS * 2)
        assert not run.is_alive()
        ada.go("")
        ada.until(lambda: ada.text("#waiting-here") == "0")
    with Store.open(tmp_path) as store:
        events = [record.event for record in records(store, row.run)]
        (voted,) = [event for event in events if event.type == "audit.voted"]
        assert (voted.score, voted.decision) == (0.3, "approve")
        (reward,) = [event for event in events if event.type == "reward.issued"]
        assert reward.score == 0.3
        (taken,) = [event for event in events if event.type == "item.answered"]
        assert taken.by == "ada"
        kept = store.blob(taken.answer.ref)
        assert kept.count(b'"stage"') == 2
        assert b"a5 e" in kept
    assert small.notebook.done == [b"ring the bell"]


def test_no_key_decides_on_a_fresh_page_or_while_one_types(
    sitting: tuple[Sitting, Questions, dict[str, Any]],
) -> None:
    """In the first half second, and in a field, keys choose nothing."""
    ada, _, items = sitting
    ada.go(f"item/{items['http'].id}")
    # Press in the page itself, again and again from its first moment: a driver is slower than that.
    pressed = ada.page.execute_async_script(
        """
        const done = arguments[0];
        window.dispatchEvent(new PageTransitionEvent("pageshow"));
        const chosen = () => document.querySelector("input[name=decision]:checked") !== null;
        const began = performance.now();
        let first = null;
        const press = () => {
          document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "a", bubbles: true}));
          if (chosen() && first === null) first = performance.now() - began;
          if (first === null) setTimeout(press, 20); else done(first);
        };
        press();
        """
    )
    assert pressed >= 495
    ada.keys(Keys.ESCAPE)
    assert not ada.page.find_elements(By.CSS_SELECTOR, "input:checked:not([name=view])")
    ada.keys("w", "rat? 5")
    assert not ada.page.find_elements(By.CSS_SELECTOR, "input[name=decision]:checked")
    assert not ada.find("#keys").is_displayed()
    ada.keys(Keys.ESCAPE, "?")
    assert "approve: do it as it is" in ada.text("#keys")
    ada.keys("r")
    assert not ada.page.find_elements(By.CSS_SELECTOR, "input[name=decision]:checked")
    ada.keys(Keys.ESCAPE)


def test_two_tabs_vote_once_and_are_told(
    sitting: tuple[Sitting, Questions, dict[str, Any]],
) -> None:
    """The tab that comes second is told what counts; the ballot that it cast is kept."""
    ada, questions, items = sitting
    path = f"item/{items['git'].id}"
    first = ada.page.current_window_handle
    ada.go(path)
    ada.page.switch_to.new_window("tab")
    second = ada.page.current_window_handle
    ada.go(path)
    for window, score in ((first, "2"), (second, "9")):
        ada.page.switch_to.window(window)
        ada.armed()
        ada.keys("a", score)
        ada.arrive(lambda: ada.keys(Keys.ENTER))
    assert "You voted on this already" in ada.text()
    assert "approve 0.2" in ada.text(".before")
    ada.page.close()
    ada.page.switch_to.window(first)
    assert "approve 0.2" in ada.text(".before")
    assert questions.answer(items["git"]) is None


def test_what_is_withdrawn_goes_inert_where_it_is_open(
    sitting: tuple[Sitting, Questions, dict[str, Any]],
) -> None:
    """The page says so at once, keeps what was typed, takes no key, and leads on."""
    ada, questions, items = sitting
    ada.go(f"item/{items['email'].id}")
    ada.armed()
    ada.keys("a", "9", "w", "half a thought")
    questions.close(items["email"], "withdrawn")
    ada.until(lambda: "It was withdrawn" in ada.text("#closed"))
    assert ada.find("textarea[name=note]").get_attribute("value") == "half a thought"
    assert not ada.find("#send").is_enabled()
    before = ada.page.current_url
    ada.keys(Keys.ESCAPE, Keys.ENTER, "r")
    assert ada.page.current_url == before
    ada.arrive(lambda: ada.keys("n"))
    assert "/item/" in ada.page.current_url
    assert ada.page.current_url != before
    assert questions.answer(items["email"]) is None


def test_an_answer_is_taken_back_by_keys(
    sitting: tuple[Sitting, Questions, dict[str, Any]],
) -> None:
    """One key holds it, another vote is appended, and that is the answer."""
    ada, questions, items = sitting
    ada.go(f"item/{items['gate'].id}")
    ada.armed()
    ada.keys("a")
    ada.arrive(lambda: ada.keys(Keys.ENTER))
    assert "Recorded" in ada.text()
    ada.arrive(lambda: ada.keys("u"))
    ada.armed()
    ada.keys("r")
    ada.arrive(lambda: ada.keys(Keys.ENTER))
    body = questions.answer(items["gate"])
    assert body is not None
    assert body["decision"] == "reject"
    assert [one["stage"] for one in body["desk"]["ballots"]] == ["first", "correction"]


def test_a_server_that_restarts_keeps_the_session_and_the_vote(
    page: Chrome, tmp_path: Path
) -> None:
    """The page was loaded from one server and votes at the next; nobody signs in again."""
    questions, items = Questions(tmp_path), samples()
    questions.put(items["git"])
    with serving(tmp_path) as server:
        ada = Sitting(page, server)
        ada.sign_in()
        ada.go(f"item/{items['git'].id}")
        ada.armed()
        ada.keys("a", "7")
    ada.until(lambda: "broken" in ada.text("#line"))
    port = server.url.rstrip("/").rpartition(":")[2]
    with serving(tmp_path, "--port", port):
        ada.until(lambda: not ada.find("#line").is_displayed())
        ada.arrive(lambda: ada.keys(Keys.ENTER))
        assert "approve 0.7" in ada.text(".before")
    questions.store.close()


PARTS = """
const inside = [];
for (const one of document.querySelectorAll(".agent, .diff code, .decoded dd, .story .what")) {
  for (const child of one.querySelectorAll("*")) {
    if (child.tagName !== "MARK") inside.push(child.outerHTML.slice(0, 200));
  }
}
return inside;
"""
PLACES = """
const out = [];
for (const one of document.querySelectorAll(".agent, .sheet")) {
  if (!one.checkVisibility()) continue;
  const box = one.getBoundingClientRect();
  const home = one.closest("article").getBoundingClientRect();
  if (box.right > home.right + 1 || box.left < home.left - 1) out.push(one.className);
}
return out;
"""


def test_what_means_harm_is_shown_harmlessly(
    sitting: tuple[Sitting, Questions, dict[str, Any]],
) -> None:
    """Scripts, fake buttons, escapes and hidden lines are letters in a frame, whole or counted."""
    ada, _, items = sitting
    ada.page.get_log("browser")  # type: ignore[no-untyped-call]
    title = ada.page.title
    for path in ("", "?full"):
        ada.go(f"item/{items['hostile'].id}{path}")
        for key in ("b", "b"):
            ada.keys(key)
            assert ada.page.execute_script(PARTS) == []
            assert ada.page.execute_script(PLACES) == []
        shown = (
            ada.text(".pane-2")
            if path
            else ada.page.execute_script("return document.querySelector('.pane-2').textContent")
        )
        assert "<script>document.title='owned'</script>" in shown
        assert "‹U+001B›[2J" in shown
        assert "‹U+202E›0001" in shown
        assert "‹U+2039›… 900 lines not shown›" in shown
        assert ("400 blank lines" in shown) == (path == "")
        assert "longest line 10,008 characters" in shown
        assert not re_hidden(shown)
    assert "owned" not in ada.page.title
    assert title
    ada.armed()
    ada.keys("r", "0")
    ada.arrive(lambda: ada.keys(Keys.ENTER))
    assert "<script>document.title='owned'</script>" in ada.text(".reasons .agent")
    assert ada.page.execute_script(PARTS) == []
    refused = [one for one in ada.page.get_log("browser") if "Content Security" in str(one)]  # type: ignore[no-untyped-call]
    assert refused == []  # nothing even tried


def re_hidden(shown: str) -> list[str]:
    """Return the characters of the hostile text that act or hide, as far as they are there raw."""
    bad = {"\x1b", "\u202e", "\u202c", "\u200b", "\u00ad", "\U000e0041"}
    assert bad <= set(HOSTILE)
    return sorted(bad & set(shown))
