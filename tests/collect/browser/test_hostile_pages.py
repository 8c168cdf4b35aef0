"""The browser against hostile pages, with a real Chromium: downloads, pop-ups, and the environment that a page could read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from fototeca.collect.browser import driver as browser
from fototeca.collect.browser.environment import minimal_environment, prepare_selenium
from fototeca.collect.browser.proxy import open_proxy
from tests.servers import ReceivedRequest, Site, StubResponse, serve

pytestmark = pytest.mark.xdist_group("page")

FILE = {"Content-Disposition": "attachment; filename=evil.exe"}
PAGE = b"""<!doctype html><title>loading</title>
<a id="file" href="/by-click" download>file</a><a id="other" href="/tab" target="_blank">other</a><p id="storm">storm</p>
<iframe src="/by-frame"></iframe>
<script>
for (let i = 0; i < 50; i++) window.open("/pop-up");
setTimeout(() => { for (let i = 0; i < 50; i++) window.open("/pop-up"); }, 50);
const link = document.createElement("a");
link.href = URL.createObjectURL(new Blob(["x".repeat(1000)]));
link.download = "evil.txt";
document.body.append(link);
link.click();
document.querySelector("#storm").onclick = () => { for (let i = 0; i < 50; i++) window.open("/by-tap"); };
window.onload = () => setTimeout(() => { document.title = "loaded"; }, 300);
</script>"""


def respond(request: ReceivedRequest) -> StubResponse:
    """A page that downloads and opens windows in every way."""
    if request.path.startswith("/by-") and request.path != "/by-tap":
        return StubResponse(b"x" * 100_000, "application/octet-stream", headers=FILE)
    return StubResponse(PAGE if request.path == "/" else b"<title>other</title>")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of the browser's user."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def opened(home: Path) -> Iterator[tuple[Site, browser.Window]]:
    """The site and a window of the browser that sources use."""
    with (
        pytest.MonkeyPatch.context() as patch,
        serve(respond) as site,
        open_proxy(allow_loopback=True) as proxy,
    ):
        patch.setenv("HOME", str(home))
        with browser.open_browser(headed=False, user_agent="fototeca", proxy=proxy.address) as driver:
            yield site, browser.Window(driver)


def load(opened: tuple[Site, browser.Window]) -> browser.Window:
    """Load the page and wait until its attempts are made."""
    site, window = opened
    window.load(f"{site.base}/")
    WebDriverWait(window.driver, 60, 0.02).until(lambda page: page.title == "loaded")
    return window


def test_pages_cannot_download(opened: tuple[Site, browser.Window], home: Path) -> None:
    """By a link, a frame, a blob or an address: no file is written in the browser's folder or in the home folder."""
    window = load(opened)
    window.driver.find_element(By.ID, "file").click()
    window.script("document.querySelector('#file').click()")
    window.load(f"{opened[0].base}/by-address")
    WebDriverWait(window.driver, 60, 0.02).until(
        lambda _: {"/by-click", "/by-frame", "/by-address"} <= {request.path for request in opened[0].requests}
    )
    folder = psutil.Process(window.driver.service.process.pid).environ()["TMPDIR"]
    files = [path for parent in (Path(folder), home) for path in parent.rglob("*")]
    assert [path for path in files if path.suffix in (".exe", ".txt", ".crdownload")] == []


def test_pages_cannot_open_windows(opened: tuple[Site, browser.Window]) -> None:
    """Without a click none is opened, and one click opens one; the details of a result still open in their tab."""
    window = load(opened)
    assert window.tabs == 1
    window.driver.find_element(By.ID, "storm").click()
    WebDriverWait(window.driver, 60, 0.02).until(lambda _: window.tabs > 1)
    assert window.tabs == 2
    with window.tab():
        assert window.url.endswith("/by-tap")
    assert window.tabs == 1
    window.driver.find_element(By.ID, "other").click()
    WebDriverWait(window.driver, 60, 0.02).until(lambda _: window.tabs > 1)
    with window.tab():
        assert window.url.endswith("/tab")


