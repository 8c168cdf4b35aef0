"""Image services against local stand-ins: paging, licenses, quotas, changed responses, keys."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fototeca.collect.sites
import fototeca.collect.sources
from fototeca.collect.api.client import SourceStoppedError
from fototeca.collect.api.quotas import read_quotas, save_quota
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.search import PREVIEW_FACTOR, SearchOptions, preview_search, search_sources
from fototeca.collect.sources import Query, SourceContext, get_source, load_sources
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.versions.freeze import freeze_version
from tests.collect.conftest import PointTo
from tests.servers import ReceivedRequest, Respond, StubResponse, image_response, json_response, serve
from tests.trusting import trust

LOCAL = FetchOptions(allow_loopback=True, send_key_to=("127.0.0.1",), min_side=32)
SECRET = "s3cret-key-value"
KEYS = {
    "flickr": "FLICKR_API_KEY",
    "pexels": "PEXELS_API_KEY",
    "pixabay": "PIXABAY_API_KEY",
    "unsplash": "UNSPLASH_ACCESS_KEY",
}
Item = Callable[[str, int], dict[str, Any]]


def openverse(base: str, n: int) -> dict[str, Any]:
    """A result as Openverse lists it."""
    kind, version = [("by", "2.0"), ("by-nc", "4.0"), ("cc0", "1.0")][n % 3]
    path = "publicdomain/zero" if kind == "cc0" else f"licenses/{kind}"
    return {
        "id": str(n),
        "url": f"{base}/full/{n}.jpg",
        "foreign_landing_url": f"https://example.org/{n}",
        "creator": f"Author {n}",
        "license": kind,
        "license_version": version,
        "license_url": f"https://creativecommons.org/{path}/{version}/",
        "width": 640,
        "height": 480,
    }


def flickr(base: str, n: int) -> dict[str, Any]:
    """A photo as Flickr lists it; every third is not to be had at 1,024 pixels."""
    sizes = {"url_l": f"{base}/full/{n}.jpg", "width_l": 1024, "height_l": "768"} if n % 3 else {"url_z": f"{base}/full/{n}.jpg"}
    return {"id": str(n), "owner": "12@N01", "ownername": f"Author {n}", "license": str([4, 2, 0][n % 3]), **sizes}


def pexels(base: str, n: int) -> dict[str, Any]:
    """A photo as Pexels lists it."""
    return {"id": n, "url": f"https://example.org/{n}", "photographer": f"Author {n}", "src": {"large2x": f"{base}/full/{n}.jpg"}}


def unsplash(base: str, n: int) -> dict[str, Any]:
    """A photo as Unsplash lists it."""
    author = {"name": f"Author {n}"}
    return {"urls": {"regular": f"{base}/full/{n}.jpg"}, "links": {"html": f"https://example.org/{n}"}, "user": author}


def pixabay(base: str, n: int) -> dict[str, Any]:
    """A hit as Pixabay lists it."""
    return {"largeImageURL": f"{base}/full/{n}.jpg", "pageURL": f"https://example.org/{n}", "user": f"Author {n}"}


SHAPES: dict[str, tuple[Item, Callable[[list[Any], int], dict[str, Any]], str, str]] = {
    "openverse": (openverse, lambda items, total: {"results": items, "result_count": total}, "q", "page_size"),
    "flickr": (flickr, lambda items, total: {"photos": {"photo": items, "total": total}, "stat": "ok"}, "text", "per_page"),
    "pexels": (pexels, lambda items, total: {"photos": items, "total_results": total}, "query", "per_page"),
    "unsplash": (unsplash, lambda items, total: {"results": items, "total": total}, "query", "per_page"),
    "pixabay": (pixabay, lambda items, total: {"hits": items, "totalHits": total}, "q", "per_page"),
}


def service(source: str, total: int) -> Respond:
    """Return the stand-in of a service with numbered pages, which requires its key."""
    item, document, query, size = SHAPES[source]

    def respond(request: ReceivedRequest) -> StubResponse:
        if image := image_response(request):
            return image
        sent = {"flickr": request.query.get("api_key"), "pixabay": request.query.get("key"), "openverse": SECRET}.get(
            source, request.headers.get("Authorization", "").removeprefix("Client-ID ")
        )
        if sent != SECRET:
            return json_response({"error": f"invalid key {sent}"}, 401)
        assert request.query[query] == "red fox"
        count, number = int(request.query[size]), int(request.query["page"])
        items = [item(request.base, n) for n in range((number - 1) * count, min(number * count, total))]
        return json_response(document(items, total), X_RateLimit_Limit="200", X_RateLimit_Remaining=str(200 - number))

    return respond


def commons(total: int) -> Respond:
    """MediaWiki's search of files, with its way of going on."""

    def respond(request: ReceivedRequest) -> StubResponse:
        if image := image_response(request):
            return image
        assert request.query["gsrsearch"] == "filetype:bitmap red fox"
        told = {name: request.query[name] for name in ("generator", "gsrnamespace", "prop")}
        assert told == {"generator": "search", "gsrnamespace": "6", "prop": "imageinfo"}
        assert "extmetadata" in request.query["iiprop"]
        assert "me@example.org" in request.headers["User-Agent"]
        start = int(request.query.get("gsroffset", "0"))
        pages = [_file(request.base, n) for n in range(start, min(start + 50, total))]
        onward = {"continue": {"gsroffset": start + 50, "continue": "gsroffset||"}} if start + 50 < total else {}
        return json_response({"query": {"pages": list(reversed(pages))}, **onward} if pages else {"batchcomplete": True})

    return respond


