"""Search engines in a real browser, on pages with each site's structure."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

import fototeca.collect.sites
from fototeca.collect.api.client import SourceStoppedError
from fototeca.collect.catalog import Catalog, Provenance
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.search import SearchOptions, search_sources
from fototeca.collect.sources import Query, SourceContext, get_source
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from tests.collect.conftest import PointTo
from tests.servers import ReceivedRequest, Respond, StubResponse, image_response, json_response, serve
from tests.trusting import trust

PAGES = Path(__file__).parent / "pages"
LOCAL = FetchOptions(allow_loopback=True, min_side=32)


def google(kind: str = "", total: int = 14) -> Respond:
    """Google's page of results; `kind`: changed, bare (no address in any tile), older (other names), none, captcha,
    consent (on a page of its own), accept (consent that cannot be refused)."""

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/search" and kind == "captcha":
            return StubResponse(status=302, headers={"Location": "/sorry/index?continue=x"})
        if request.path == "/search" and kind == "consent" and "consent=no" not in request.headers.get("Cookie", ""):
            return StubResponse(status=302, headers={"Location": "/ml?continue=x"})
        if request.path == "/ml":
            choices = "<button name='c' value='yes'>Accept</button><button name='c' value='no' aria-label='Reject all'>R</button>"
            return StubResponse(f"<form action='/consent/save'>{choices}</form>".encode())
        if request.path == "/consent/save":
            return StubResponse(b"Thank you", headers={"Set-Cookie": f"consent={request.query['c']}; path=/"})
        if request.path == "/search":
            page = (PAGES / "google.html").read_text()
            told = {
                "$QUERY": request.query["q"],
                "$TOTAL": str(0 if kind == "none" else total),
                "$BASE": request.base,
                "$KIND": kind,
            }
            for name, value in told.items():
                page = page.replace(name, value)
            if kind == "accept":  # there is nothing that refuses
                page = page.replace('<button id="W0wltc">Reject all</button>', "").replace("'#W0wltc'", "'#L2AGLb'")
            return StubResponse(page.encode())
        return image_response(request) or StubResponse(b"gone", status=404)

    return respond


def bing(kind: str = "", total: int = 50) -> Respond:
    """Bing's lists of results; past the end it repeats the last one. `kind`: changed, older (other names), none, odd, captcha."""

    def tile(base: str, number: int) -> str:
        facts = {
            "murl": f"{base}/full/{number}.jpg",
            "turl": f"{base}/thumbs/{number}.jpg",
            "purl": f"https://example.org/{number}",
        }
        if number % 7 == 6:
            del facts["murl"]
        name = "other" if kind in ("changed", "older") else "iusc"
        return f'<li><a class="{name}" m="{html.escape(json.dumps(facts))}">x</a></li>'

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/images/async" and kind == "captcha":
            return StubResponse(b"<div id='captcha'>Are you human?</div>")
        if request.path == "/images/async":
            start = min(int(request.query["first"]) - 1, (total - 1) // 35 * 35)
            numbers = [] if kind == "none" else range(start, min(total, start + 35))
            if kind == "changed":
                numbers = range(3)
            tiles = "\n".join(tile(request.base, number) for number in numbers)
            empty = '<div class="no_results">No results found for fox</div>' if kind == "none" else ""
            if kind == "odd":
                tiles += '<a class="iusc" m="[1]">x</a><a class="iusc" m="{">x</a><a class="iusc" m="null">x</a>'
            page = (PAGES / "bing.html").read_text().replace("$TILES", tiles).replace("$EMPTY", empty)
            return StubResponse(page.replace('m="', 'n="').encode() if kind == "changed" else page.encode())
        return image_response(request) or StubResponse(b"gone", status=404)

    return respond


def duckduckgo(kind: str = "", total: int = 25) -> Respond:
    """DuckDuckGo's page and lists. `kind`: changed (no token), a way to write the token, none, emptied,
    refused, gone, captcha, alert."""
    shown = {"none": '<p class="no-results">No results found</p>', "captcha": '<form id="challenge-form">Are you human?</form>'}

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/":
            token = "" if kind == "changed" else kind if "vqd" in kind else 'DDG.init({vqd="4-1234567890"});'
            page = (PAGES / "duckduckgo.html").read_text().replace("$QUERY", request.query["q"]).replace("$TOKEN", token)
            page = page.replace("$SHOWN", shown.get(kind, "Images"))
            return StubResponse((page + ("<script>alert('Hello')</script>" if kind == "alert" else "")).encode())
        if request.path == "/i.js":
            if request.query.get("vqd") != "4-1234567890" or kind == "refused":
                return StubResponse(b"If this error persists", status=403)
            if kind == "gone":
                return StubResponse(status=302, headers={"Location": "http://127.0.0.1:1/"})
            start = int(request.query.get("s", "0"))
            numbers = range(start, min(start + 10, 0 if kind in ("none", "emptied") else total))
            results = [
                {
                    "image": f"{request.base}/full/{n}.jpg",
                    "url": f"https://example.org/{n}",
                    "width": 640,
                    "height": 480,
                    "title": "x",
                }
                for n in numbers
            ]
            onward = {"next": f"i.js?q={request.query['q']}&o=json&s={start + 10}"} if start + 10 < total else {}
            return json_response({"results": results, **onward})
        return image_response(request) or StubResponse(b"gone", status=404)

    return respond


ENDPOINTS = {"google": "/search", "bing": "/images/async", "duckduckgo": "/"}


def findings(source: str, workspace: Workspace) -> list[Provenance]:
    """Everything a source yields for one query."""
    context = SourceContext(workspace, LOCAL)
    try:
        return list(get_source(source)(Query("fox", "red fox"), context))
    finally:
        context.close()


def test_google_opens_every_tile_and_scrolls_to_the_end(point_to: PointTo) -> None:
    """Refuses consent, clicks each tile, uses its link, its panel or its thumbnail, in all batches."""
    with serve(google()) as site:
        found = findings("google", point_to("google", f"{site.base}/search"))
    assert [finding.rank for finding in found] == list(range(14))
    by_kind = {kind: [f for f in found if f.rank % 5 == kind] for kind in range(5)}
    assert all(f.url == f"{site.base}/full/{f.rank}.jpg" and f.width == 640 for kind in (0, 1, 2) for f in by_kind[kind])
    assert all(f.url == f"{site.base}/full/{f.rank}.jpg" and f.width is None and not f.thumbnail for f in by_kind[3])
    assert all(f.url == f"{site.base}/thumbs/{f.rank}.jpg" and f.thumbnail for f in by_kind[4])
    assert {f.page_url for f in by_kind[0] + by_kind[3]} == {f"https://example.org/page/{n}" for n in (0, 3, 5, 8, 10, 13)}
    assert {f.license for f in found} == {"unknown"}
    assert not any(request.path == "/accepted" for request in site.requests)
    assert site.requests[0].query["udm"] == "2"


def test_bing_reads_all_pages(point_to: PointTo) -> None:
    """All results once, with their pages; a result without image URL counts as a thumbnail."""
    with serve(bing()) as site:
        found = findings("bing", point_to("bing", f"{site.base}/images/async"))
    assert [f.rank for f in found] == list(range(50))
    assert [f.rank for f in found if f.thumbnail] == [6, 13, 20, 27, 34, 41, 48]
    assert found[1].url == f"{site.base}/full/1.jpg"
    assert found[1].page_url == "https://example.org/1"
    pages = [request.query for request in site.requests if request.path == "/images/async"]
    assert [query["first"] for query in pages] == ["1", "36", "51"]
    assert {query["qft"] for query in pages} == {"+filterui:photo-photo"}


def test_bing_filters_by_min_side(point_to: PointTo) -> None:
    """Images below --min-side are excluded from the search."""
    with serve(bing("none")) as site:
        context = SourceContext(point_to("bing", f"{site.base}/images/async"), FetchOptions(allow_loopback=True, min_side=600))
        try:
            assert list(get_source("bing")(Query("fox", "red fox"), context)) == []
        finally:
            context.close()
    assert [request.query["qft"] for request in site.requests if request.path == "/images/async"] == [
        "+filterui:photo-photo+filterui:imagesize-custom_600_600"
    ]


def test_duckduckgo_follows_its_lists(point_to: PointTo) -> None:
    """The page's token opens the first list; each names the next one."""
    with serve(duckduckgo()) as site:
        found = findings("duckduckgo", point_to("duckduckgo", f"{site.base}/"))
    assert [f.url for f in found] == [f"{site.base}/full/{n}.jpg" for n in range(25)]
    assert found[3].width == 640
    assert sum(request.path == "/i.js" for request in site.requests) == 3


@pytest.mark.parametrize(
    ("source", "respond"),
    [
        ("google", google("changed")),
        ("google", google("bare", total=4)),
        ("google", google("bare")),
        ("bing", bing("changed")),
        ("duckduckgo", duckduckgo("changed")),
        ("duckduckgo", duckduckgo("refused")),
        ("duckduckgo", duckduckgo("emptied")),
    ],
    ids=[
        "google",
        "google-few-without-address",
        "google-many-without-address",
        "bing",
        "duckduckgo-token",
        "duckduckgo-list",
        "duckduckgo-empty",
    ],
)
def test_changed_page_is_an_error_with_a_saved_page(source: str, respond: Respond, point_to: PointTo) -> None:
    """One line, exit code 4, page and screenshot saved."""
    with serve(respond) as site:
        workspace = point_to(source, site.base + ENDPOINTS[source])
        with pytest.raises(FototecaError, match="the site may have changed") as caught:
            findings(source, workspace)
    assert caught.value.exit_code == 4
    saved = sorted(path.suffix for path in (workspace.cache / "pages").iterdir())
    assert saved == [".html", ".png"]


@pytest.mark.parametrize(
    ("source", "respond", "count"),
    [
        ("google", google("older", total=3), 3),
        ("bing", bing("older", total=3), 3),
        ("duckduckgo", duckduckgo("vqd='4-1234567890'", total=3), 3),
        ("duckduckgo", duckduckgo("x('/d.js?vqd=4-1234567890&p=1')", total=3), 3),
        ("duckduckgo", duckduckgo('{"vqd":"4-1234567890"}', total=3), 3),
    ],
    ids=["google", "bing", "duckduckgo-quotes", "duckduckgo-address", "duckduckgo-json"],
)
def test_site_file_fallbacks_are_tried_in_order(source: str, respond: Respond, count: int, point_to: PointTo) -> None:
    """Selectors and patterns."""
    with serve(respond) as site:
        found = findings(source, point_to(source, site.base + ENDPOINTS[source]))
    assert [f.url.rpartition("/")[2] for f in found] == [f"{number}.jpg" for number in range(count)]
    assert not any(f.thumbnail for f in found)


@pytest.mark.parametrize(
    ("source", "respond"), [("google", google("none")), ("bing", bing("none")), ("duckduckgo", duckduckgo("none"))]
)
def test_page_that_states_no_results_is_not_an_error(source: str, respond: Respond, point_to: PointTo) -> None:
    """The page itself says that there are none."""
    with serve(respond) as site:
        assert findings(source, point_to(source, site.base + ENDPOINTS[source])) == []


@pytest.mark.parametrize(("source", "respond"), [("bing", bing("captcha")), ("duckduckgo", duckduckgo("captcha"))])
def test_captcha_is_recognized_per_engine(source: str, respond: Respond, point_to: PointTo) -> None:
    """Each engine shows its own kind."""
    with serve(respond) as site, pytest.raises(SourceStoppedError, match="shows a CAPTCHA"):
        findings(source, point_to(source, site.base + ENDPOINTS[source]))


def test_google_consent_page_is_refused(point_to: PointTo) -> None:
    """The refusing button is pressed, and the search is loaded again."""
    with serve(google("consent", total=3)) as site:
        assert len(findings("google", point_to("google", f"{site.base}/search"))) == 3
        assert [request.path for request in site.requests if request.path in ("/search", "/ml")] == ["/search", "/ml", "/search"]


def test_google_consent_without_refusal_is_accepted(point_to: PointTo) -> None:
    """Without it no result is shown."""
    with serve(google("accept", total=3)) as site:
        assert len(findings("google", point_to("google", f"{site.base}/search"))) == 3


def test_alert_is_dismissed(point_to: PointTo) -> None:
    """The search continues."""
    with serve(duckduckgo("alert", total=5)) as site:
        assert len(findings("duckduckgo", point_to("duckduckgo", f"{site.base}/"))) == 5


def test_browser_errors_are_one_line(point_to: PointTo) -> None:
    """Exit code 4 instead of Selenium's exception."""
    with serve(duckduckgo("gone")) as site:
        workspace = point_to("duckduckgo", f"{site.base}/")
        with pytest.raises(FototecaError, match="the browser could not run a script") as stop:
            findings("duckduckgo", workspace)
    assert stop.value.exit_code == 4
    assert "\n" not in str(stop.value)


def test_malformed_results_are_skipped(point_to: PointTo) -> None:
    """A result that is not a record of an image does not end the search."""
    with serve(bing("odd", total=4)) as site:
        assert [f.rank for f in findings("bing", point_to("bing", f"{site.base}/images/async"))] == [0, 1, 2, 3]


def test_endless_results_stop_at_the_maximum(point_to: PointTo) -> None:
    """A page with new results forever stops at `max_results` of its site file."""
    with serve(google(total=40)) as site:
        workspace = point_to("google", f"{site.base}/search")
        file = workspace.root / "sites" / "google.toml"
        file.write_text(file.read_text().replace("max_results = 1000", "max_results = 8"))
        trust(workspace)
        assert len(findings("google", workspace)) == 8


def test_bing_filters_by_claimed_license(point_to: PointTo) -> None:
    """The license stays unknown, and an engine without such a filter is refused."""
    with serve(bing(total=3)) as site:
        workspace = point_to("bing", f"{site.base}/images/async")
        assert search_sources(workspace, SearchOptions(("bing",), license="claimed"), LOCAL).accepted == 3
        request = {request.query["qft"] for request in site.requests if request.path == "/images/async"}
        with pytest.raises(FototecaError, match="google has no license filter"):
            search_sources(workspace, SearchOptions(("google",), license="claimed"), LOCAL)
    assert request == {"+filterui:photo-photo+filterui:license-L2_L3_L4"}
    with Catalog.open(workspace) as catalog:
        assert {place.license for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id)} == {
            "unknown"
        }


