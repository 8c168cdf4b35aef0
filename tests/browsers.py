"""Chromium for tests of local pages, with its console log and a temporary profile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from fototeca.collect.browser.driver import private_folder
from fototeca.vision.browser import find_browser, find_drivers


@contextmanager
def chromium(*flags: str) -> Iterator[Chrome]:
    """Start a headless Chromium; close it at the end of the block."""
    options = ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *flags):
        options.add_argument(flag)
    options.binary_location = find_browser() or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with private_folder() as environment:
        driver = Chrome(options=options, service=Service(next(iter(find_drivers()), None), env=environment))
        try:
            yield driver
        finally:
            driver.quit()