def _file(base: str, n: int) -> dict[str, Any]:
    facts = {
        "LicenseShortName": {"value": "CC BY-SA 4.0"},
        "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
        "Artist": {"value": f'<a href="//example.org">Author &amp; {n}</a>'},
    }
    info = {"url": f"{base}/original/{n}.jpg", "thumburl": f"{base}/full/{n}.jpg", "thumbwidth": 1280, "thumbheight": 853}
    return {"index": n + 1, "imageinfo": [{**info, "descriptionurl": f"https://example.org/{n}", "extmetadata": facts}]}


def inaturalist(total: int) -> Respond:
    """Observations of two images each, one of them without a licence in every fourth."""

    def respond(request: ReceivedRequest) -> StubResponse:
        if image := image_response(request):
            return image
        assert request.query["quality_grade"] == "research"
        assert request.query["photo_license"].startswith("cc0,cc-by,cc-by-sa")
        above = int(request.query["id_above"])
        ids = [n for n in range(1, total + 1) if n > above][:200]
        return json_response({"total_results": total, "results": [_observation(request.base, n) for n in ids]})

    return respond


def _observation(base: str, n: int) -> dict[str, Any]:
    photos = [
        {"id": 2 * n + k, "url": f"{base}/full/{2 * n + k}.jpg", "license_code": None if n % 4 == 0 and k else "cc-by-nc"}
        for k in (0, 1)
    ]
    return {"id": n, "user": {"login": f"author{n}"}, "photos": photos}


