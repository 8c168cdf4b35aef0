"""The guard of local pages, over real sockets: who gets an answer, what it costs, and how servers start and stop."""

from __future__ import annotations

import asyncio
import http.client
import socket
import stat
import threading
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from fototeca.core import web
from fototeca.core.errors import ExternalError
from fototeca.core.web import LocalServer, serve_locally
from fototeca.core.web_limits import WebLimits

QUICK = WebLimits(max_body=1000, body_seconds=0.3, requests=4, per_second=20, refused_per_second=1000)


class Echo:
    """An application that records its requests; `/wait` answers when `release` is set, `/fail` raises."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.events: list[str] = []
        self.release = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        """Answer with a page."""
        if scope["type"] == "lifespan":
            for _ in range(2):
                event = (await receive())["type"]
                self.events.append(event)
                await send({"type": f"{event}.complete"})
            return
        body = (await receive())["body"]
        self.requests.append((scope["method"], scope["path"], body))
        if scope["path"] == "/fail":
            raise RuntimeError("a bug")
        if scope["path"] == "/wait":
            while not self.release.is_set():
                await asyncio.sleep(0.01)
        headers = [(b"Access-Control-Allow-Origin", b"*"), (b"X-Frame-Options", b"ALLOWALL")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"page"})


class Client:
    """A browser of one person: sends requests with its cookie."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.host = f"127.0.0.1:{server.port}"
        self.cookie = ""

    def send(
        self, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None, method: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        own = {"Cookie": self.cookie} if self.cookie else {}
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)) as connection:
            connection.request(method or ("GET" if body is None else "POST"), path, body, {**own, **(headers or {})})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return response.status, names, response.read()

    def status(self, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None, method: str = "") -> int:
        """Return the status of a response."""
        return self.send(path, headers, body, method)[0]

    def open(self, to: str = "/") -> Client:
        """Exchange a new key for the cookie."""
        status, headers, _ = self.send(path_of(self.server.new_address(to)))
        assert status == 303
        self.cookie = headers["set-cookie"].partition(";")[0]
        return self


def path_of(url: str) -> str:
    """Return path and query of a URL."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


@contextmanager
def serving(app: Any = None, limits: WebLimits = QUICK) -> Iterator[tuple[LocalServer, Echo]]:  # noqa: ANN401 - ASGI
    """Serve the application on a free port."""
    echo = app or Echo()
    with serve_locally(echo, port=0, limits=limits) as server:
        yield server, echo


def test_key_is_exchanged_once_for_a_cookie() -> None:
    """The cookie is unreadable for scripts and for other sites' requests; the address that follows has no key."""
    with serving() as (server, echo):
        client = Client(server)
        address = server.new_address("/grid?page=2")
        status, headers, _ = client.send(path_of(address))
        assert (status, headers["location"]) == (303, "/grid?page=2")
        cookie, *attributes = headers["set-cookie"].split("; ")
        assert set(attributes) == {"HttpOnly", "SameSite=Strict", "Path=/"}
        assert client.status(path_of(address)) == 403, "a key opens one browser"
        client.cookie = cookie
        assert client.status("/grid") == 200
        assert client.send(path_of(address))[1]["location"] == "/grid?page=2", "its own browser may go back to it"
        other = Client(server).open()
        assert other.cookie != client.cookie
        assert other.status("/") == client.status("/") == 200
        assert echo.requests == [("GET", "/grid", b""), ("GET", "/", b""), ("GET", "/", b"")]


@pytest.mark.parametrize(
    "cookie",
    ["", "{name}=", "{name}=wrong", "other={value}", "{name}={value}x", "{name}= {value}", "{name}=\xf1", "{name}", ";;=;"],
)
def test_wrong_cookies_are_refused(cookie: str) -> None:
    """Only the whole value under the name of this port counts."""
    with serving() as (server, echo):
        name, _, value = Client(server).open().cookie.partition("=")
        assert Client(server).status("/", {"Cookie": cookie.format(name=name, value=value)}) == 403
        assert not echo.requests


def test_cookie_of_another_server_does_not_hide_the_own_one() -> None:
    """Ports share cookies: another server may have set one of the same name, also for a longer path, which comes first."""
    with serving() as (server, _):
        cookie = Client(server).open().cookie
        name = cookie.partition("=")[0]
        for text in (f"{name}=theirs; {cookie}", f"{cookie};{name}=theirs", f'a="b; {name}=x; {cookie}; c'):
            assert Client(server).status("/", {"Cookie": text}) == 200
    with serving() as (server, _):
        assert Client(server).status("/", {"Cookie": cookie}) == 403, "a new server knows no old cookie"


