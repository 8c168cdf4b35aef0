"""Chromium through Selenium: locating, starting and closing it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from fototeca.collect.browser.environment import minimal_environment, prepare_selenium
from fototeca.collect.host_id import HOST_ID
from fototeca.core.errors import ExternalError
from fototeca.vision.browser import find_browser, find_drivers

Browser = Chrome
"""Type of the driver of Selenium."""

PAGE_SECONDS = 45
"""Seconds after which loading a page fails."""

MAX_TABS = 8
"""Tabs that pages may have open at one time; the rest are closed."""

_MARKER = "FOTOTECA_BROWSER"
"""Environment variable of a browser's processes; its value is their temporary folder."""

_FOLDER = f"fototeca.{HOST_ID}."
"""Prefix of temporary folders of this machine, whose parent other machines may share; the id of the creating process follows."""

_MAX_PARENT_LENGTH = 26
"""Characters of the parent folder's path: Chromium creates a socket inside, whose path is limited to about 100 bytes."""

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

_PREFERENCES: Mapping[str, Any] = {
    "download_restrictions": 3,  # none at all
    "download.prompt_for_download": False,
    "profile.default_content_setting_values": dict.fromkeys(
        ("popups", "automatic_downloads", "notifications", "geolocation", "media_stream", "protocol_handlers"), 2
    ),
}
"""Settings of page permissions; 2 blocks without asking."""


@contextmanager
def open_browser(*, headed: bool, user_agent: str, proxy: str = "") -> Iterator[Chrome]:
    """Yield a Chromium with an empty profile, closed at the end of the block.

    Args:
        headed: show the window.
        user_agent: User-Agent header.
        proxy: URL of the proxy for all connections; empty for direct ones.

    Raises:
        FototecaError: (exit 4) no browser can be started.
    """
    prepare_selenium()
    with private_folder() as environment:
        driver = _start(_options(headed, user_agent, proxy), environment)
        try:
            driver.set_page_load_timeout(PAGE_SECONDS)
            driver.set_script_timeout(PAGE_SECONDS)
            driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "deny"})
            yield driver
        finally:
            driver.quit()


