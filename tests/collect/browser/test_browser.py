"""The browser's driver and its proxy."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from fototeca.collect.browser import driver as browser
from fototeca.collect.browser.proxy import FilteringProxy, open_proxy
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import create_workspace
from fototeca.vision.browser import find_drivers
from tests.servers import ReceivedRequest, StubResponse, serve


def program(folder: Path, name: str) -> str:
    """An executable file."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return str(path)


def tried(monkeypatch: pytest.MonkeyPatch, works: Callable[[str], bool]) -> list[str]:
    """Start a browser whose drivers work or not; the drivers that were tried."""
    seen: list[str] = []

    def start(options: object, service: str | browser.Service) -> object:
        seen.append(service if isinstance(service, str) else service.path or "Selenium Manager")
        if not works(seen[-1]):
            raise browser.WebDriverException(f"{seen[-1]} does not start\nStacktrace")
        return object()

    monkeypatch.setattr(browser, "Chrome", start)
    monkeypatch.setattr(browser, "_managed_service", lambda env: "webdriver-manager")
    browser._start(browser.ChromeOptions(), {})
    return seen


@pytest.mark.parametrize("number", range(4))
def test_first_driver_that_starts_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Named by the user, on PATH, Selenium Manager, webdriver-manager, in this order."""
    named, on_path = program(tmp_path / "named", "mydriver"), program(tmp_path / "bin", "chromedriver")
    monkeypatch.setenv("FOTOTECA_CHROMEDRIVER", named)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    order = [named, on_path, "Selenium Manager", "webdriver-manager"]
    assert find_drivers() == order[:2]
    assert tried(monkeypatch, lambda driver: driver == order[number]) == order[: number + 1]


def test_no_driver_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error states the first reason and names doctor."""
    monkeypatch.setenv("FOTOTECA_CHROMEDRIVER", "/nowhere")
    with pytest.raises(FototecaError, match="/nowhere does not start; run: fototeca doctor") as stop:
        tried(monkeypatch, lambda driver: False)
    assert stop.value.exit_code == 4
    assert "\n" not in str(stop.value)


OPEN = """
import sys
from fototeca.collect.browser.driver import open_browser
with open_browser(headed=False, user_agent="fototeca") as driver:
    driver.get("data:text/html,<title>here</title>")
    print(driver.service.process.pid, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def opened(folder: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program that keeps a browser open until its stdin closes; its temporary files are in `folder`."""
    with subprocess.Popen(
        [sys.executable, "-c", OPEN],
        env={**os.environ, "TMPDIR": folder},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        yield program
        program.communicate("close\n", timeout=60)


def running(folder: str) -> list[str]:
    """Return the processes whose temporary folder is below this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR", "").startswith(f"{folder}/"):
                found.append(process.name())
    return found


@pytest.mark.parametrize("killed", ["nothing", "driver", "program"])
def test_browser_leaves_no_files_or_processes(killed: str) -> None:
    """Also if its driver is killed; the next run removes what a killed one left."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a longer path would not be taken
        with opened(folder) as program:
            assert program.stdout
            driver = psutil.Process(int(program.stdout.readline()))
            assert running(folder) and list(Path(folder).iterdir())
            if killed != "nothing":
                (program if killed == "program" else driver).kill()
        if killed == "program":
            assert running(folder), "nobody was there to end it"
            with opened(folder):
                pass
        else:
            assert program.returncode == 0
        assert (running(folder), list(Path(folder).iterdir())) == ([], [])


def test_only_folders_of_this_machine_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines and containers may share a folder of temporary files."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        with browser.private_folder() as environment:
            mine = Path(environment["TMPDIR"]).name
        gone = mine.replace(f".{os.getpid()}.", ".999999999.")
        another = "fototeca.zzzz.999999999.abc"
        for name in (gone, another):
            (Path(folder) / name).mkdir()
        with browser.private_folder():
            pass
        assert [path.name for path in Path(folder).iterdir()] == [another]


def asked_through(gateway: FilteringProxy, address: str) -> bytes:
    """Return the response through the proxy."""
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.server_address[1], timeout=5)) as connection:
        connection.request("GET", address, headers={"Proxy-Connection": "keep-alive"})
        return connection.getresponse().read()


def test_proxy_reaches_loopback_only_with_the_option() -> None:
    """Without it the connection is closed and the host recorded."""
    with serve(lambda request: StubResponse(f"{request.path} {request.headers['Connection']}".encode())) as site:
        with open_proxy(allow_loopback=True) as gateway:
            assert asked_through(gateway, f"{site.base}/a?b=c") == b"/a close"
            assert not gateway.refused_hosts
        with open_proxy(allow_loopback=False) as gateway:
            with pytest.raises(http.client.RemoteDisconnected):
                asked_through(gateway, f"{site.base}/a")
            assert gateway.refused_hosts == {"127.0.0.1"}
        assert len(site.requests) == 1


def test_proxy_refuses_names_of_private_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are resolved once, for plain requests and for tunnels."""
    known = socket.getaddrinfo

    def resolve(host: str, *more: int, **named: int) -> list[Any]:
        return [(2, 1, 6, "", ("10.0.0.1", 80))] if host.endswith(".example") else known(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with open_proxy(allow_loopback=True) as gateway:
        with pytest.raises(http.client.RemoteDisconnected):
            asked_through(gateway, "http://rebound.example/")
        with closing(http.client.HTTPConnection("127.0.0.1", gateway.server_address[1], timeout=5)) as tunnel:
            tunnel.set_tunnel("inside.example", 443)
            with pytest.raises(OSError):
                tunnel.request("GET", "/")
        assert gateway.refused_hosts == {"rebound.example", "inside.example"}


def test_page_cannot_lead_the_browser_to_private_addresses(tmp_path: Path) -> None:
    """By a redirect, an image or a script; a page at such an address is an error."""
    inside: list[str] = []

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/away":
            return StubResponse(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"})
        inside.append(request.path)
        return StubResponse(b"<img src='http://10.1.2.3/a.jpg' onerror='document.title=\"refused\"'>")

    workspace = create_workspace(tmp_path / "w", ["x"])
    with serve(respond) as site:
        context = SourceContext(workspace, FetchOptions(allow_loopback=True))
        try:
            context.window.load(f"{site.base}/page")
            assert context.window.script("return document.title") == "refused"
            assert context.proxy.refused_hosts == {"10.1.2.3"}
            context.window.load(f"{site.base}/away")
            assert "169.254.169.254" in context.proxy.refused_hosts
        finally:
            context.close()