NEW_SOURCE = """
from fototeca.collect.catalog import Provenance
from fototeca.collect.sources.metadata import SourceInfo

INFO = SourceInfo("quokka", "API", "nothing", "none", "none stated", "its own")


def search(query, context):
    endpoint = context.site("quokka")["endpoint"]
    for rank, path in enumerate(context.client("quokka").fetch_json(endpoint)):
        yield Provenance(endpoint + path, "quokka", query.category, query=query.text, rank=rank)
"""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every service has its key, unless a test says otherwise."""
    for name in KEYS.values():
        monkeypatch.setenv(name, SECRET)


def findings(source: str, workspace: Workspace) -> list[Any]:
    """Everything a source yields for one query."""
    return list(get_source(source)(Query("fox", "red fox"), SourceContext(workspace, LOCAL)))


@pytest.mark.parametrize(
    ("source", "total", "expected", "pages"),
    [("openverse", 95, 95, 5), ("openverse", 9999, 240, 12), ("flickr", 600, 600, 3), ("pexels", 170, 170, 3),
     ("unsplash", 61, 61, 3), ("pixabay", 9000, 500, 3)],
)  # fmt: skip
def test_pages_are_read_up_to_the_maximum(source: str, total: int, expected: int, pages: int, point_to: PointTo) -> None:
    """All results once and in order, with page and author, in the minimum of requests."""
    with serve(service(source, total)) as site:
        found = findings(source, point_to(source, f"{site.base}/api"))
    assert [finding.url for finding in found] == [f"{site.base}/full/{n}.jpg" for n in range(expected)]
    assert [finding.rank for finding in found] == list(range(len(found)))
    assert found[7].author == "Author 7"
    assert found[7].page_url.startswith("https://")
    assert len(site.requests) == pages


def test_licenses_are_spdx_and_as_found(point_to: PointTo) -> None:
    """Openverse's license URLs, Flickr's numbers, house licenses; all rights reserved is unknown."""
    with serve(service("openverse", 3)) as site:
        workspace = point_to("openverse", f"{site.base}/api")
        assert [finding.license for finding in findings("openverse", workspace)] == ["CC-BY-2.0", "CC-BY-NC-4.0", "CC0-1.0"]
    with serve(service("flickr", 3)) as site:
        found = findings("flickr", _repoint(workspace, "flickr", site.base))
    assert [(f.license, f.license_found) for f in found] == [
        ("CC-BY-2.0", "CC BY 2.0"), ("CC-BY-NC-2.0", "CC BY-NC 2.0"), ("unknown", "all rights reserved")
    ]  # fmt: skip
    assert [(f.width, f.height) for f in found] == [(None, None), (1024, 768), (1024, 768)]


def _repoint(workspace: Workspace, source: str, base: str) -> Workspace:
    text = (Path(fototeca.collect.sites.__file__).parent / f"{source}.toml").read_text()
    lines = [f'endpoint = "{base}/api"' if line.startswith("endpoint") else line for line in text.splitlines()]
    lines = ["pause = 0.0" if line.startswith("pause") else line for line in lines]
    (workspace.root / "sites" / f"{source}.toml").write_text("\n".join(lines))
    trust(workspace)
    return workspace


def test_commons_follows_its_continuation(point_to: PointTo) -> None:
    """Several responses, in search order, with thumbnails of the requested width and authors without HTML."""
    with serve(commons(120)) as site:
        found = findings("commons", point_to("commons", f"{site.base}/api"))
    assert [finding.rank for finding in found] == list(range(120))
    assert found[3].url == f"{site.base}/full/3.jpg"
    assert (found[3].width, found[3].author, found[3].license) == (1280, "Author & 3", "CC-BY-SA-4.0")
    assert site.requests[0].query["iiurlwidth"] == "1280"
    assert len(site.requests) == 3


def test_inaturalist_groups_images_by_observation(point_to: PointTo) -> None:
    """Pages by id; images without a license are left out; one observation is one `original`."""
    with serve(inaturalist(250)) as site:
        found = findings("inaturalist", point_to("inaturalist", f"{site.base}/api"))
    assert len(found) == 2 * 250 - 250 // 4
    assert [request.query["id_above"] for request in site.requests] == ["0", "200"]
    assert {f.original for f in found} == {f"inaturalist:{n}" for n in range(1, 251)}
    assert found[0].license == "CC-BY-NC-4.0"


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"other": []}, "no field 'results'"),
        ({"results": [], "result_count": 7}, "7 results, none of them in the response"),
        ({"results": [{"href": "x"}], "result_count": 1}, "no usable 'license'"),
        ({"results": {"a": 1}, "result_count": 1}, "the results are not a list"),
        ([1], "no field 'results'"),
    ],
)
def test_changed_response_error_names_the_missing_field(document: object, what: str, point_to: PointTo) -> None:
    """A changed format never counts as zero results."""
    with serve(lambda request: json_response(document)) as site:
        workspace = point_to("openverse", f"{site.base}/api")
        with pytest.raises(FototecaError, match=what) as caught:
            findings("openverse", workspace)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (StubResponse(b"<html>", status=200), "not JSON"),
        (json_response({}, 429, Retry_After="3600"), "the quota is exhausted"),
        (json_response({}, 403), "rejected the key"),
        (json_response({}, 418), "request failed: http-418"),
        (StubResponse(status=302, headers={"Location": "http://10.0.0.1/x"}), "request failed: redirected"),
    ],
)
def test_errors_do_not_show_the_query(answer: StubResponse, message: str, point_to: PointTo) -> None:
    """One line without the query that holds the key; a redirect does not carry the key elsewhere."""
    with serve(lambda request: answer) as site:
        workspace = point_to("flickr", f"{site.base}/api")
        with pytest.raises(FototecaError, match=message) as caught:
            findings("flickr", workspace)
    assert SECRET not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_rejected_key_is_stored_nowhere(point_to: PointTo, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither output nor files contain the key, after success and after failure."""
    with serve(service("flickr", 4)) as site:
        workspace = _queries(point_to("flickr", f"{site.base}/api"))
        assert search_sources(workspace, SearchOptions(("flickr",)), LOCAL).accepted == 4
    with serve(lambda request: json_response({"key": request.query["api_key"]}, 401)) as site, pytest.raises(SourceStoppedError):
        search_sources(_repoint(workspace, "flickr", site.base), SearchOptions(("flickr",)), LOCAL)
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err
    freeze_version(workspace)
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    assert len(files) > 6
    assert [path for path in files if path.name == "v001.csv"]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def _queries(workspace: Workspace) -> Workspace:
    workspace.config.write_text(workspace.config.read_text().replace('queries = ["fox"]', 'queries = ["red fox"]'))
    return Workspace(workspace.root)


