"""The guard of local pages with a real Chromium: its own page works, and pages of other sites reach nothing."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from fototeca.core.web import serve_locally
from tests.browsers import chromium
from tests.servers import ReceivedRequest, StubResponse, serve

pytestmark = pytest.mark.xdist_group("page")


class Page:
    """A page and its data; records the requests that reach it."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        """Answer with the page or with `secret`."""
        if scope["type"] == "lifespan":
            return
        await receive()
        if scope["path"] != "/favicon.ico":
            self.requests.append(f"{scope['method']} {scope['path']}")
        is_page = scope["path"] == "/page"
        body = b"<!doctype html><title>page</title><p>here</p>" if is_page else b'"secret"'
        headers = [(b"content-type", b"text/html" if is_page else b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """A Chromium for all tests of this file."""
    with chromium("--host-resolver-rules=MAP rebound.example 127.0.0.1") as driver:
        yield driver


@pytest.mark.parametrize("way", ["file", "address"])
def test_both_addresses_open_the_page(browser: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """The private file that a browser is given, and the printed address; the page reads and writes with the cookie."""
    app, opened = Page(), []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    with serve_locally(app, port=0) as server:
        server.open_browser(tmp_path, "/page?a=1")
        browser.get(opened[0] if way == "file" else server.new_address("/page?a=1"))
        WebDriverWait(browser, 60, 0.02).until(lambda page: page.title == "page")
        assert browser.current_url == f"http://127.0.0.1:{server.port}/page?a=1"
        read = "return fetch('/data', arguments[0]).then(response => response.json())"
        assert browser.execute_script(read, {}) == "secret"
        assert browser.execute_script(read, {"method": "POST", "body": "{}"}) == "secret"
        assert browser.execute_script("return document.cookie") == "", "no script reads the cookie"
        browser.refresh()
        assert browser.title == "page"
    assert app.requests == ["GET /page", "GET /data", "POST /data", "GET /page"]


ATTACK = """<!doctype html><title>attack</title><body><script>
const site = "%s", done = [];
const note = (name) => (result) => done.push(`${name}: ${result}`);
const load = (tag, url) => new Promise((resolve) => {
  const node = document.createElement(tag);
  node.onload = () => resolve("loaded"); node.onerror = () => resolve("refused");
  node.src = url; document.body.append(node);
});
const ask = (path, options) => fetch(site + path, {credentials: "include", ...options})
  .then((response) => response.text()).catch(() => "refused");
const form = document.createElement("form");
form.action = site + "/change"; form.method = "post"; form.target = "frame";
const frame = Object.assign(document.createElement("iframe"), {name: "frame"});
document.body.append(form, frame);
window.addEventListener("load", async () => {
  note("read")(await ask("/data"));
  note("blind read")(await ask("/data", {mode: "no-cors"}) || "refused");
  note("write")(await ask("/change", {method: "POST", body: "{}"}));
  note("blind write")(await ask("/change", {method: "POST", mode: "no-cors", body: "{}"}) || "refused");
  note("json write")(await ask("/change", {method: "PATCH", headers: {"Content-Type": "application/json"}, body: "{}"}));
  note("image")(await load("img", site + "/data"));
  note("script")(await load("script", site + "/data"));
  form.submit();
  await load("iframe", site + "/page");
  document.title = JSON.stringify(done);
});
</script>"""


@pytest.mark.parametrize("attacker", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://rebound.example:{port}/"])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "rebound.example"])
def test_pages_of_other_servers_reach_nothing(browser: Chrome, attacker: str, name: str) -> None:
    """A page at another port of this machine shares its cookies, and one that rebinds its name shares its address."""
    app = Page()
    with serve_locally(app, port=0) as server:
        browser.get(server.new_address("/page"))
        assert browser.title == "page"

        def respond(request: ReceivedRequest) -> StubResponse:
            return StubResponse((ATTACK % f"http://{name}:{server.port}").encode())

        with serve(respond) as site:
            browser.get(attacker.format(port=site.server_port))
            WebDriverWait(browser, 60, 0.02).until(lambda page: page.title.startswith("["))
            assert {text.partition(": ")[2] for text in json.loads(browser.title)} == {"refused"}
        browser.get(f"http://rebound.example:{server.port}/page")
        assert "error" in browser.find_element(By.TAG_NAME, "body").text
    assert app.requests == ["GET /page"]
