"""The requests session over guarded sockets: what it sends, and what it leaves to its caller."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fototeca.collect.http.client import Downloader, Request
from fototeca.collect.http.guarded_sockets import socket_deadline
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.http.responses import FetchError, TotalTimer
from fototeca.collect.http.session import GuardedSession
from tests.servers import ReceivedRequest, StubResponse, jpeg, serve

OPTIONS = FetchOptions(allow_loopback=True, timeout=5.0)


def session() -> GuardedSession:
    """Return a session with one header."""
    return GuardedSession(allow_loopback=True, per_host=2, headers={"User-Agent": "test"})


def test_environment_proxies_and_netrc_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy, which would bypass the guarded sockets, nor a stored password applies."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serve(lambda request: StubResponse(b"ok")) as site:
        assert Downloader(OPTIONS, "").request(Request(f"{site.base}/a", 10)).data == b"ok"
    assert "Authorization" not in site.requests[0].headers


def test_only_the_given_headers_are_sent() -> None:
    """No user and password of a URL, no cookie of an earlier response, no compression."""
    cookie = StubResponse(b"ok", headers={"Set-Cookie": "a=1; path=/"})
    with serve(lambda request: cookie) as site, socket_deadline(time.monotonic() + 5):
        client = session()
        for _ in range(2):
            client.get(site.base.replace("://", "://user:password@") + "/a", stream=True, allow_redirects=False).close()
    for request in site.requests:
        assert set(request.headers) <= {"Host", "User-Agent", "Accept-Encoding"}
        assert request.headers["User-Agent"] == "test"


def test_url_escapes_are_sent_as_given() -> None:
    """requests alone would decode `%2E` and `%7E`."""
    with serve(lambda request: StubResponse(b"ok")) as site:
        Downloader(OPTIONS, "").request(Request(f"{site.base}/%2E%2E%2Fa%7Eb?x=%2E", 10))
    assert site.requests[0].path == "/%2E%2E%2Fa%7Eb"


def test_redirects_are_neither_followed_nor_read() -> None:
    """The session returns a redirect as it is; the downloader refuses it for service APIs."""
    redirect = StubResponse(b"x" * 1000, status=302, headers={"Location": "/b"})
    with serve(lambda request: redirect) as site:
        with socket_deadline(time.monotonic() + 5):
            response = session().get(f"{site.base}/a", stream=True, allow_redirects=False)
        assert response.status_code == 302 and response.raw.tell() == 0
        response.close()
        with pytest.raises(FetchError, match="redirected"):
            Downloader(OPTIONS, "").request(Request(f"{site.base}/a", 10))
    assert [request.path for request in site.requests] == ["/a", "/a"]


def test_stream_follows_redirects_and_limits_the_body() -> None:
    """The body arrives in chunks within its limit; an error carries headers and received bytes."""

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/a":
            return StubResponse(status=302, headers={"Location": "/b"})
        return StubResponse(jpeg(1), "image/jpeg")

    downloader = Downloader(OPTIONS, "")
    with serve(respond) as site:
        with downloader.stream(Request(f"{site.base}/a", 0), TotalTimer(5)) as response:
            assert b"".join(response.chunks(1_000_000)) == jpeg(1)
        with (
            pytest.raises(FetchError, match="too-large") as caught,
            downloader.stream(Request(f"{site.base}/b", 0), TotalTimer(5)) as response,
        ):
            list(response.chunks(10))
    assert caught.value.headers["Content-Type"] == "image/jpeg"
    assert caught.value.received > 10
