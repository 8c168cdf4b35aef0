"""Search: queries, sources, limits, license filter, problems and previews."""

from __future__ import annotations

from collections import Counter

import pytest

import fototeca.cli
from fototeca.collect.catalog import Catalog
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.search import SearchOptions, preview_search, search_sources
from fototeca.collect.sources import Query, SourceContext, get_source
from fototeca.core.workspace import Workspace
from tests.collect.conftest import PointTo
from tests.collect.sources.test_services import inaturalist, openverse
from tests.servers import ReceivedRequest, Respond, StubResponse, image_response, json_response, serve

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=5)


def library(**counts: int) -> Respond:
    """Simulate Openverse with `counts` images for each query; images of different queries differ."""

    def respond(request: ReceivedRequest) -> StubResponse:
        if image := image_response(request):
            return image
        first = 1000 * list(counts).index(request.query["q"])
        page, size = int(request.query["page"]), int(request.query["page_size"])
        total = counts[request.query["q"]]
        numbers = range(first, first + total)[(page - 1) * size : page * size]
        return json_response({"results": [openverse(request.base, number) for number in numbers], "result_count": total})

    return respond


def with_queries(workspace: Workspace, *queries: str) -> Workspace:
    """Return the workspace with these queries for its category."""
    listed = ", ".join(f'"{query}"' for query in queries)
    workspace.config.write_text(workspace.config.read_text().replace('queries = ["fox"]', f"queries = [{listed}]"))
    return Workspace(workspace.root)


def test_next_query_is_used_when_one_is_exhausted(point_to: PointTo) -> None:
    """Queries after the one that reaches the target are not sent."""
    with serve(library(fox=30, zorro=300, renard=30)) as site:
        workspace = with_queries(point_to("openverse", site.base), "fox", "zorro", "renard")
        assert search_sources(workspace, SearchOptions(("openverse",)), LOCAL).accepted == 100
    assert list(dict.fromkeys(request.query["q"] for request in site.requests if "q" in request.query)) == ["fox", "zorro"]
    with Catalog.open(workspace) as catalog:
        found = Counter(place.query for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id))
    assert found == {"fox": 30, "zorro": 70}


def test_limit_applies_per_query(point_to: PointTo) -> None:
    """Pages beyond the limit are not requested."""
    with serve(library(fox=90, zorro=90)) as site:
        workspace = with_queries(point_to("openverse", site.base), "fox", "zorro")
        assert search_sources(workspace, SearchOptions(("openverse",), limit=7), LOCAL).candidates == 14
    assert [request.query["page"] for request in site.requests if "q" in request.query] == ["1", "1"]


def test_inaturalist_filters_licenses_in_the_request(point_to: PointTo) -> None:
    """The commercial filter is part of the query."""
    with serve(inaturalist(0)) as site:
        context = SourceContext(point_to("inaturalist", site.base), LOCAL)
        assert list(get_source("inaturalist")(Query("fox", "Vulpes", commercial=True), context)) == []
    assert site.requests[0].query["photo_license"] == "cc0,cc-by,cc-by-sa,cc-by-nd"


def test_shortfall_covers_requested_categories_only(
    point_to: PointTo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A search that reaches the target of its category exits 0 whatever other categories lack."""
    with serve(library(fox=9)) as site:
        workspace = point_to("openverse", site.base)
        config = workspace.config.read_text().replace("target = 100", "target = 5")
        workspace.config.write_text(f'{config}\n[categories.dog]\nqueries = ["dog"]\n')
        monkeypatch.chdir(workspace.root)
        arguments = ["fototeca", "collect", "search", "openverse", "--category", "fox", "--allow-loopback", "--min-side", "32"]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as stop:
            fototeca.cli.main()
    assert (stop.value.code, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize(("good", "code"), [("", 4), ("zorro", 3)], ids=["none answers", "one answers"])
def test_each_problem_is_printed_once(
    point_to: PointTo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], good: str, code: int
) -> None:
    """One line per failed query, whether another query succeeds or the last failure ends the command."""
    answer = library(zorro=1)

    def refuse(request: ReceivedRequest) -> StubResponse:
        return answer(request) if request.query.get("q", good) == good else json_response({}, 400)

    with serve(refuse) as site:
        workspace = with_queries(point_to("openverse", site.base), "fox", "zorro", "renard")
        monkeypatch.chdir(workspace.root)
        monkeypatch.setattr("sys.argv", ["fototeca", "collect", "search", "openverse", "--allow-loopback"])
        with pytest.raises(SystemExit) as stop:
            fototeca.cli.main()
    stderr = capsys.readouterr().err
    assert stop.value.code == code, stderr
    assert stderr.count("openverse request failed") == 3 - bool(good), stderr


def test_candidates_excluded_by_license_are_counted(
    point_to: PointTo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary gives their number."""
    with serve(library(fox=9)) as site:
        workspace = point_to("openverse", site.base)
        monkeypatch.setattr("fototeca.collect.search.allows_commercial", lambda _: False)
        monkeypatch.chdir(workspace.root)
        arguments = ["fototeca", "collect", "search", "openverse", "--license", "commercial", "--allow-loopback"]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit):
            fototeca.cli.main()
    assert capsys.readouterr().out.startswith("0 candidates, 0 already known, 0 accepted; 9 more excluded by their license\n")


def test_preview_counts_candidates_like_the_search(point_to: PointTo) -> None:
    """Two spellings of one URL are one candidate; an image found for two categories counts for each."""
    answer = library(fox=1)

    def respond(request: ReceivedRequest) -> StubResponse:
        if image := image_response(request):
            return image
        one, other = openverse(request.base, 1), openverse(request.base, 1)
        other["url"] = f"{other['url']}#again"
        return (
            json_response({"results": [one, other], "result_count": 2}) if request.query.get("page") == "1" else answer(request)
        )

    with serve(respond) as site:
        workspace = point_to("openverse", site.base)
        workspace.config.write_text(f'{workspace.config.read_text()}\n[categories.dog]\nqueries = ["fox"]\n')
        counted = preview_search(Workspace(workspace.root), SearchOptions(("openverse",), limit=2), LOCAL)
    assert {category: row.candidates for category, row in counted.items()} == {"fox": 1, "dog": 1}
