"""The search engines in a real browser, on pages in each site's structure."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

from collect.catalog import Catalog, Finding
from collect.download import FetchOptions
from collect.search import SearchOptions, search
from collect.sources import Context, Query, get_source
from collect.web import SourceStop
from tests.collect.conftest import PointTo
from tests.servers import Answer, Asked, Respond, json_answer, picture_answer, serve
from workspace import FototecaError, Workspace

PAGES = Path(__file__).parent / "pages"
LOCAL = FetchOptions(allow_local=True, min_side=32)


def google(kind: str = "", total: int = 14) -> Respond:
    """Google's page of results; `kind`: changed, none, captcha."""

    def respond(asked: Asked) -> Answer:
        if asked.path == "/search" and kind == "captcha":
            return Answer(status=302, headers={"Location": "/sorry/index?continue=x"})
        if asked.path == "/search":
            page = (PAGES / "google.html").read_text()
            told = {"$QUERY": asked.query["q"], "$TOTAL": str(0 if kind == "none" else total), "$BASE": asked.base, "$KIND": kind}
            for name, value in told.items():
                page = page.replace(name, value)
            return Answer(page.encode())
        return picture_answer(asked) or Answer(b"gone", status=404)

    return respond


def bing(kind: str = "", total: int = 50) -> Respond:
    """Bing's lists of results; past the end it repeats the last one. `kind`: changed, none."""

    def tile(base: str, number: int) -> str:
        facts = {
            "murl": f"{base}/full/{number}.jpg",
            "turl": f"{base}/thumbs/{number}.jpg",
            "purl": f"https://example.org/{number}",
        }
        if number % 7 == 6:
            del facts["murl"]
        return f'<li><a class="{"other" if kind == "changed" else "iusc"}" m="{html.escape(json.dumps(facts))}">x</a></li>'

    def respond(asked: Asked) -> Answer:
        if asked.path == "/images/async":
            start = min(int(asked.query["first"]) - 1, (total - 1) // 35 * 35)
            numbers = [] if kind == "none" else range(start, min(total, start + 35))
            if kind == "changed":
                numbers = range(3)
            tiles = "\n".join(tile(asked.base, number) for number in numbers)
            empty = '<div class="no_results">No results found for fox</div>' if kind == "none" else ""
            page = (PAGES / "bing.html").read_text().replace("$TILES", tiles).replace("$EMPTY", empty)
            return Answer(page.replace('m="', 'n="').encode() if kind == "changed" else page.encode())
        return picture_answer(asked) or Answer(b"gone", status=404)

    return respond


def duckduckgo(kind: str = "", total: int = 25) -> Respond:
    """DuckDuckGo's page with its token, and its lists. `kind`: changed (no token), none, refused."""

    def respond(asked: Asked) -> Answer:
        if asked.path == "/":
            token = "" if kind == "changed" else 'DDG.init({vqd="4-1234567890"});'
            page = (PAGES / "duckduckgo.html").read_text().replace("$QUERY", asked.query["q"]).replace("$TOKEN", token)
            return Answer(page.encode())
        if asked.path == "/i.js":
            if asked.query.get("vqd") != "4-1234567890" or kind == "refused":
                return Answer(b"If this error persists", status=403)
            start = int(asked.query.get("s", "0"))
            numbers = range(start, min(start + 10, 0 if kind == "none" else total))
            results = [
                {
                    "image": f"{asked.base}/full/{n}.jpg",
                    "url": f"https://example.org/{n}",
                    "width": 640,
                    "height": 480,
                    "title": "x",
                }
                for n in numbers
            ]
            onward = {"next": f"i.js?q={asked.query['q']}&o=json&s={start + 10}"} if start + 10 < total else {}
            return json_answer({"results": results, **onward})
        return picture_answer(asked) or Answer(b"gone", status=404)

    return respond


ENDPOINTS = {"google": "/search", "bing": "/images/async", "duckduckgo": "/"}


def findings(source: str, workspace: Workspace) -> list[Finding]:
    """Everything a source yields for one query."""
    context = Context(workspace, LOCAL)
    try:
        return list(get_source(source)(Query("fox", "red fox"), context))
    finally:
        context.close()


def test_google_opens_every_tile_and_scrolls_to_the_end(point_to: PointTo) -> None:
    """Refuses in the consent dialog, presses each tile, takes its link, its panel or its thumbnail, and all batches."""
    with serve(google()) as site:
        found = findings("google", point_to("google", f"{site.base}/search"))
    assert [finding.rank for finding in found] == list(range(14))
    by_kind = {kind: [f for f in found if f.rank % 5 == kind] for kind in range(5)}
    assert all(f.url == f"{site.base}/full/{f.rank}.jpg" and f.width == 640 for kind in (0, 1, 2) for f in by_kind[kind])
    assert all(f.url == f"{site.base}/full/{f.rank}.jpg" and f.width is None and not f.thumbnail for f in by_kind[3])
    assert all(f.url == f"{site.base}/thumbs/{f.rank}.jpg" and f.thumbnail for f in by_kind[4])
    assert {f.page_url for f in by_kind[0] + by_kind[3]} == {f"https://example.org/page/{n}" for n in (0, 3, 5, 8, 10, 13)}
    assert {f.license for f in found} == {"unknown"}
    assert not any(asked.path == "/accepted" for asked in site.asked)
    assert site.asked[0].query["udm"] == "2"


def test_bing_reads_list_after_list(point_to: PointTo) -> None:
    """All results once, with their pages; a result without its own address counts as a thumbnail."""
    with serve(bing()) as site:
        found = findings("bing", point_to("bing", f"{site.base}/images/async"))
    assert [f.rank for f in found] == list(range(50))
    assert [f.rank for f in found if f.thumbnail] == [6, 13, 20, 27, 34, 41, 48]
    assert found[1].url == f"{site.base}/full/1.jpg"
    assert found[1].page_url == "https://example.org/1"
    pages = [asked.query for asked in site.asked if asked.path == "/images/async"]
    assert [query["first"] for query in pages] == ["1", "36", "51"]
    assert {query["qft"] for query in pages} == {"+filterui:photo-photo"}


def test_bing_is_asked_for_large_pictures_where_they_are_wanted(point_to: PointTo) -> None:
    """What would be too small is not even found."""
    with serve(bing("none")) as site:
        context = Context(point_to("bing", f"{site.base}/images/async"), FetchOptions(allow_local=True, min_side=600))
        try:
            assert list(get_source("bing")(Query("fox", "red fox"), context)) == []
        finally:
            context.close()
    assert [asked.query["qft"] for asked in site.asked if asked.path == "/images/async"] == [
        "+filterui:photo-photo+filterui:imagesize-custom_600_600"
    ]


def test_duckduckgo_follows_its_own_lists(point_to: PointTo) -> None:
    """The page's token opens the list, which goes on until there is no next."""
    with serve(duckduckgo()) as site:
        found = findings("duckduckgo", point_to("duckduckgo", f"{site.base}/"))
    assert [f.url for f in found] == [f"{site.base}/full/{n}.jpg" for n in range(25)]
    assert found[3].width == 640
    assert sum(asked.path == "/i.js" for asked in site.asked) == 3


@pytest.mark.parametrize(
    ("source", "respond"),
    [
        ("google", google("changed")),
        ("bing", bing("changed")),
        ("duckduckgo", duckduckgo("changed")),
        ("duckduckgo", duckduckgo("refused")),
    ],
    ids=["google", "bing", "duckduckgo-token", "duckduckgo-list"],
)
def test_a_changed_page_is_a_loud_error_that_can_be_looked_at(source: str, respond: Respond, point_to: PointTo) -> None:
    """Never a quiet zero: one line, exit code 4, and the page with a screenshot."""
    with serve(respond) as site:
        workspace = point_to(source, site.base + ENDPOINTS[source])
        with pytest.raises(FototecaError, match="the site may have changed") as caught:
            findings(source, workspace)
    assert caught.value.exit_code == 4
    saved = sorted(path.suffix for path in (workspace.cache / "pages").iterdir())
    assert saved == [".html", ".png"]


@pytest.mark.parametrize(
    ("source", "respond"), [("google", google("none")), ("bing", bing("none")), ("duckduckgo", duckduckgo("none"))]
)
def test_a_page_that_says_it_has_nothing_is_no_error(source: str, respond: Respond, point_to: PointTo) -> None:
    """Nothing found is an answer when the page says so."""
    with serve(respond) as site:
        assert findings(source, point_to(source, site.base + ENDPOINTS[source])) == []


def test_a_captcha_stops_the_source_and_the_next_one_is_asked(point_to: PointTo, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody solves it; a person is told, the source is not asked again in this run, and the others are."""
    with serve(google("captcha")) as site:
        workspace = point_to("google", f"{site.base}/search")
        with pytest.raises(SourceStop, match="prove that a person is there"):
            findings("google", workspace)
        config = workspace.config.read_text().replace('queries = ["fox"]', 'queries = ["fox", "red fox"]')
        workspace.config.write_text(config)
        with serve(bing(total=12)) as other:
            text = (Path("collect/sites/bing.toml").read_text()).replace("https://www.bing.com", other.base)
            (workspace.root / "sites" / "bing.toml").write_text(text.replace("pause = 1.0", "pause = 0.0"))
            before = len(site.asked)
            summary = search(Workspace(workspace.root), SearchOptions(("google", "bing")), LOCAL)
            asked = [request for request in site.asked[before:] if request.path == "/search"]
    assert summary.accepted == 12
    assert len(asked) == 1
    assert len(summary.problems) == 1
    assert "google" in capsys.readouterr().err
    with Catalog.open(workspace) as catalog:
        assert {place.source for image in catalog.images() for place in catalog.findings(image.image_id)} == {"bing"}
