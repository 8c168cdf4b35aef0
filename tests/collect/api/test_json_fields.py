"""Responses of image services without images: no results, exhausted quota, busy server, changed format."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from fototeca.collect.api.client import JsonResponse, ServiceClient, SourceStoppedError
from fototeca.collect.api.quotas import read_quotas
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import FototecaError
from tests.collect.conftest import PointTo
from tests.collect.sources.test_services import KEYS, SECRET, SHAPES, commons, findings, inaturalist, service
from tests.servers import ReceivedRequest, Respond, StubResponse, json_response, serve
from tests.trusting import trust

SERVICES = [*SHAPES, "commons", "inaturalist"]
MISSING = object()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every service has its key."""
    for name in KEYS.values():
        monkeypatch.setenv(name, SECRET)


def stand_in(source: str, total: int) -> Respond:
    """The service with so many results."""
    return {"commons": commons, "inaturalist": inaturalist}.get(source, lambda count: service(source, count))(total)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:  # noqa: ANN401
    """Every field of an answer; of a list only the first entry."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for name, part in inside:
        yield (*path, name)
        yield from places(part, (*path, name))


def changed(value: Any, path: tuple[str | int, ...], instead: object) -> Any:  # noqa: ANN401
    """A copy with one field changed, or without it."""
    made = copy.deepcopy(value)
    inner = made
    for name in path[:-1]:
        inner = inner[name]
    if instead is MISSING:
        del inner[path[-1]]
    else:
        inner[path[-1]] = instead
    return made


@pytest.mark.parametrize("source", SERVICES)
def test_every_field_may_be_missing_or_malformed(source: str, point_to: PointTo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field of a response, missing or of another type, gives valid provenances or one error line."""
    requests: list[Mapping[str, Any]] = []

    def respond(client: ServiceClient, url: str, params: Any = None, **more: Any) -> JsonResponse:  # noqa: ANN401
        query = {name: str(value) for name, value in (params or {}).items()}
        headers = {"User-Agent": "me@example.org", **(more.get("headers") or {})}
        requests.append(query)
        received = ReceivedRequest("/api", query, headers, b"", "http://example.org")
        return JsonResponse(json.loads(stand_in(source, 3)(received).body), {})

    monkeypatch.setattr(ServiceClient, "request_json", respond)
    workspace = point_to(source, "http://example.org/api")
    whole = findings(source, workspace)
    assert len(whole) >= 3 and requests
    good = respond(ServiceClient(SourceContext(workspace, FetchOptions()).downloader, source), "", requests[0]).document
    num_errors = 0
    for path in places(good):
        for instead in (MISSING, None, "x", -3.5, [1], {"a": [None]}):
            response = JsonResponse(changed(good, path, instead), {})
            monkeypatch.setattr(ServiceClient, "request_json", lambda *_, response=response, **__: response)
            try:
                found = findings(source, workspace)
            except FototecaError as error:
                num_errors += 1
                assert error.exit_code == 4 and "\n" not in str(error), (path, instead)
                continue
            for finding in found:
                texts = (finding.url, finding.page_url, finding.author, finding.license, finding.license_found, finding.original)
                assert all(isinstance(one, str) for one in texts), (path, instead, finding)
                sizes = (finding.width, finding.height)
                assert all(one is None or isinstance(one, int) for one in sizes), (path, instead, finding)
    assert num_errors >= 6, "required fields"


@pytest.mark.parametrize("source", SERVICES)
def test_zero_results_are_not_an_error(source: str, point_to: PointTo) -> None:
    """A service may report a total of 0."""
    with serve(stand_in(source, 0)) as site:
        assert findings(source, point_to(source, f"{site.base}/api")) == []


@pytest.mark.parametrize(
    ("source", "document"),
    [
        ("commons", {}),
        ("commons", {"query": []}),
        ("commons", {"query": {"pages": {}}}),
        ("inaturalist", {"total_results": 7, "results": []}),
        (
            "inaturalist",
            {"total_results": 1, "results": [{"id": 1, "photos": [{"url": "http://e.org/1.jpg", "licence": "cc0"}]}]},
        ),
        *((source, {}) for source in SHAPES),
    ],
)
def test_missing_results_are_an_error(source: str, document: object, point_to: PointTo) -> None:
    """The error names the site file to fix."""
    told = rf"returned an unexpected response.*sites/{source}\.toml"
    with serve(lambda request: json_response(document)) as site, pytest.raises(FototecaError, match=told) as stop:
        findings(source, point_to(source, f"{site.base}/api"))
    assert stop.value.exit_code == 4


@pytest.mark.parametrize("source", SERVICES)
def test_exhausted_quota_stops_the_source(source: str, point_to: PointTo) -> None:
    """The error states the service's Retry-After, and doctor shows the quota."""
    gone = json_response({}, 429, Retry_After="3600", X_RateLimit_Limit="200", X_RateLimit_Remaining="0")
    with serve(lambda request: gone) as site:
        with pytest.raises(SourceStoppedError, match="quota is exhausted; try again in 3600 s"):
            findings(source, point_to(source, f"{site.base}/api"))
        assert len(site.requests) == 1
    assert read_quotas()[source].remaining == "0"


@pytest.mark.parametrize(
    ("code", "message"), [(100, "rejected the key; check FLICKR_API_KEY"), (105, "request failed: error 105")]
)
def test_flickr_reports_errors_with_status_200(code: int, message: str, point_to: PointTo) -> None:
    """The error code is in the document."""
    failure = json_response({"stat": "fail", "code": code, "message": f"bad key {SECRET}"})
    with serve(lambda request: failure) as site, pytest.raises(FototecaError, match=message) as stop:
        findings("flickr", point_to("flickr", f"{site.base}/api"))
    assert SECRET not in str(stop.value)


@pytest.mark.parametrize(("busy", "found"), [(1, 60), (9, None)])
def test_commons_is_retried_while_busy(busy: int, found: int | None, point_to: PointTo) -> None:
    """maxlag is retried a few times after the requested wait."""
    left = [busy]

    def respond(request: ReceivedRequest) -> StubResponse:
        if left[0]:
            left[0] -= 1
            return json_response({"error": {"code": "maxlag", "info": "waiting"}}, Retry_After="0.01")
        return commons(60)(request)

    with serve(respond) as site:
        workspace = point_to("commons", f"{site.base}/api")
        file = workspace.root / "sites" / "commons.toml"
        file.write_text(file.read_text().replace("busy_wait = 5.0", "busy_wait = 0.01"))
        trust(workspace)
        if found:
            assert len(findings("commons", workspace)) == found
        else:
            with pytest.raises(FototecaError, match="commons is busy: maxlag; try again later"):
                findings("commons", workspace)
            assert len(site.requests) == 3


@pytest.mark.parametrize("name", ["Retry-After", "retry-after"])
def test_commons_retry_after_is_case_insensitive(name: str, point_to: PointTo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies may write header names in lower case."""
    waited: list[float] = []
    monkeypatch.setattr(ServiceClient, "pause_host", lambda web, url, seconds: waited.append(seconds))
    busy = StubResponse(json.dumps({"error": {"code": "maxlag"}}).encode(), "application/json", headers={name: "7"})
    answers = iter([busy])
    with serve(lambda request: next(answers, None) or commons(60)(request)) as site:
        assert len(findings("commons", point_to("commons", f"{site.base}/api"))) == 60
    assert waited == [7]