def test_captcha_stops_the_source_and_not_the_others(point_to: PointTo, capsys: pytest.CaptureFixture[str]) -> None:
    """It is reported; the source is not used again in this run."""
    with serve(google("captcha")) as site:
        workspace = point_to("google", f"{site.base}/search")
        with pytest.raises(SourceStoppedError, match="shows a CAPTCHA"):
            findings("google", workspace)
        config = workspace.config.read_text().replace('queries = ["fox"]', 'queries = ["fox", "red fox"]')
        workspace.config.write_text(config)
        with serve(bing(total=12)) as other:
            text = (
                (Path(fototeca.collect.sites.__file__).parent / "bing.toml")
                .read_text()
                .replace("https://www.bing.com", other.base)
            )
            (workspace.root / "sites" / "bing.toml").write_text(text.replace("pause = 1.0", "pause = 0.0"))
            trust(workspace)
            before = len(site.requests)
            summary = search_sources(Workspace(workspace.root), SearchOptions(("google", "bing")), LOCAL)
            request = [request for request in site.requests[before:] if request.path == "/search"]
    assert summary.accepted == 12
    assert len(request) == 1
    assert len(summary.problems) == 1
    assert "google" in capsys.readouterr().err
    with Catalog.open(workspace) as catalog:
        assert {place.source for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id)} == {
            "bing"
        }
