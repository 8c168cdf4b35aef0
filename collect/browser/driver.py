"""A real browser through Selenium: found, started, guarded and always closed here."""

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

from fototeca.collect.host_id import MACHINE
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.vision.browser import find_browser, find_drivers

Browser = Chrome
"""What Selenium drives."""

PAGE_SECONDS = 45
"""A page that has not loaded by then fails."""

_OURS = "FOTOTECA_BROWSER"
"""The variable by which the processes of one browser are known: it names their folder."""

_FOLDER = f"fototeca.{MACHINE}."
"""Begins the names of this machine's folders, which may lie beside another's; the id of the process that made one follows."""

_LONGEST = 26
"""Letters of the path of the folder around them: Chromium makes a socket inside, and a socket's path has about a hundred."""

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
def open_browser(*, headed: bool, user_agent: str, proxy: str = "") -> Iterator[Chrome]:
    """A fresh Chromium without history, closed whatever happens; all of its connections go through `proxy` if there is one.

    FototecaError (exit 4) when none can be started.
    """
    with own_folder() as environment:
        driver = _start(_options(headed, user_agent, proxy), environment)
        try:
            driver.set_page_load_timeout(PAGE_SECONDS)
            driver.set_script_timeout(PAGE_SECONDS)
            yield driver
        finally:
            driver.quit()


@contextmanager
def own_folder() -> Iterator[Mapping[str, str]]:
    """The environment of a driver whose temporary files, Chromium's too, lie in a folder of their own.

    Chromium leaves some behind, and all of them where it or its driver is killed; a driver that is killed leaves Chromium
    running. So at the end both are ended and the folder is removed, and so is what a fototeca that was killed has left.
    """
    around = Path(tempfile.gettempdir())
    if len(str(around)) > _LONGEST and Path("/tmp").is_dir():
        around = Path("/tmp")
    for left in around.glob(f"{_FOLDER}*.*"):
        if (pid := left.name.split(".")[2]).isdecimal() and not psutil.pid_exists(int(pid)):
            _remove(left)
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}.", dir=around))
    try:
        yield {**os.environ, **dict.fromkeys(("TMPDIR", "TMP", "TEMP", _OURS), str(folder))}
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """End what runs with the folder, and remove it."""
    running = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # another's, or gone meanwhile
            if process.environ().get(_OURS) == str(folder):
                process.kill()
                running.append(process)
    psutil.wait_procs(running, timeout=5)
    shutil.rmtree(folder, ignore_errors=True)


def _options(headed: bool, user_agent: str, proxy: str) -> ChromeOptions:
    options = ChromeOptions()
    for flag in (*_FLAGS, f"--user-agent={user_agent}"):
        options.add_argument(flag)
    if proxy:
        options.add_argument(f"--proxy-server={proxy}")
        options.add_argument("--proxy-bypass-list=<-loopback>")  # else this machine would be asked directly
        options.add_experimental_option("prefs", {"webrtc.ip_handling_policy": "disable_non_proxied_udp"})
    if not headed:
        options.add_argument("--headless=new")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to run as root
    options.unhandled_prompt_behavior = "dismiss"  # a page's alert() would hold everything up
    binary = find_browser()
    if binary:
        options.binary_location = binary
    return options


def _start(options: ChromeOptions, environment: Mapping[str, str]) -> Chrome:
    """Try the drivers in order until one starts: named, on PATH, Selenium Manager's, webdriver-manager's."""
    ways: list[Callable[..., Service]] = [*(partial(Service, path) for path in find_drivers()), Service, _managed_service]
    problems = []
    for way in ways:
        try:
            return Chrome(options=options, service=way(env=environment))
        except (WebDriverException, OSError, ValueError, RuntimeError) as error:
            problems.append(_first_line(error))
        except Exception as error:  # webdriver-manager raises requests' errors, which are not worth an import here
            problems.append(type(error).__name__)
    raise FototecaError(f"no browser could be started: {problems[0]}", "run: fototeca doctor", EXIT_OUTSIDE)


def _managed_service(env: Mapping[str, str]) -> Service:
    from webdriver_manager.chrome import ChromeDriverManager

    return Service(ChromeDriverManager().install(), env=env)


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "msg", None) or error).strip() or type(error).__name__
    return text.splitlines()[0][:160]


def load(driver: Chrome, url: str) -> None:
    """Open a page. FototecaError (exit 4) when it does not load."""
    try:
        driver.get(url)
    except WebDriverException as error:
        raise FototecaError(
            f"{url} did not load: {_first_line(error)}", "check the address and the network", EXIT_OUTSIDE
        ) from None


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever Selenium raises becomes one line."""
    try:
        yield
    except WebDriverException as error:
        raise FototecaError(
            f"the browser could not {what}: {_first_line(error)}", "try again, with --headed to look on", EXIT_OUTSIDE
        ) from None


class Window:
    """The browser as sources drive it. What goes wrong in any page is a FototecaError (exit 4)."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def load(self, url: str) -> None:
        """Open a page."""
        load(self.driver, url)

    def script(self, text: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the page answers
        """What a script in the page returns."""
        with _told("run a script in the page"):
            return self.driver.execute_script(text, *arguments)

    @property
    def url(self) -> str:
        """The address of the page that is shown."""
        with _told("tell where it is"):
            return str(self.driver.current_url)

    @property
    def source(self) -> str:
        """The page as it stands."""
        with _told("read the page"):
            return str(self.driver.page_source)

    def screenshot(self) -> bytes:
        """The page as it looks, as PNG."""
        with _told("take an image of the page"):
            return self.driver.get_screenshot_as_png()

    def back(self) -> None:
        """To the page before."""
        with _told("go back"):
            self.driver.back()

    @property
    def tabs(self) -> int:
        """How many pages are open."""
        with _told("count its pages"):
            return len(self.driver.window_handles)

    @contextmanager
    def tab(self) -> Iterator[None]:
        """Inside the block the newest page that another one opened is driven, or else an empty new one; it is closed after.

        The page before is left as it is, scrolled as it was.
        """
        with _told("open a page beside this one"):
            own = self.driver.current_window_handle
            others = [handle for handle in self.driver.window_handles if handle != own]
            if others:
                self.driver.switch_to.window(others[-1])
            else:
                self.driver.switch_to.new_window("tab")
        try:
            yield
        finally:
            with _told("close a page"):
                for handle in self.driver.window_handles:
                    if handle != own:
                        self.driver.switch_to.window(handle)
                        self.driver.close()
                self.driver.switch_to.window(own)
