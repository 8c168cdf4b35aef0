"""Keys go to the host of the shipped site file over https, and elsewhere only by name."""

from __future__ import annotations

import re

import pytest

from fototeca.collect.api.key_hosts import KeyHosts
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.hubs import get_hub
from fototeca.collect.search import SearchOptions, search_sources
from fototeca.collect.sites import shipped_hosts
from fototeca.collect.sources import SourceContext, list_keys
from fototeca.core.errors import EXIT_USAGE, FototecaError
from fototeca.core.workspace import Workspace
from tests.collect.conftest import PointTo
from tests.collect.hub_server import SECRET
from tests.conftest import Fototeca
from tests.servers import ReceivedRequest, Site, StubResponse, json_response, serve
from tests.trusting import trust

SOURCES = {
    "flickr": "FLICKR_API_KEY",
    "pexels": "PEXELS_API_KEY",
    "pixabay": "PIXABAY_API_KEY",
    "unsplash": "UNSPLASH_ACCESS_KEY",
}


def test_every_service_with_a_key_has_a_shipped_host() -> None:
    """Except Kaggle, whose clients contain their endpoint."""
    assert {name for name in list_keys() if not shipped_hosts(name)} == {"kaggle"}
    assert shipped_hosts("flickr") == {"www.flickr.com"}


@pytest.mark.parametrize(
    ("url", "named", "allowed"),
    [
        ("https://api.example/v1", (), True),
        ("HTTPS://API.Example./v1", (), True),
        ("https://api.example:443/v1", (), True),
        ("http://api.example/v1", (), False),
        ("http://api.example:443/v1", (), False),
        ("https://api.example:8443/v1", (), False),
        ("https://evil.example/api.example", (), False),
        ("https://api.example.evil.example/", (), False),
        ("https://api.example@evil.example/", (), False),
        ("https://api.example:443@evil.example/", (), False),
        ("https://evil.example#@api.example/", (), False),
        ("https://evil.example?@api.example/", (), False),
        ("https://xn--pi-7iA.example/", (), False),
        ("ftp://api.example/", (), False),
        ("api.example", (), False),
        ("https:///api.example", (), False),
        ("https://mirror.example/", ("mirror.example",), True),
        ("https://mirror.example:8443/", ("mirror.example",), True),
        ("https://mirror.example:8443/", ("mirror.example:8443",), True),
        ("https://mirror.example:8444/", ("mirror.example:8443",), False),
        ("https://Mirror.example/", ("MIRROR.example",), True),
        ("https://sub.mirror.example/", ("mirror.example",), False),
        ("http://mirror.example/", ("mirror.example",), False),
        ("http://127.0.0.1:8000/", ("127.0.0.1",), True),
        ("http://[::1]:8000/", ("[::1]",), True),
        ("http://localhost/", ("localhost",), True),
        ("http://127.0.0.1.evil.example/", ("127.0.0.1.evil.example",), False),
        ("http://127.0.0.1:8000/", (), False),
    ],
)
def test_hosts_that_may_receive_a_key(url: str, named: tuple[str, ...], allowed: bool) -> None:
    """Other spellings of a host are the same host; a host inside other parts of a URL is not."""
    hosts = KeyHosts("some", frozenset({"api.example"}), named)
    assert hosts.allows(url) is allowed
    if not allowed:
        with pytest.raises(FototecaError) as refused:
            hosts.check(url)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", ["https://mirror.example", "mirror.example/api", "a b", "", "user@host", "host:port", "a\\b"])
def test_flag_takes_a_host_only(host: str) -> None:
    """A URL would suggest that its path counts."""
    with pytest.raises(FototecaError, match=r"--send-key-to .* is not a host"):
        FetchOptions(send_key_to=(host,))


@pytest.mark.parametrize("source", SOURCES)
def test_source_sends_no_key_to_an_endpoint_that_is_not_named(
    point_to: PointTo, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Not even to a trusted site file's, and no request is made at all."""
    monkeypatch.setenv(SOURCES[source], SECRET)
    with serve(lambda request: json_response({})) as site:
        workspace = point_to(source, site.base)
        for base in (site.base, "https://evil.example", "http://api.flickr.com"):
            workspace = workspace if base == site.base else _repoint(workspace, source, base)
            with pytest.raises(FototecaError, match=rf"the key of {source} is not sent to") as refused:
                search_sources(workspace, SearchOptions((source,)), FetchOptions(allow_loopback=True))
            assert refused.value.exit_code == EXIT_USAGE
        assert not site.requests


def _repoint(workspace: Workspace, source: str, base: str) -> Workspace:
    file = workspace.root / "sites" / f"{source}.toml"
    file.write_text(re.sub(r'(?m)^endpoint = ".*"', f'endpoint = "{base}/"', file.read_text()))
    trust(workspace)
    return workspace


def test_named_endpoint_gets_the_key(point_to: PointTo, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its flag, for this command."""
    monkeypatch.setenv("PEXELS_API_KEY", SECRET)
    with serve(lambda request: json_response({"photos": [], "total_results": 0})) as site:
        options = FetchOptions(allow_loopback=True, send_key_to=("127.0.0.1",))
        search_sources(point_to("pexels", site.base), SearchOptions(("pexels",)), options)
        assert site.requests[0].headers["Authorization"] == SECRET


def test_roboflow_needs_the_flag(workspace: Workspace, site: Site) -> None:
    """Every request carries the key."""
    context = SourceContext(workspace, FetchOptions(allow_loopback=True))
    for call in (
        lambda: get_hub("roboflow").find_datasets("cats", context),
        lambda: get_hub("roboflow").download("alice/pets", workspace.cache, context),
    ):
        with pytest.raises(FototecaError, match=r"the key of roboflow is not sent to .*pass --send-key-to 127.0.0.1:\d+"):
            call()
    assert not site.requests


def test_huggingface_is_used_without_the_key(workspace: Workspace, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A mirror of public datasets needs none; that it is not sent is said."""
    context = SourceContext(workspace, FetchOptions(allow_loopback=True))
    assert get_hub("huggingface").find_datasets("cats", context)
    assert site.requests
    assert not any(SECRET in str(request) for request in site.requests)
    assert "the key of huggingface is not sent to 127.0.0.1" in capsys.readouterr().err


def test_key_of_the_command_line(point_to: PointTo, monkeypatch: pytest.MonkeyPatch, fototeca: Fototeca) -> None:
    """One line and exit 2 without the flag; the flag is an option of every command that uses keys."""
    monkeypatch.setenv("FLICKR_API_KEY", SECRET)
    received = list[ReceivedRequest]()

    def respond(request: ReceivedRequest) -> StubResponse:
        received.append(request)
        return json_response({"photos": {"photo": [], "total": 0}, "stat": "ok"})

    with serve(respond) as site:
        workspace = point_to("flickr", site.base)
        command = ("collect", "search", "flickr", "--allow-loopback")
        refused = fototeca(*command, cwd=workspace.root)
        assert refused.returncode == EXIT_USAGE
        assert refused.stderr.count("\n") == 1
        assert "pass --send-key-to 127.0.0.1:" in refused.stderr
        assert SECRET not in refused.stderr + refused.stdout
        assert not received
        fototeca(*command, "--send-key-to", "127.0.0.1", cwd=workspace.root)
        assert received
