"""A real browser through Selenium: found, started, guarded and always closed here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from workspace import EXIT_OUTSIDE, FototecaError

Browser = Chrome
"""What the sources drive."""

PAGE_SECONDS = 45
"""A page that has not loaded by then fails."""

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--mute-audio",
    "--window-size=1400,1000",
    "--lang=en",
)


@contextmanager
def open_browser(*, headed: bool, user_agent: str) -> Iterator[Chrome]:
    """A fresh Chromium without history, closed whatever happens. FototecaError (exit 4) when none can be started."""
    driver = _start(_options(headed, user_agent))
    try:
        driver.set_page_load_timeout(PAGE_SECONDS)
        driver.set_script_timeout(PAGE_SECONDS)
        yield driver
    finally:
        driver.quit()


def find_browser() -> str | None:
    """The browser binary: named by FOTOTECA_CHROME, else on PATH; None lets Selenium look where it knows."""
    return os.environ.get("FOTOTECA_CHROME") or next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def find_driver() -> str | None:
    """The driver binary: named by FOTOTECA_CHROMEDRIVER, else on PATH."""
    return os.environ.get("FOTOTECA_CHROMEDRIVER") or shutil.which("chromedriver")


def _options(headed: bool, user_agent: str) -> ChromeOptions:
    options = ChromeOptions()
    for flag in (*_FLAGS, f"--user-agent={user_agent}"):
        options.add_argument(flag)
    if not headed:
        options.add_argument("--headless=new")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to run as root
    binary = find_browser()
    if binary:
        options.binary_location = binary
    return options


def _start(options: ChromeOptions) -> Chrome:
    """Try the drivers in order: named or on PATH, Selenium Manager, webdriver-manager."""
    driver = find_driver()
    if driver:
        ways: list[Callable[[], Service]] = [lambda: Service(driver)]
    else:
        ways = [Service, _managed_service]
    problem = ""
    for way in ways:
        try:
            return Chrome(options=options, service=way())
        except (WebDriverException, OSError, ValueError, RuntimeError) as error:
            problem = str(getattr(error, "msg", None) or error).strip().splitlines()[0][:200]
        except Exception as error:  # webdriver-manager raises requests' errors, which are not worth an import here
            problem = f"{type(error).__name__}"
    raise FototecaError(f"no browser could be started: {problem}", "run: fototeca doctor", EXIT_OUTSIDE)


def _managed_service() -> Service:
    from webdriver_manager.chrome import ChromeDriverManager

    return Service(ChromeDriverManager().install())


def load(driver: Chrome, url: str) -> None:
    """Open a page. FototecaError (exit 4) when it does not load."""
    try:
        driver.get(url)
    except WebDriverException as error:
        reason = (error.msg or "no answer").splitlines()[0][:160]
        raise FototecaError(f"{url} did not load: {reason}", "check the address and the network", EXIT_OUTSIDE) from None


def run_script(driver: Chrome, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the page answers
    """What a script in the page returns."""
    return driver.execute_script(script, *arguments)