@contextmanager
def private_folder() -> Iterator[Mapping[str, str]]:
    """Yield the environment of a driver that puts its temporary files, and Chromium's, into a folder of their own.

    Chromium leaves temporary files behind, and a killed driver leaves Chromium running. So the processes of the folder are
    killed and the folder is removed at the end of the block; folders of fototeca processes that were killed are removed first.
    """
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _MAX_PARENT_LENGTH and Path("/tmp").is_dir():
        parent = Path("/tmp")
    for stale in parent.glob(f"{_FOLDER}*.*"):
        if (pid := stale.name.split(".")[2]).isdecimal() and not psutil.pid_exists(int(pid)):
            _remove(stale)
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}.", dir=parent))
    try:
        yield {**minimal_environment(), **dict.fromkeys(("TMPDIR", "TMP", "TEMP", _MARKER), str(folder))}
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Kill the processes that use the folder, and remove it."""
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # of another user, or ended meanwhile
            if process.environ().get(_MARKER) == str(folder):
                process.kill()
                processes.append(process)
    psutil.wait_procs(processes, timeout=5)
    shutil.rmtree(folder, ignore_errors=True)


def _options(headed: bool, user_agent: str, proxy: str) -> ChromeOptions:
    options = ChromeOptions()
    for flag in (*_FLAGS, f"--user-agent={user_agent}"):
        options.add_argument(flag)
    if proxy:
        options.add_argument(f"--proxy-server={proxy}")
        options.add_argument("--proxy-bypass-list=<-loopback>")  # otherwise loopback addresses bypass the proxy
    policy = {"webrtc.ip_handling_policy": "disable_non_proxied_udp"} if proxy else {}
    options.add_experimental_option("prefs", {**_PREFERENCES, **policy})
    options.add_experimental_option("excludeSwitches", ["disable-popup-blocking"])  # which the driver adds
    if not headed:
        options.add_argument("--headless=new")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to run as root
    options.unhandled_prompt_behavior = "dismiss"  # an alert() would block every further command
    binary = find_browser()
    if binary:
        options.binary_location = binary
    return options


def _start(options: ChromeOptions, environment: Mapping[str, str]) -> Chrome:
    """Return the first driver that starts: named by the user, on PATH, from Selenium Manager, from webdriver-manager."""
    factories: list[Callable[..., Service]] = [*(partial(Service, path) for path in find_drivers()), Service, _managed_service]
    problems = []
    for factory in factories:
        try:
            return Chrome(options=options, service=factory(env=environment))
        except (WebDriverException, OSError, ValueError, RuntimeError) as error:
            problems.append(_first_line(error))
        except Exception as error:  # webdriver-manager raises exceptions of requests, which would need an import here
            problems.append(type(error).__name__)
    raise ExternalError(f"the browser cannot be started: {problems[0]}", "run: fototeca doctor")


def _managed_service(env: Mapping[str, str]) -> Service:
    from webdriver_manager.chrome import ChromeDriverManager

    return Service(ChromeDriverManager().install(), env=env)


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "msg", None) or error).strip() or type(error).__name__
    return text.splitlines()[0][:160]


def load_page(driver: Chrome, url: str) -> None:
    """Open a page. FototecaError (exit 4) if it does not load."""
    try:
        driver.get(url)
    except WebDriverException as error:
        raise ExternalError(f"{url} did not load: {_first_line(error)}", "check the URL and the network") from None


@contextmanager
def _selenium_errors(action: str) -> Iterator[None]:
    """Turn exceptions of Selenium into a FototecaError that names the action that failed."""
    try:
        yield
    except WebDriverException as error:
        raise ExternalError(
            f"the browser could not {action}: {_first_line(error)}", "try again, with --headed to watch it"
        ) from None


class Window:
    """A browser window, as sources use it. Every method raises FototecaError (exit 4) if the browser fails."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def load(self, url: str) -> None:
        """Open a page."""
        with _selenium_errors("close a tab"):
            self._list_handles()
        load_page(self.driver, url)

    def script(self, text: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Run a script in the page and return its result."""
        with _selenium_errors("run a script in the page"):
            return self.driver.execute_script(text, *arguments)

    def allow_tab(self) -> None:
        """Let the page open one tab during the next seconds, as a person's click does; scripts that click may not."""
        with _selenium_errors("click in the page"):
            self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": "0", "userGesture": True})

    @property
    def url(self) -> str:
        """URL of the current page."""
        with _selenium_errors("read its URL"):
            return str(self.driver.current_url)

    @property
    def source(self) -> str:
        """Current HTML of the page."""
        with _selenium_errors("read the page"):
            return str(self.driver.page_source)

    def screenshot(self) -> bytes:
        """Return a screenshot of the page as PNG."""
        with _selenium_errors("take a screenshot"):
            return self.driver.get_screenshot_as_png()

    def back(self) -> None:
        """Return to the previous page."""
        with _selenium_errors("go back"):
            self.driver.back()

    @property
    def tabs(self) -> int:
        """Number of open tabs."""
        with _selenium_errors("count its tabs"):
            return len(self._list_handles())

    @contextmanager
    def tab(self) -> Iterator[None]:
        """Switch to the newest tab that the page has opened, or to a new one, in the block; close all other tabs after it.

        The page itself keeps its state and scroll position.
        """
        with _selenium_errors("open a tab"):
            page_handle = self.driver.current_window_handle
            others = [handle for handle in self._list_handles() if handle != page_handle]
            if others:
                self.driver.switch_to.window(others[-1])
            else:
                self.driver.switch_to.new_window("tab")
        try:
            yield
        finally:
            with _selenium_errors("close a tab"):
                self._close([handle for handle in self.driver.window_handles if handle != page_handle])
                self.driver.switch_to.window(page_handle)

    def _list_handles(self) -> list[str]:
        """Return the handles of the open tabs after closing those beyond MAX_TABS, but not the current one."""
        handles = self.driver.window_handles
        if len(handles) <= MAX_TABS:
            return handles
        current = self.driver.current_window_handle
        surplus = [handle for handle in handles if handle != current][MAX_TABS - 1 :]
        self._close(surplus)
        self.driver.switch_to.window(current)
        return [handle for handle in handles if handle not in surplus]

    def _close(self, handles: list[str]) -> None:
        for handle in handles:
            self.driver.switch_to.window(handle)
            self.driver.close()