def test_a_click_by_script_may_open_one_tab(opened: tuple[Site, browser.Window]) -> None:
    """Sources click by script; the page then opens one tab, and no second one."""
    window = load(opened)
    window.script("document.querySelector('#storm').click()")
    assert window.tabs == 1
    window.allow_tab()
    window.script("document.querySelector('#storm').click()")
    WebDriverWait(window.driver, 60, 0.02).until(lambda _: window.tabs > 1)
    window.script("document.querySelector('#storm').click()")
    assert window.tabs == 2
    with window.tab():
        pass


def test_number_of_tabs_is_capped(opened: tuple[Site, browser.Window]) -> None:
    """Whatever opened them: the surplus is closed and the page stays."""
    site, window = opened
    window.load(f"{site.base}/other")
    page = window.driver.current_window_handle
    for _ in range(browser.MAX_TABS + 4):
        window.driver.switch_to.new_window("tab")
    window.driver.switch_to.window(page)
    assert len(window.driver.window_handles) > browser.MAX_TABS
    assert window.tabs == len(window.driver.window_handles) == browser.MAX_TABS
    assert window.url == f"{site.base}/other"
    with window.tab():
        pass
    assert window.tabs == 1


PRINT = """
from contextlib import suppress
import psutil
from fototeca.collect.browser.driver import open_browser
with open_browser(headed=False, user_agent="fototeca") as driver:
    driver.get("data:text/html,<title>here</title>")
    process = psutil.Process(driver.service.process.pid)
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            print(one.name(), "\\t".join(f"{name}={value}" for name, value in one.environ().items()))
"""
SECRETS = {
    "OPENAI_API_KEY": "hunter2-a",
    "FLICKR_API_KEY": "hunter2-b",
    "AWS_SECRET_ACCESS_KEY": "hunter2-c",
    "KAGGLE_KEY": "hunter2-d",
    "HTTP_PROXY": "http://user:hunter2-e@127.0.0.1:9",
    "https_proxy": "http://user:hunter2-f@127.0.0.1:9",
    "ALL_PROXY": "socks5://user:hunter2-g@127.0.0.1:9",
    "LD_PRELOAD": "",
    "SSH_AUTH_SOCK": "/tmp/hunter2-h",
    "GITHUB_TOKEN": "hunter2-i",
    "FOTOTECA_ANYTHING": "hunter2-j",
}


def test_browser_has_no_secrets_and_its_driver_no_proxy() -> None:
    """No process of the browser has a key of the shell, and a proxy that does not answer does not stop the driver."""
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    done = subprocess.run([sys.executable, "-c", PRINT], env={**environment, **SECRETS}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} >= {"chromedriver", "chromium"}
    assert "hunter2" not in done.stdout
    driver = lines[0].split("\t")
    assert "SE_AVOID_STATS=true" in driver and "NO_PROXY=localhost,127.0.0.1,::1" in driver


def test_minimal_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a window needs stays; what is unknown goes."""
    for name in ("DISPLAY", "LC_TIME", "XDG_RUNTIME_DIR", "SystemRoot", "MY_TOKEN", "XDGKEY", "PATH_TO_SECRET"):
        monkeypatch.setenv(name, name)
    names = minimal_environment()
    assert {"DISPLAY", "LC_TIME", "XDG_RUNTIME_DIR", "SystemRoot", "PATH"} <= names.keys()
    assert not {"MY_TOKEN", "XDGKEY", "PATH_TO_SECRET"} & names.keys()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://p:1"}, "localhost,127.0.0.1,::1"),
        ({"https_proxy": "http://p:1", "NO_PROXY": "a.example, b.example"}, "a.example,b.example,localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "*"}, "*,localhost,127.0.0.1,::1"),
    ],
)
def test_this_machine_needs_no_proxy(monkeypatch: pytest.MonkeyPatch, before: dict[str, str], after: str | None) -> None:
    """The user's exceptions stay; without a proxy nothing is set."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY", "SE_AVOID_STATS"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        prepare_selenium()
        assert os.environ.get("no_proxy") == os.environ.get("NO_PROXY") == after
        assert os.environ["SE_AVOID_STATS"] == "true"
