"""Politeness of downloads: robots.txt, concurrency, rate limits, Retry-After and circuit breaker."""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fototeca.collect.catalog import Provenance
from fototeca.collect.http.client import Downloader
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.http.throttle import BURST, RATE, Hosts
from fototeca.collect.ingest.pipeline import ingest_provenances, retry_candidates
from fototeca.collect.status import workspace_status
from fototeca.core.workspace import Workspace, create_workspace
from tests.servers import ReceivedRequest, Respond, StubResponse, image_response, jpeg, serve

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=10)


RULES = b"User-agent: *\nDisallow: /private/\n"
GZIP, DEFLATE = {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace of two categories."""
    return create_workspace(tmp_path / "w", ["fox", "dog"], target=100)


def serve_images(request: ReceivedRequest) -> StubResponse:
    """Serve image N at `/ANYTHING/N.jpg`; there is no robots.txt."""
    name = request.path.rpartition("/")[2].removesuffix(".jpg")
    return StubResponse(jpeg(int(name)), "image/jpeg") if name.isdigit() else StubResponse(status=404)


def count_concurrency(counts: Counter[str]) -> Respond:
    """Respond while counting the requests in progress and their maximum."""
    lock = threading.Lock()

    def respond(request: ReceivedRequest) -> StubResponse:
        with lock:
            counts["running"] += 1
            counts["maximum"] = max(counts["maximum"], counts["running"])
        time.sleep(0.02)
        with lock:
            counts["running"] -= 1
        return serve_images(request)

    return respond


def test_robots_txt_is_fetched_first_and_per_host_limits_concurrency(workspace: Workspace) -> None:
    """The first request to a host is robots.txt; at most `per_host` requests run at once."""
    counts: Counter[str] = Counter()
    with serve(count_concurrency(counts)) as site:
        provenances = [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(40)]
        options = FetchOptions(allow_loopback=True, min_side=32, per_host=3)
        assert ingest_provenances(workspace, provenances, options).accepted == 40
        assert site.requests[0].path == "/robots.txt"
        assert sum(request.path == "/robots.txt" for request in site.requests) == 1
        assert "fototeca/" in site.requests[1].headers["User-Agent"]
    assert counts["maximum"] == 3


@pytest.mark.parametrize(
    "rules",
    [
        StubResponse(RULES, "text/plain", headers={"X-Robots-Tag": "noindex"}),
        StubResponse(gzip.compress(RULES), "text/plain", headers=GZIP),
        StubResponse(gzip.compress(b"") + gzip.compress(RULES) + bytes(512), "text/plain", headers=GZIP),
        StubResponse(gzip.compress(RULES) + b"\r\nmore", "text/plain", headers=GZIP),
        StubResponse(zlib.compress(RULES), "text/plain", headers=DEFLATE),
        StubResponse(zlib.compress(RULES, wbits=-15), "text/plain", headers=DEFLATE),
        StubResponse(RULES, "text/plain", headers=GZIP),
        StubResponse(RULES, "text/plain", headers=DEFLATE),
        StubResponse(RULES + b"Disallow: /\xf1/\n", "text/plain", headers=GZIP),
        StubResponse(RULES + b"# more\n" * 200_000, "text/plain"),
        StubResponse(gzip.compress(RULES + b"#\n" * 40_000_000, 1), "text/plain", headers=GZIP),
    ],
    ids=[
        "noindex",
        "gzip",
        "members",
        "followed",
        "deflate",
        "raw-deflate",
        "not-gzip",
        "not-deflate",
        "latin-1",
        "long",
        "bomb",
    ],
)
def test_robots_txt_applies_with_any_encoding(workspace: Workspace, rules: StubResponse) -> None:
    """Rules apply with noindex, compression, other charsets and more bytes than are read."""
    with serve(lambda request: rules if request.path == "/robots.txt" else serve_images(request)) as site:
        places = [Provenance(f"{site.base}/{path}", "site", "fox") for path in ("private/1.jpg", "open/2.jpg")]
        summary = ingest_provenances(workspace, places, LOCAL)
        assert [request.path for request in site.requests] == ["/robots.txt", "/open/2.jpg"]
    assert summary.count("rejected", "robots") == 1 and summary.accepted == 1


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (RULES, {"Content-Encoding": "br"}),
        (gzip.compress(RULES)[:-12], GZIP),
        (b"\x80", DEFLATE),
        (b"\xff" * 99, DEFLATE),
        (bytes(9), GZIP),
    ],
    ids=["unknown", "cut-off", "begun", "noise", "zeros"],
)
def test_undecodable_robots_txt_forbids_everything(workspace: Workspace, body: bytes, headers: dict[str, str]) -> None:
    """Unknown or incomplete compression may hide any rule."""
    rules = StubResponse(body, "text/plain", headers=headers)
    with serve(lambda request: rules if request.path == "/robots.txt" else serve_images(request)) as site:
        summary = ingest_provenances(workspace, [Provenance(f"{site.base}/2.jpg", "site", "fox")], LOCAL)
    assert summary.count("failed", "encoded") == 1


def test_slow_host_does_not_block_other_hosts(workspace: Workspace) -> None:
    """Threads that wait for a crawl delay do not occupy the pool."""
    order: list[str] = []

    def slow(request: ReceivedRequest) -> StubResponse:
        if request.path == "/robots.txt":
            return StubResponse(b"User-agent: *\nCrawl-delay: 0.4\n", "text/plain")
        order.append("slow")
        return serve_images(request)

    def quick(request: ReceivedRequest) -> StubResponse:
        order.append("quick")
        return serve_images(request)

    with serve(slow) as slow_site, serve(quick) as quick_site:
        places = [Provenance(f"{slow_site.base}/{number}.jpg", "site", "fox") for number in range(12)]
        places.append(Provenance(f"{quick_site.base}/20.jpg", "site", "fox"))
        assert ingest_provenances(workspace, places, replace(LOCAL, concurrency=3, per_host=2)).accepted == 13
    assert order.index("quick") < 4, order


def test_crawl_delay_is_respected(workspace: Workspace) -> None:
    """The mean pause between requests is at least the Crawl-delay of robots.txt."""
    times: list[float] = []

    def respond(request: ReceivedRequest) -> StubResponse:
        times.append(time.monotonic())
        return (
            StubResponse(b"User-agent: *\nCrawl-delay: 0.3\n", "text/plain")
            if request.path == "/robots.txt"
            else serve_images(request)
        )

    with serve(respond) as site:
        provenances = [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(4)]
        assert ingest_provenances(workspace, provenances, LOCAL).accepted == 4
    assert (times[-1] - times[0]) / (len(times) - 1) >= 0.29, "single pauses vary with thread scheduling"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_circuit_breaker_opens_after_repeated_server_errors(workspace: Workspace, status: int) -> None:
    """The remaining candidates fail with host-down without a request; other hosts continue; a retry fetches them."""
    is_broken = threading.Event()
    is_broken.set()

    def respond(request: ReceivedRequest) -> StubResponse:
        return StubResponse(status=status) if is_broken.is_set() and request.path != "/robots.txt" else serve_images(request)

    with serve(respond) as site, serve(serve_images) as other:
        provenances = [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(30)]
        provenances += [Provenance(f"{other.base}/{100 + n}.jpg", "urls", "fox") for n in range(5)]
        options = FetchOptions(allow_loopback=True, min_side=32, per_host=1)
        summary = ingest_provenances(workspace, provenances, options)
        assert summary.accepted == 5
        assert len(site.requests) < 15
        failed = workspace_status(workspace).categories["fox"].failed
        assert failed["host-down"] > 20
        is_broken.clear()
        assert retry_candidates(workspace, ["host-down"], options).accepted == failed["host-down"]


def test_rate_limit_after_the_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests beyond the burst wait for a token."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    host = Hosts(4)["https://example.org/"]
    host.refilled_at = time.monotonic()
    waits = [host._take_token() for _ in range(int(BURST) + 1)]
    assert waits == [0.0] * int(BURST) + [1 / RATE]


def test_retry_after_pauses_the_whole_host(tmp_path: Path) -> None:
    """Retry-After applies to the host, not to one image."""
    times: list[float] = []
    lock = threading.Lock()

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/robots.txt":
            return StubResponse(status=404)
        with lock:
            times.append(time.monotonic())
            if len(times) == 1:
                return StubResponse(status=429, headers={"Retry-After": "1"})
        return image_response(request) or StubResponse(status=404)

    workspace = create_workspace(tmp_path / "w", ["fox"])
    with serve(respond) as site:
        findings = [Provenance(f"{site.base}/full/{number}.jpg", "urls", "fox") for number in range(4)]
        options = FetchOptions(allow_loopback=True, min_side=32, per_host=1)
        assert ingest_provenances(workspace, findings, options).accepted == 4
    assert len(times) == 5
    assert times[1] - times[0] > 0.9, "nobody request meanwhile"


def test_retry_after_does_not_count_towards_the_timeout() -> None:
    """The deadline of a download is suspended during the pause."""
    answers = [StubResponse(status=429, headers={"Retry-After": "1"})]
    with serve(
        lambda request: answers.pop() if answers and request.path == "/a.jpg" else StubResponse(jpeg(1), "image/jpeg")
    ) as site:
        assert Downloader(FetchOptions(allow_loopback=True, timeout=0.6), "").fetch(f"{site.base}/a.jpg").data == jpeg(1)
