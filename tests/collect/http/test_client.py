"""Redirects and names that lead to forbidden pages or private addresses."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fototeca.collect.catalog import Provenance
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.collect.sources import SourceContext
from fototeca.collect.status import workspace_status
from fototeca.core.workspace import Workspace, create_workspace
from tests.servers import ReceivedRequest, Respond, StubResponse, image_response, serve

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=5)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One category."""
    return create_workspace(tmp_path / "w", ["fox"])


def rejected(workspace: Workspace, *urls: str, options: FetchOptions = LOCAL) -> tuple[int, dict[str, int]]:
    """How many of the addresses were accepted, and why the others were not."""
    accepted = ingest_provenances(workspace, [Provenance(url, "urls", "fox") for url in urls], options).accepted
    total = workspace_status(workspace).total
    return accepted, {**total.rejected, **total.failed}


def ruled(rules: str, status: int = 200) -> Respond:
    """A site of images with a robots.txt; /to?url=… leads elsewhere."""

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/robots.txt":
            return StubResponse(rules.encode(), "text/plain", status)
        if request.path == "/to":
            return StubResponse(status=302, headers={"Location": request.query["url"]})
        return image_response(request) or StubResponse(status=404)

    return respond


def test_redirect_to_another_host_reads_its_robots_first(workspace: Workspace) -> None:
    """A forbidden target is not requested; an allowed one comes after robots.txt."""
    with serve(ruled("User-agent: *\nDisallow: /full/1.jpg\n")) as other, serve(ruled("")) as site:
        urls = [f"{site.base}/to?url={other.base}/full/{number}.jpg" for number in (1, 2)]
        assert rejected(workspace, *urls) == (1, {"robots": 1})
        assert [request.path for request in other.requests] == ["/robots.txt", "/full/2.jpg"]


def test_redirect_to_forbidden_path_of_same_host_is_refused(workspace: Workspace) -> None:
    """From an allowed path to a forbidden one."""
    with serve(ruled("User-agent: *\nDisallow: /full/\n")) as site:
        assert rejected(workspace, f"{site.base}/to?url=/full/1.jpg") == (0, {"robots": 1})
        assert [request.path for request in site.requests] == ["/robots.txt", "/to"]


def test_timeout_covers_all_redirects_together(workspace: Workspace) -> None:
    """Each hop is within the limit, their sum is not."""

    def respond(request: ReceivedRequest) -> StubResponse:
        hop = request.path.removeprefix("/hop/")
        if not hop.isdigit():
            return image_response(request) or StubResponse(status=404)
        time.sleep(0.4)
        return StubResponse(status=302, headers={"Location": "/full/1.jpg" if hop == "1" else f"/hop/{int(hop) - 1}"})

    with serve(respond) as site:
        assert rejected(workspace, f"{site.base}/hop/4", options=replace(LOCAL, timeout=1)) == (0, {"timeout": 1})


@pytest.mark.parametrize("status", [429, 500, 503])
def test_unreadable_robots_forbids_the_host(workspace: Workspace, status: int) -> None:
    """A busy or broken host may forbid anything (RFC 9309, section 2.3.1.4)."""
    with serve(ruled("", status)) as site:
        assert rejected(workspace, f"{site.base}/full/1.jpg") == (0, {f"http-{status}": 1})
        assert {request.path for request in site.requests} == {"/robots.txt"}


INSIDE = ["10.0.0.1", "169.254.169.254", "fd00::1", "fe80::1", "::ffff:192.168.0.1", "64:ff9b::a00:1", "2002:a00:1::", "0.0.0.0"]


@pytest.mark.parametrize("address", INSIDE)
def test_name_that_resolves_to_private_address_is_refused(
    workspace: Workspace, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a list and in a redirect, in every form of address, also beside a public one."""
    known = socket.getaddrinfo

    def resolve(host: str, *more: int, **named: int) -> list[Any]:
        if not host.endswith(".example"):
            return known(host, *more, **named)
        private = (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
        return [private, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with serve(ruled("")) as site:
        urls = ["http://inside.example/a.jpg", "https://inside.example/b.jpg", f"{site.base}/to?url=http://other.example/c.jpg"]
        assert rejected(workspace, *urls) == (0, {"private-address": 3})


def test_browser_cannot_reach_loopback_without_the_option(workspace: Workspace) -> None:
    """Chromium would otherwise bypass the proxy for loopback addresses."""
    with serve(lambda request: StubResponse(b"inside")) as site:
        context = SourceContext(workspace, FetchOptions())
        try:
            for host in ("127.0.0.1", "localhost"):
                address = site.base.replace("127.0.0.1", host)
                context.window.load(f"data:text/html,<img src='{address}/a.jpg' onerror='document.title=\"refused\"'>")
                assert context.window.script("return document.title") == "refused"
        finally:
            context.close()
        assert context.proxy.refused_hosts == {"127.0.0.1", "localhost"}
        assert not site.requests
