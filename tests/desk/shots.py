"""Pictures of the desk's pages: light, dark, and on a phone.

    python -m tests.desk.shots FOLDER

starts a desk with questions of each kind, walks through it, and writes PNG files.
"""

import sys
import tempfile
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from monastery.runtime.records import Item
from tests.cli.questions import Questions, compared_question
from tests.desk.browser import LONG_SECONDS, browser
from tests.desk.dug import waiting
from tests.desk.samples import samples
from tests.desk.server import Server, serving
from tests.desk.test_dig import Digger

LOOKS = {
    "light": {"dark": False, "width": 1360, "height": 900},
    "dark": {"dark": True, "width": 1360, "height": 900},
    "phone": {"dark": False, "width": 500, "height": 900},
}
WHOLE = ("item-git", "item-hostile", "second")
"""Pages whose whole length is of interest."""


def main(folder: Path, only: tuple[str, ...]) -> None:
    """Write the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for look, how in LOOKS.items():
        if only and look not in only:
            continue
        with tempfile.TemporaryDirectory() as place:
            questions, items = Questions(Path(place)), samples()
            for item in items.values():
                questions.put(item)
            compared = questions.put(compared_question())
            with serving(Path(place)) as server, browser(**how) as page:  # type: ignore[arg-type]
                _walk(page, server, questions, items, compared, folder / look)
        with (
            tempfile.TemporaryDirectory() as place,
            waiting(Path(place)) as (home, item),
            serving(home) as server,
            browser(**how) as page,  # type: ignore[arg-type]
        ):
            _dig(page, server, item, folder / look)


def _walk(
    page: Chrome,
    server: Server,
    questions: Questions,
    items: dict[str, Item],
    compared: Item,
    to: Path,
) -> None:
    def shoot(name: str) -> None:
        WebDriverWait(page, LONG_SECONDS).until(
            lambda _: (
                page.execute_script("return !document.querySelector('button:disabled')")
                or name in ("withdrawn", "empty")
            )
        )
        page.save_screenshot(str(to) + f"-{name}.png")
        if name in WHOLE:
            size = page.get_window_size()
            tall = page.execute_script("return document.documentElement.scrollHeight")
            page.set_window_size(size["width"], min(tall + 150, 6000))
            page.save_screenshot(str(to) + f"-{name}-whole.png")
            page.set_window_size(size["width"], size["height"])

    def go(path: str) -> None:
        page.get(server.url + path)

    def click(css: str) -> None:
        page.execute_script("arguments[0].click()", page.find_element(By.CSS_SELECTOR, css))

    page.get(server.link)
    shoot("enter")
    click("form[action='/enter'] button")
    shoot("queue")
    for name in ("git", "email", "http", "ssh", "file", "hostile", "ask", "gate"):
        go(f"item/{items[name].id}")
        shoot(f"item-{name}")
        if name == "hostile":
            click("#view-3")
            shoot("item-bytes")
        if name == "git":
            click("#keys-button")
            shoot("keys")
            page.execute_script("document.querySelector('#keys').close()")
            _vote(page, "approve", "0.8", click)
            shoot("second")
            _vote(page, "approve", "0.8", click)
            shoot("recorded")
    go(f"item/{items['email'].id}")
    questions.close(items["email"], "withdrawn")
    WebDriverWait(page, LONG_SECONDS).until(
        lambda _: page.find_element(By.ID, "closed").is_displayed()
    )
    shoot("withdrawn")
    go("")
    shoot("done")
    for path in ("people", "work", "record"):
        go(path)
        shoot(path)
    go(f"item/{compared.id}")
    shoot("compared")


def _dig(page: Chrome, server: Server, item: str, to: Path) -> None:
    """Look into a copy of a real box."""
    ada = Digger(page, server)
    ada.sign_in()
    ada.open(item)
    for typed, shown in (("ls -la --color", "note.txt"), ("cat note.txt evil.txt", "hidden END")):
        ada.type(typed)
        ada.sees(shown)
    page.execute_script("document.querySelector('#dig').scrollIntoView()")
    page.save_screenshot(str(to) + "-dig.png")


def _vote(page: Chrome, decision: str, score: str, click: object) -> None:
    WebDriverWait(page, LONG_SECONDS).until(lambda _: page.find_element(By.ID, "send").is_enabled())
    assert callable(click)
    click(f"input[value='{decision}']")
    click(f"input[name='score'][value='{score}']")
    before = page.find_element(By.TAG_NAME, "html").id
    click("#send")
    WebDriverWait(page, LONG_SECONDS).until(lambda _: _gone(page, before))


def _gone(page: Chrome, before: str) -> bool:
    try:
        return page.find_element(By.TAG_NAME, "html").id != before
    except Exception:  # noqa: BLE001 - between two pages there is none
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(sys.argv[2:]))