@pytest.mark.parametrize("key", ["", "x", "%C3%B1", "%ED%A0%80", "a" * 5000])
def test_wrong_keys_open_nothing(key: str) -> None:
    """Whatever the key looks like."""
    with serving() as (server, _):
        assert Client(server).status(f"/open?key={key}&to=/") == 403
        assert Client(server).status("/open") == 403
        for path in ("/OPEN", "//open", "/open/", "/%6fpen/.."):
            assert Client(server).status(f"{path}?{urlsplit(server.new_address()).query}") == 403
        assert Client(server).status(path_of(server.new_address()), method="HEAD") == 403


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "\\\\evil", "", "evil", "\ud800"]
)
def test_opening_leads_to_this_server_only(to: str) -> None:
    """A target that a browser reads as another server is replaced."""
    with serving() as (server, _):
        key = path_of(server.new_address()).partition("&to=")[0]
        quoted = "".join(f"%{byte:02X}" for byte in to.encode("utf-8", "surrogatepass"))
        assert Client(server).send(f"{key}&to={quoted}")[1]["location"] in ("/", "/%EF%BF%BD")


def test_a_target_cannot_split_the_response() -> None:
    """Line ends and quotes of a target are escaped."""
    with serving() as (server, _):
        path = path_of(server.new_address('/a"><b\r\nSet-Cookie: x=y\t'))
        status, headers, body = Client(server).send(path, {"Sec-Fetch-Site": "cross-site"})
        assert status == 200 and headers["set-cookie"].startswith(f"fototeca-{server.port}=")
        assert b"<b" not in body and b"\r\n" not in body


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "evil.example",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:1",
        "127.0.0.1.:{port}",
        "localhost.:{port}",
        "localhost.evil.example:{port}",
        "evil@127.0.0.1:{port}",
        "127.0.0.1:{port}@evil.example",
        "127.1:{port}",
        "2130706433:{port}",
        "0.0.0.0:{port}",
        "[::1]:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "127.0.0.1:0{port}",
        "127.0.0.1:{port}:80",
        "",
    ],
)
def test_other_host_names_are_refused(host: str) -> None:
    """A name that resolves to 127.0.0.1 has the cookies and the origin of its own site."""
    with serving() as (server, echo):
        client = Client(server).open()
        headers = {"Host": host.format(port=server.port)}
        assert client.status("/", headers) == 403
        assert client.status(path_of(server.new_address()), headers) == 403
        assert client.status("/", {**headers, "Origin": f"http://{headers['Host']}"}, b"x") == 403
        assert client.status("/", {"X-Forwarded-Host": headers["Host"]}) == 200
        assert len(echo.requests) == 1


def test_own_host_names_are_answered() -> None:
    """In any case of letters; two of them, or none, are refused."""
    with serving() as (server, _):
        client = Client(server).open()
        for name in ("127.0.0.1", "localhost", "LocalHost"):
            assert client.status("/", {"Host": f"{name}:{server.port}"}) == 200
        for head in ("", f"Host: {client.host}\r\nHost: evil.example\r\n", f"Host: {client.host}\r\nhost: {client.host}\r\n"):
            assert raw(server, f"GET / HTTP/1.1\r\n{head}Cookie: {client.cookie}\r\n\r\n").split()[1] in (b"400", b"403")
        assert raw(server, f"GET / HTTP/1.0\r\nCookie: {client.cookie}\r\n\r\n").split()[1] == b"403"