def test_missing_key_or_contact_fails_before_any_request(point_to: PointTo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and the page that issues keys, or the contact setting."""
    monkeypatch.delenv("PEXELS_API_KEY")
    with serve(service("pexels", 3)) as site:
        workspace = point_to("pexels", f"{site.base}/api")
        with pytest.raises(FototecaError, match="set PEXELS_API_KEY; get one at https://www"):
            search_sources(workspace, SearchOptions(("pexels",)), LOCAL)
        workspace.config.write_text(workspace.config.read_text().replace("me@example.org", ""))
        with pytest.raises(FototecaError, match="commons needs a contact"):
            search_sources(Workspace(workspace.root), SearchOptions(("commons",)), LOCAL)
        assert not site.requests


def test_quotas_are_stored_for_doctor(point_to: PointTo) -> None:
    """From the headers of the last response."""
    with serve(service("pexels", 170)) as site:
        findings("pexels", point_to("pexels", f"{site.base}/api"))
    quota = read_quotas()["pexels"]
    assert (quota.remaining, quota.limit) == ("197", "200")


def test_commercial_filter_applies_at_the_source_and_again_here(point_to: PointTo) -> None:
    """Only licenses known to permit commercial use; sources without licenses are refused at once."""
    with serve(service("openverse", 9)) as site:
        workspace = _queries(point_to("openverse", f"{site.base}/api"))
        summary = search_sources(workspace, SearchOptions(("openverse",), license="commercial"), LOCAL)
        assert site.requests[0].query["license_type"] == "commercial"
        with pytest.raises(FototecaError, match="bing reports no licenses"):
            search_sources(workspace, SearchOptions(("bing",), license="commercial"), LOCAL)
    assert summary.accepted == 6
    with sqlite3.connect(workspace.catalog) as sql:
        assert {row[0] for row in sql.execute("SELECT license FROM provenance")} == {"CC-BY-2.0", "CC0-1.0"}


def test_dry_run_downloads_nothing(point_to: PointTo) -> None:
    """Candidates, licenses and sizes per category; the catalog stays empty."""
    with serve(service("openverse", 9)) as site:
        workspace = _queries(point_to("openverse", f"{site.base}/api"))
        told = preview_search(workspace, SearchOptions(("openverse",)), LOCAL)
        assert not [request for request in site.requests if request.path.startswith("/full")]
    assert told["fox"].candidates == 9
    assert told["fox"].licenses == {"CC-BY-2.0": 3, "CC-BY-NC-4.0": 3, "CC0-1.0": 3}
    assert told["fox"].sizes == {"640×480": 9}
    with sqlite3.connect(workspace.catalog) as sql:
        assert sql.execute("SELECT count(*) FROM candidates").fetchone()[0] == 0


def test_dry_run_stops_at_a_multiple_of_the_target(point_to: PointTo) -> None:
    """A source of hundreds of pages is not read to its end."""
    with serve(service("pixabay", 500)) as site:
        workspace = _queries(point_to("pixabay", site.base))
        told = preview_search(workspace, SearchOptions(("pixabay",)), LOCAL)
    assert told["fox"].candidates == PREVIEW_FACTOR * 100


def test_unwritable_quota_file_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is only information for doctor."""
    monkeypatch.setattr("fototeca.collect.api.quotas._file", lambda: Path("/proc/fototeca/quotas.json"))
    save_quota("flickr", {"X-RateLimit-Remaining": "7"})


def test_per_host_limit_covers_api_and_images(point_to: PointTo) -> None:
    """--per-host limits all requests to one host together."""
    answer, second = service("openverse", 40), threading.Event()
    lock, inside, most = threading.Lock(), [0], [0]

    def respond(request: ReceivedRequest) -> StubResponse:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        if request.query.get("page") == "2":
            second.set()
        elif request.path == "/full/0.jpg":
            second.wait(0.3)  # the next list is wanted meanwhile
        try:
            return answer(request)
        finally:
            with lock:
                inside[0] -= 1

    with serve(respond) as site:
        workspace = _queries(point_to("openverse", f"{site.base}/api"))
        assert search_sources(workspace, SearchOptions(("openverse",)), replace(LOCAL, per_host=1)).accepted == 40
    assert most == [1]


def test_new_source_is_one_module_and_one_site_file(point_to: PointTo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in docs/new-source.md: found by its module name."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "quokka.py").write_text(NEW_SOURCE)
    monkeypatch.setattr(fototeca.collect.sources, "__path__", [*fototeca.collect.sources.__path__, str(tmp_path / "new")])
    load_sources.cache_clear()
    try:
        with serve(lambda request: image_response(request) or json_response(["/full/1.jpg", "/full/2.jpg"])) as site:
            workspace = point_to("openverse", site.base)
            (workspace.root / "sites" / "quokka.toml").write_text(f'version = 1\nendpoint = "{site.base}"\n')
            trust(workspace)
            assert search_sources(workspace, SearchOptions(("quokka",)), LOCAL).accepted == 2
    finally:
        load_sources.cache_clear()
        sys.modules.pop("fototeca.collect.sources.quokka")


def test_exhausted_source_is_followed_by_the_next(point_to: PointTo) -> None:
    """No more images than the target; an image from two services has two provenances."""
    with serve(service("openverse", 30)) as first, serve(service("pixabay", 300)) as second:
        workspace = _queries(_repoint(point_to("openverse", f"{first.base}/api"), "pixabay", second.base))
        summary = search_sources(workspace, SearchOptions(("openverse", "pixabay")), LOCAL)
        fetched = [request.path for request in second.requests if request.path.startswith("/full")]
        before = len(first.requests) + len(second.requests)
        assert search_sources(workspace, SearchOptions(("openverse", "pixabay")), LOCAL).candidates == 0
        assert len(first.requests) + len(second.requests) == before, "who has enough asks nobody"
    assert len(fetched) == 100  # 30 of them are the very images that openverse gave
    assert summary.accepted == 100
    with sqlite3.connect(workspace.catalog) as sql:
        assert sql.execute("SELECT count(*) FROM images").fetchone()[0] == 100
        twice = (
            "SELECT image_id FROM candidates JOIN provenance USING (candidate_id) GROUP BY 1 HAVING count(DISTINCT source) = 2"
        )
        assert len(sql.execute(twice).fetchall()) == 30
