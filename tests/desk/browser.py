"""Debian's Chromium, driven by Selenium; nothing is fetched."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

LONG_SECONDS = 60.0
"""How long a page may take to be as awaited: other work may share the machine."""


@contextmanager
def browser(*, dark: bool = False, width: int = 1360, height: int = 900) -> Iterator[Chrome]:
    """Open a browser without a window and close it."""
    driver = shutil.which("chromedriver")
    chromium = shutil.which("chromium")
    assert driver, "these tests need Chromium's driver: scripts/setup tests"
    assert chromium, "these tests need Chromium: scripts/setup tests"
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--hide-scrollbars",
        f"--window-size={width},{height}",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []),
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = Chrome(options=options, service=Service(driver))
    try:
        found.set_page_load_timeout(LONG_SECONDS)
        yield found
    finally:
        found.quit()
