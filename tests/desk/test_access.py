"""Everyone can use the desk: what of WCAG 2.2 AA a program can tell, on the real pages."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from monastery.runtime.records import Item, ItemId
from tests.cli.questions import Questions, compared_question, question
from tests.desk.samples import samples
from tests.desk.server import serving
from tests.desk.test_browser import Sitting

ACCESS = Path(__file__).with_name("access.js").read_text()
PAPER = {"light": "rgb(250, 248, 243)", "dark": "rgb(22, 24, 26)"}
FOCUS = """
const one = document.activeElement;
if (one === document.body || one === document.documentElement) return null;
const ring = (at) => {
  const style = at && getComputedStyle(at);
  return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
};
const box = (one.labels?.[0] ?? one).getBoundingClientRect();
const before = window.last;
window.last = one;
return {
  what: one.outerHTML.slice(0, 120),
  ring: ring(one) || ring(one.nextElementSibling),
  seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  after: !before || Boolean(before.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING),
};
"""


@pytest.fixture(scope="module")
def sitting(
    page: Chrome, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Sitting, Questions, dict[str, Item]]]:
    """Ada at a desk with one question of each kind."""
    home = tmp_path_factory.mktemp("home")
    questions, items = Questions(home), samples()
    items["second"] = question(step=20, desk={})
    items["over"] = question(step=21, desk={"two_votes": False})
    items["shut"] = question(step=22, desk={})
    items["deed"] = question("human", step=23)
    items["compared"] = replace(compared_question(), id=ItemId("r-1.24.audit"))
    for item in items.values():
        questions.put(item)
    with serving(home, "--undo-seconds", "3600") as server:
        found = Sitting(page, server)
        found.sign_in()
        yield found, questions, items
    narrow(page, 0)
    questions.store.close()


def narrow(page: Chrome, width: int) -> None:
    """Look through a window of so many CSS pixels; 0 is the usual one."""
    if width:
        size = {"width": width, "height": 780, "deviceScaleFactor": 1, "mobile": False}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    else:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def usable(ada: Sitting, where: str) -> None:
    """See that a page is for everyone: in light and dark, wide, and as narrow as a phone."""
    found = []
    for width in (0, 320):
        narrow(ada.page, width)
        for scheme, paper in PAPER.items():
            look = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]
            features = [{"name": name, "value": value} for name, value in look]
            ada.page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            back = "return getComputedStyle(document.body).backgroundColor"
            assert ada.page.execute_script(back) == paper
            found += [f"{where} {scheme} {width}: {one}" for one in said(ada)]
    narrow(ada.page, 0)
    assert found == [], "\n".join(found)
    came = "return performance.getEntriesByType('resource').map((one) => one.name)"
    loaded = ada.page.execute_script(came)
    assert loaded
    assert all(one.startswith(ada.server.url) for one in loaded)


def said(ada: Sitting) -> list[Any]:
    """Return what a page lacks."""
    return list(ada.page.execute_script(ACCESS))


OPEN = "for (const one of document.querySelectorAll('details')) one.open = true"


@pytest.mark.parametrize(
    "name", ["git", "email", "http", "ssh", "file", "hostile", "ask", "gate", "deed", "compared"]
)
def test_every_question_can_be_read_and_answered_by_everyone(
    sitting: tuple[Sitting, Questions, dict[str, Item]], name: str
) -> None:
    """Contrast, names, landmarks, targets, reflow at 320 pixels, no motion; everything opened."""
    ada, _, items = sitting
    ada.go(f"item/{items[name].id}")
    ada.armed()
    ada.page.execute_script(OPEN)
    usable(ada, name)


def test_every_other_page_is_for_everyone_too(
    sitting: tuple[Sitting, Questions, dict[str, Item]],
) -> None:
    """The second vote, what is recorded, taken back, refused, closed or not there; people, keys."""
    ada, questions, items = sitting
    ada.go(f"item/{items['second'].id}")
    ada.armed()
    ada.keys("a", "5")
    ada.arrive(lambda: ada.keys(Keys.ENTER))
    ada.armed()
    usable(ada, "second vote")
    ada.go(f"item/{items['over'].id}")
    ada.armed()
    ada.keys("a", "5")
    ada.page.execute_script("document.querySelector('input[name=score]:checked').value = '7'")
    ada.arrive(lambda: ada.keys(Keys.ENTER))
    ada.armed()
    usable(ada, "refused")
    ada.keys("a", "5")
    ada.arrive(lambda: ada.keys(Keys.ENTER))
    usable(ada, "recorded")
    ada.arrive(lambda: ada.keys("u"))
    usable(ada, "undo")
    ada.go(f"item/{items['shut'].id}")
    ada.armed()
    ada.keys("a", "5", "w", "an hour of work", Keys.ESCAPE)
    questions.close(items["shut"], "withdrawn")
    ada.until(lambda: "It was withdrawn" in ada.text("#closed"))
    usable(ada, "closed while open")
    for path in ("", "people", "work", "record", "nowhere", f"item/{items['shut'].id}", "enter"):
        ada.go(path)
        usable(ada, path)
    ada.go("")
    ada.keys("?")
    usable(ada, "keys")
    ada.keys(Keys.ESCAPE)


@pytest.mark.parametrize("name", ["git", "http"])
def test_the_keyboard_goes_everywhere_in_order_and_out_again(
    sitting: tuple[Sitting, Questions, dict[str, Item]], name: str
) -> None:
    """Tab after tab: each stop has a ring, is on the screen, comes after the last; none holds."""
    ada, _, items = sitting
    ada.go(f"item/{items[name].id}")
    ada.armed()
    stops: list[dict[str, Any]] = []
    for _ in range(120):
        ada.keys(Keys.TAB)
        stop = ada.page.execute_script(FOCUS)
        if stop is None or (stops and not stop["after"] and "jump" in stop["what"]):
            break
        stops.append(stop)
    else:
        raise AssertionError(f"there is no end: {stops[-3:]}")
    lacking = [one for one in stops if not (one["ring"] and one["seen"] and one["after"])]
    assert lacking == []
    whole = " ".join(one["what"] for one in stops)
    for wanted in ("jump", "decision", "textarea", 'id="send"', "summary"):
        assert wanted in whole
