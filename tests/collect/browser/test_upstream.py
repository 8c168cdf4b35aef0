"""The user's own proxy: pages go through it to checked addresses, this machine is reached without it."""

from __future__ import annotations

import http.client
import os
import socket
import socketserver
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from fototeca.collect.browser.proxy import FilteringProxy, open_proxy
from fototeca.collect.browser.upstream import UserProxies, read_head
from fototeca.collect.hubs.guarded_clients import guarded_clients
from tests.servers import StubResponse, serve

PUBLIC = "93.184.215.14"


class CorporateProxy(socketserver.ThreadingTCPServer):
    """A proxy that records the requests for tunnels and leads each tunnel to `site`."""

    daemon_threads = True

    def __init__(self, site: tuple[str, int], status: str) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.site, self.status = site, status
        self.heads: list[str] = []


class _Tunnel(socketserver.BaseRequestHandler):
    server: CorporateProxy

    def handle(self) -> None:
        """Answer with the status, then relay one request."""
        self.server.heads.append(read_head(self.request)[0].decode())
        self.request.sendall(f"HTTP/1.1 {self.server.status}\r\n\r\n".encode())
        with closing(socket.create_connection(self.server.site)) as site:
            head, rest = read_head(self.request)
            site.sendall(head + b"\r\n\r\n" + rest)
            while data := site.recv(4096):
                self.request.sendall(data)


@contextmanager
def corporate_proxy(site: tuple[str, int], status: str = "200 OK") -> Iterator[CorporateProxy]:
    """Serve the proxy inside the block."""
    proxy = CorporateProxy(site, status)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy is set, `site.example` is public and `inside.example` is private."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    known = socket.getaddrinfo

    def resolve(host: str, *more: Any, **named: Any) -> list[Any]:  # noqa: ANN401 - signature of the standard library
        addresses = {"site.example": PUBLIC, "inside.example": "10.0.0.1"}
        return [(2, 1, 6, "", (addresses[host], 80))] if host in addresses else known(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def load(gateway: FilteringProxy, url: str) -> bytes:
    """Return the page through the browser's proxy."""
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.server_address[1], timeout=5)) as connection:
        connection.request("GET", url)
        return connection.getresponse().read()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_pages_are_loaded_through_the_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It is asked for the checked address with its password; the site sees neither. The clients of hubs go the same way."""
    with serve(lambda request: StubResponse(request.headers["Host"].encode())) as site:
        with corporate_proxy(("127.0.0.1", site.server_port)) as proxy:
            monkeypatch.setenv(name, f"http://me:p%40ss@127.0.0.1:{proxy.server_address[1]}")
            with open_proxy(allow_loopback=False) as gateway, guarded_clients(gateway):
                assert load(gateway, "http://site.example/a") == b"site.example"
        (head,) = proxy.heads
        assert head.splitlines()[0] == f"CONNECT {PUBLIC}:80 HTTP/1.1"
        assert f"Proxy-Authorization: Basic {b64encode(b'me:p@ss').decode()}" in head
        assert "Proxy-Authorization" not in site.requests[0].headers


def test_tunnels_use_the_proxy_for_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS pages use HTTPS_PROXY, which may be written without a scheme."""
    with serve(lambda request: StubResponse(b"tunnelled")) as site:
        with corporate_proxy(("127.0.0.1", site.server_port)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.server_address[1]}")
            with (
                open_proxy(allow_loopback=False) as gateway,
                closing(http.client.HTTPConnection("127.0.0.1", gateway.server_address[1], timeout=5)) as connection,
            ):
                connection.set_tunnel("site.example", 443)
                connection.request("GET", "/")
                assert connection.getresponse().read() == b"tunnelled"
        assert [head.splitlines()[0] for head in proxy.heads] == [f"CONNECT {PUBLIC}:443 HTTP/1.1"]


def test_private_addresses_are_refused_before_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy may reach more than this machine does."""
    with corporate_proxy(("127.0.0.1", 9)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
        with open_proxy(allow_loopback=True) as gateway, pytest.raises(http.client.RemoteDisconnected):
            load(gateway, "http://inside.example/")
        assert (proxy.heads, gateway.refused_hosts) == ([], {"inside.example"})


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required", "junk"])
def test_refusal_of_the_proxy_ends_the_connection(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """The site is not reached directly instead."""
    with serve(lambda request: StubResponse(b"direct")) as site:
        with corporate_proxy(("127.0.0.1", site.server_port), status) as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
            with open_proxy(allow_loopback=False) as gateway, pytest.raises(http.client.HTTPException):
                load(gateway, "http://site.example/")
        assert len(proxy.heads) == 1 and not site.requests


def test_this_machine_is_reached_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where NO_PROXY does not name it."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serve(lambda request: StubResponse(b"local")) as site, open_proxy(allow_loopback=True) as gateway:
        assert load(gateway, f"{site.base}/") == b"local"


def test_exceptions_and_other_kinds_of_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY is respected; proxies that do not speak HTTP are not used."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert (found := UserProxies.read().find("https", "site.example")) and found.port == 3128
    assert UserProxies.read().find("http", "site.example") is None
    monkeypatch.setenv("NO_PROXY", "other.example,site.example")
    assert UserProxies.read().find("https", "site.example") is None
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    assert UserProxies.read().find("https", "site.example") is None