def raw(server: LocalServer, text: str) -> bytes:
    """Send bytes and return the beginning of the answer."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
        connection.sendall(text.encode("latin-1"))
        return connection.recv(4096)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "https://evil.example",
        "http://evil.example:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:{port}.evil.example",
        "http://localhost:{port}",
        "http://127.0.0.1:{port}/",
        "HTTP://127.0.0.1:{port}",
        "file://",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE", "PROPFIND"])
def test_changes_need_the_origin_of_the_page(origin: str | None, method: str) -> None:
    """A form or a script of another site has another Origin, or none; one's own is answered."""
    with serving() as (server, echo):
        client = Client(server).open()
        headers = {} if origin is None else {"Origin": origin.format(port=server.port)}
        assert client.status("/", headers, b"{}", method) == 403
        assert not echo.requests
        assert client.status("/", {"Origin": f"http://{client.host}"}, b"{}", method) == 200
        assert echo.requests == [(method, "/", b"{}")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_other_sites_cannot_read(headers: dict[str, str]) -> None:
    """Neither images nor scripts, though a server at another port is the same site and is sent the cookie."""
    with serving() as (server, echo):
        client = Client(server).open()
        for method in ("GET", "HEAD", "OPTIONS"):
            assert client.status("/", headers, method=method) == 403
        assert not echo.requests
        for site in ("same-origin", "none"):
            assert client.status("/", {"Sec-Fetch-Site": site}) == 200


def test_headers_of_responses() -> None:
    """Every response, a refusal too, forbids frames, sniffing, caches and referrers, and names no other origin."""
    with serving() as (server, _):
        client = Client(server).open()
        for _, headers, _ in (client.send("/"), Client(server).send("/"), client.send(path_of(server.new_address()))):
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "no-referrer"
            assert not {name for name in headers if name.startswith("access-control") or name == "server"}


def test_bodies_are_limited() -> None:
    """By their announced and their real size; the application gets whole bodies only."""
    with serving() as (server, echo):
        client = Client(server).open()
        own = {"Origin": f"http://{client.host}"}
        head = f"POST / HTTP/1.1\r\nHost: {client.host}\r\nOrigin: http://{client.host}\r\nCookie: {client.cookie}\r\n"
        assert client.status("/", own, b"x" * 1000) == 200
        assert client.status("/", own, b"x" * 1001) == 413
        assert client.status("/", {**own, "Content-Length": "99999999999"}, b"x") == 413
        chunks = "".join(f"{400:x}\r\n{'x' * 400}\r\n" for _ in range(3))
        assert raw(server, f"{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").split()[1] == b"413"
        for wrong in ("-1", "1e3", "0x10", "1_0", "9" * 40):
            assert raw(server, f"{head}Content-Length: {wrong}\r\n\r\n0123456789").split()[1] in (b"400", b"413")
        assert raw(server, f"{head}X: {'y' * 100_000}\r\n\r\n").split()[1][:1] == b"4"
        many = "".join(f"X-{number}: y\r\n" for number in range(200))
        assert raw(server, f"{head}{many}\r\n").split()[1] == b"400"
        assert [len(body) for _, _, body in echo.requests] == [1000]


def test_slow_bodies_end() -> None:
    """A body that arrives byte by byte is refused after the limit, and the application is not called."""
    with serving() as (server, echo):
        client = Client(server).open()
        head = f"POST / HTTP/1.1\r\nHost: {client.host}\r\nOrigin: http://{client.host}\r\nCookie: {client.cookie}\r\n"
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
            connection.sendall(f"{head}Content-Length: 900\r\n\r\n".encode())
            connection.settimeout(0.05)
            answer = b""
            for _ in range(200):
                connection.sendall(b"x")
                try:
                    answer = connection.recv(4096)
                except TimeoutError:
                    continue
                break
        assert answer.split()[1] == b"408"
        assert not echo.requests


def test_slow_headers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that sends no whole request is closed."""
    monkeypatch.setattr(web, "_IDLE_SECONDS", 0.2)
    with serving() as (server, echo), closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert connection.recv(100) == b""
        assert not echo.requests


def test_interrupted_bodies_do_not_reach_the_application(capsys: pytest.CaptureFixture[str]) -> None:
    """A client that leaves before its body is complete decides nothing."""
    with serving() as (server, echo):
        client = Client(server).open()
        head = f"POST / HTTP/1.1\r\nHost: {client.host}\r\nOrigin: http://{client.host}\r\nCookie: {client.cookie}\r\n"
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
            connection.sendall(f"{head}Content-Length: 900\r\n\r\nhalf".encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        assert client.status("/") == 200
        assert echo.requests == [("GET", "/", b"")]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("target", ["http://evil.example/", "http://{host}/", "http://[::1", "*", "{host}"])
def test_only_paths_are_requested(target: str) -> None:
    """A whole URL as the target may name another host than Host does."""
    with serving() as (server, echo):
        client = Client(server).open()
        head = f"GET {target.format(host=client.host)} HTTP/1.1\r\nHost: {client.host}\r\nCookie: {client.cookie}\r\n\r\n"
        assert raw(server, head).split()[1] == b"400"
        assert not echo.requests


def test_a_closed_terminal_does_not_keep_the_page_closed() -> None:
    """What follows the opening may fail."""

    def fail() -> None:
        raise BrokenPipeError

    with serving() as (server, _):
        assert Client(server).status(path_of(server.new_address("/", fail))) == 303


def test_bodies_of_refused_requests_are_not_read() -> None:
    """A stranger's upload is refused by its headers."""
    with serving() as (server, echo):
        head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: http://127.0.0.1:{server.port}\r\n"
        assert raw(server, f"{head}Content-Length: 900\r\n\r\n").split()[1] == b"403"
        assert not echo.requests


def test_rates_are_limited() -> None:
    """Refused requests cost others nothing: the reviewer's requests have a rate of their own."""
    limits = WebLimits(per_second=2, refused_per_second=0.5)
    with serving(limits=limits) as (server, _):
        client = Client(server).open()
        refused = [Client(server).status("/") for _ in range(10)]
        assert (refused[0], refused[-1]) == (403, 429)
        statuses = [client.status("/") for _ in range(40)]
        assert statuses[0] == 200 and statuses.count(429) > 0
        assert Client(server).open().cookie, "a valid key always opens"


def test_requests_at_one_time_are_limited() -> None:
    """Requests that take long leave the server answering."""
    with serving() as (server, echo):
        client = Client(server).open()
        threads = [threading.Thread(target=client.status, args=("/wait",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(echo.requests) < 4:
            time.sleep(0.01)
        assert client.status("/") == 503
        echo.release.set()
        for thread in threads:
            thread.join()
        assert client.status("/") == 200


def test_bugs_are_printed_without_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    """The client gets a status, the terminal a traceback, and neither shows the cookie or a key."""
    with serving() as (server, _):
        client = Client(server).open()
        assert client.send("/fail")[::2] == (500, b'{"error": "Internal Server Error"}')
    error = capsys.readouterr().err
    assert "a bug" in error
    assert client.cookie.partition("=")[2] not in error and "key=" not in error


def test_websockets_are_refused() -> None:
    """No page of fototeca uses one."""
    with serving() as (server, echo):
        client = Client(server).open()
        upgrade = (
            f"GET / HTTP/1.1\r\nHost: {client.host}\r\nOrigin: http://{client.host}\r\nCookie: {client.cookie}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert raw(server, upgrade).split()[1] == b"403"
        assert not echo.requests


def test_servers_start_and_stop_cleanly() -> None:
    """The application's start and end events are called; neither port nor thread is left, also with connections open."""
    threads = threading.active_count()
    with serving() as (server, echo):
        addresses = {part.laddr for part in psutil.Process().net_connections() if part.status == "LISTEN"}
        assert ("127.0.0.1", server.port) in addresses and ("0.0.0.0", server.port) not in addresses
        idle = socket.create_connection(("127.0.0.1", server.port))
        assert Client(server).open().status("/") == 200
        with pytest.raises(ExternalError, match="is in use"), serve_locally(echo, port=server.port):
            pass
    idle.close()
    assert echo.events == ["lifespan.startup", "lifespan.shutdown"]
    assert threading.active_count() == threads
    with serve_locally(Echo(), port=server.port) as again:
        assert again.port == server.port
    with pytest.raises(ExternalError, match="70000"), serve_locally(Echo(), port=70_000):
        pass


def test_a_request_without_an_end_does_not_keep_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Running requests have a short time to end."""
    monkeypatch.setattr(web, "_STOP_SECONDS", 0.2)
    threads = threading.active_count()
    with serving() as (server, echo):
        client = Client(server).open()
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        connection.sendall(f"GET /wait HTTP/1.1\r\nHost: {client.host}\r\nCookie: {client.cookie}\r\n\r\n".encode())
        while not echo.requests:
            time.sleep(0.01)
    with closing(connection):
        assert b" 200 " not in connection.recv(100)
    assert threading.active_count() == threads
    assert not caplog.records


def test_an_application_that_does_not_start_is_an_error() -> None:
    """`wait` ends with its reason."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with serving(broken) as (server, _), pytest.raises(ExternalError, match="no database"):
        server.wait()


def test_browser_is_given_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address for the browser has no key: it names a file of mode 0600, which ends with its key, or with the server."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    target = tmp_path / "precious"
    target.write_text("kept")
    (tmp_path / "open.html").symlink_to(target)
    with serving() as (server, _):
        server.open_browser(tmp_path, "/grid")
        file = tmp_path / "open.html"
        assert opened == [file.as_uri()]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600 and not file.is_symlink()
        assert target.read_text() == "kept"
        url = file.read_text().partition("url=")[2].partition('"')[0].replace("&amp;", "&")
        assert parse_qs(urlsplit(url).query)["key"][0] not in opened[0]
        assert Client(server).send(path_of(url))[1]["location"] == "/grid"
        assert not file.exists(), "a used key leads nowhere"
        server.open_browser(tmp_path)
    assert not file.exists()


def test_each_used_address_is_followed_by_another(capsys: pytest.CaptureFixture[str]) -> None:
    """A phone can be opened after the computer; stdout is for results."""
    with serving() as (server, _):
        server.announce("press Ctrl-C here to finish", "/grid")
        printed = capsys.readouterr()
        address, text = printed.err.splitlines()
        assert (text, printed.out) == ("press Ctrl-C here to finish", "")
        for _ in range(3):
            assert Client(server).send(path_of(address))[1]["location"] == "/grid"
            status, _, body = Client(server).send(path_of(address))
            assert status == 403 and b"newest address" in body
            (address,) = [word for word in capsys.readouterr().err.split() if "://" in word]
