"""The hubs' own clients reach public addresses only, and leave the process as it was."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from fototeca.collect.browser import proxy
from fototeca.collect.http.guarded_sockets import PrivateAddressError
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.hubs import get_hub
from fototeca.collect.hubs.guarded_clients import guarded_clients
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from tests.collect.hub_server import SECRET, Hubs, point_kaggle_to, workspace_at
from tests.servers import ReceivedRequest, Site, StubResponse, json_response, serve

PUBLIC = "93.184.216.34"
CLIENTS = ("huggingface", "kaggle", "roboflow")
LOCAL = FetchOptions(allow_loopback=True, send_key_to=("127.0.0.1",), timeout=5.0)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses of huggingface_hub between its tries."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))


class Rebinding:
    """A name server that gives a public address first, and after that one of this machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        self.host, self.num_answers, self.connected = host, 0, list[str]()
        self._resolve, self._connect = socket.getaddrinfo, socket.create_connection
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)
        monkeypatch.setattr(proxy.socket, "create_connection", self.create_connection)

    def getaddrinfo(
        self, host: str | bytes, port: str | int | None, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple[object, ...]]:
        """Answer for the host; other names are resolved as usual."""
        if host not in (self.host, self.host.encode()):
            return [*self._resolve(host, port, family, type, proto, flags)]
        self.num_answers += 1
        address = PUBLIC if self.num_answers == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0)))]

    def create_connection(
        self, address: tuple[str, int], timeout: float | None = None, source_address: None = None
    ) -> socket.socket:
        """Connect to this machine only; the public address refuses."""
        self.connected.append(address[0])
        if address[0] == PUBLIC:
            raise ConnectionRefusedError
        return self._connect(address, timeout)


@pytest.mark.parametrize("hub", CLIENTS)
@pytest.mark.parametrize("call", ["find", "download"])
def test_second_answer_of_the_name_server_is_refused(
    workspace: Workspace, site: Site, hub: str, call: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The token would go to a service of this machine."""
    connections = list[object]()
    monkeypatch.setattr(site, "verify_request", lambda request, address: not connections.append(address))
    port = site.server_address[1]
    workspace = workspace_at(tmp_path / "w2", f"https://hub.example:{port}")
    point_kaggle_to(f"http://hub.example:{port}", monkeypatch)
    resolver = Rebinding(monkeypatch, "hub.example")
    context = SourceContext(workspace, FetchOptions(timeout=5.0, send_key_to=("hub.example",)))
    for _ in range(2):
        with pytest.raises(FototecaError, match=r"failed|not a public address"):
            if call == "find":
                get_hub(hub).find_datasets("cats", context)
            else:
                get_hub(hub).download("alice/pets", tmp_path / "download", context)
    context.close()
    assert resolver.num_answers >= 2
    assert PUBLIC in resolver.connected
    assert not connections


@pytest.mark.parametrize("hub", CLIENTS)
def test_private_address_is_named(workspace: Workspace, site: Site, hub: str) -> None:
    """Without --allow-loopback this machine is refused too, in one line."""
    context = SourceContext(workspace, FetchOptions(timeout=5.0, send_key_to=("127.0.0.1",)))
    with pytest.raises(FototecaError, match=rf"{hub}: 127.0.0.1 is not a public address; pass --allow-loopback"):
        get_hub(hub).find_datasets("cats", context)
    assert not site.requests


@pytest.mark.parametrize("hub", ["huggingface", "kaggle"])
def test_key_does_not_follow_a_redirect_to_another_host(workspace: Workspace, hubs: Hubs, hub: str) -> None:
    """The hub's own host gets it, and the host of the redirect does not."""

    def catch(request: ReceivedRequest) -> StubResponse:
        return json_response([])

    with serve(catch) as other:
        first = list[ReceivedRequest]()

        def redirect(request: ReceivedRequest) -> StubResponse:
            first.append(request)
            return StubResponse(status=307, headers={"Location": f"{other.base}{request.path}"})

        hubs.instead_of_all = redirect
        context = SourceContext(workspace, LOCAL)
        with suppress(FototecaError):  # the answer of the other host is not one of Kaggle's
            get_hub(hub).find_datasets("cats", context)
        context.close()
    assert any(SECRET in str(request) or "Basic" in str(request) for request in first)
    assert other.requests
    for request in other.requests:
        assert not {name.lower() for name in request.headers} & {"authorization", "cookie", "proxy-authorization"}
        assert SECRET not in str(request)


def test_environment_is_restored_when_the_last_thread_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for the user's own proxy settings, and for threads that overlap."""
    monkeypatch.setenv("HTTPS_PROXY", "http://own.example:3128")
    monkeypatch.setenv("no_proxy", "*")
    before = dict(os.environ)
    with proxy.open_proxy(allow_loopback=True) as guard:
        entered, leave = threading.Event(), threading.Event()

        def overlap() -> None:
            with guarded_clients(guard):
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=overlap)
        with guarded_clients(guard):
            thread.start()
            entered.wait(10)
        assert os.environ["https_proxy"] == os.environ["HTTPS_PROXY"] == guard.address
        assert "no_proxy" not in os.environ
        leave.set()
        thread.join()
    assert dict(os.environ) == before


def test_other_proxy_waits_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls with different limits never share a proxy."""
    order = list[str]()
    with proxy.open_proxy(allow_loopback=True) as loose, proxy.open_proxy(allow_loopback=False) as strict:
        entered = threading.Event()

        def use(name: str, guard: proxy.FilteringProxy, then: Callable[[], object]) -> None:
            with guarded_clients(guard):
                order.append(f"{name} {os.environ['http_proxy'] == guard.address}")
                then()
                order.append(f"{name} ends")

        second = threading.Thread(target=use, args=("strict", strict, lambda: None))
        use("loose", loose, lambda: (second.start(), entered.wait(0.2)))
        second.join()
    assert order == ["loose True", "loose ends", "strict True", "strict ends"]


def test_refused_host_replaces_the_exception_of_a_client() -> None:
    """requests and httpx report a closed connection only."""
    refused = pytest.raises(PrivateAddressError, match=r"127\.0\.0\.1")
    with proxy.open_proxy(allow_loopback=False) as guard, refused, guarded_clients(guard):
        guard.refused_hosts.add("127.0.0.1")
        raise OSError("connection closed")
