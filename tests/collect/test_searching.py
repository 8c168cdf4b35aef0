"""Searching on: the next query, the next source, a bound on candidates, and pauses that hold for a whole host."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import fototeca.cli
from fototeca.collect.catalog import Actor, Catalog, Edit, Provenance
from fototeca.collect.files.local_files import LabelSource
from fototeca.collect.host_id import MACHINE
from fototeca.collect.http.client import Downloader, FetchOptions
from fototeca.collect.http.throttle import BURST, RATE, Hosts
from fototeca.collect.hubs.discover import discover
from fototeca.collect.hubs.import_dataset import import_dataset
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.ingest.pipeline import collect
from fototeca.collect.search import SearchOptions, preview, search
from fototeca.collect.sources import Query, SourceContext, get_source
from fototeca.collect.status import write_attribution
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from tests.collect.conftest import PointTo
from tests.collect.hubs import REFS, Hubs
from tests.collect.test_services import inaturalist, openverse
from tests.servers import ReceivedRequest, Respond, Site, StubResponse, image_response, jpeg, json_response, serve

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=5)


def library(**counts: int) -> Respond:
    """A stand-in of Openverse that has so many images for each query, unlike those of the others."""

    def respond(request: ReceivedRequest) -> StubResponse:
        if image := image_response(request):
            return image
        first = 1000 * list(counts).index(request.query["q"])
        page, size = int(request.query["page"]), int(request.query["page_size"])
        total = counts[request.query["q"]]
        numbers = range(first, first + total)[(page - 1) * size : page * size]
        return json_response({"results": [openverse(request.base, number) for number in numbers], "result_count": total})

    return respond


def asking(workspace: Workspace, *queries: str) -> Workspace:
    """The workspace with these queries for its category."""
    listed = ", ".join(f'"{query}"' for query in queries)
    workspace.config.write_text(workspace.config.read_text().replace('queries = ["fox"]', f"queries = [{listed}]"))
    return Workspace(workspace.root)


def test_when_a_query_runs_dry_the_next_one_is_asked(point_to: PointTo) -> None:
    """Until the category has its target: then the last query is not asked at all."""
    with serve(library(fox=30, zorro=300, renard=30)) as site:
        workspace = asking(point_to("openverse", site.base), "fox", "zorro", "renard")
        assert search(workspace, SearchOptions(("openverse",)), LOCAL).accepted == 100
    assert list(dict.fromkeys(request.query["q"] for request in site.requests if "q" in request.query)) == ["fox", "zorro"]
    with Catalog.open(workspace) as catalog:
        found = Counter(place.query for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id))
    assert found == {"fox": 30, "zorro": 70}


def test_a_limit_bounds_the_candidates_of_each_query(point_to: PointTo) -> None:
    """Where somebody wants a few of each; pages beyond it are not asked for."""
    with serve(library(fox=90, zorro=90)) as site:
        workspace = asking(point_to("openverse", site.base), "fox", "zorro")
        assert search(workspace, SearchOptions(("openverse",), limit=7), LOCAL).found == 14
    assert [request.query["page"] for request in site.requests if "q" in request.query] == ["1", "1"]


def test_inaturalist_is_asked_for_what_permits_commercial_use(point_to: PointTo) -> None:
    """At the source, so that no page of the others is read."""
    with serve(inaturalist(0)) as site:
        context = SourceContext(point_to("inaturalist", site.base), LOCAL)
        assert list(get_source("inaturalist")(Query("fox", "Vulpes", commercial=True), context)) == []
    assert site.requests[0].query["photo_license"] == "cc0,cc-by,cc-by-sa,cc-by-nd"


def test_roboflow_is_asked_for_folders(workspace: Workspace, site: Site) -> None:
    """Of the forms of an export the one that tells classes by folders."""
    with pytest.raises(FototecaError, match="confirm it"):
        import_dataset(workspace, "roboflow", REFS["roboflow"], None, LOCAL)
    assert "/roboflow/alice/pets/2/folder" in [request.path for request in site.requests]


def test_kaggle_is_asked_for_the_version_that_is_written_down(workspace: Workspace, site: Site) -> None:
    """Between two questions there may come a newer one."""
    for ref, version in (("alice/pets", 7), ("alice/pets/versions/3", 3)):
        with pytest.raises(FototecaError, match="confirm it"):
            import_dataset(workspace, "kaggle", ref, None, LOCAL)
        (request,) = (request for request in site.requests if request.path.endswith("/DownloadDataset"))
        assert json.loads(request.body)["datasetVersionNumber"] == version
        site.requests.clear()


def test_what_figshare_only_links_to_is_left_out(workspace: Workspace, site: Site, hubs: Hubs) -> None:
    """A link leads to another site, under rules of its own."""
    files = "/figshare/5678/versions/3/files"
    listed = json.loads(hubs(ReceivedRequest(files, {"page_size": "9", "page": "1"}, {}, b"", site.base)).body)
    listed[0] |= {"is_link_only": True, "download_url": f"{site.base}/elsewhere"}
    hubs.instead[files] = json_response(listed)
    with pytest.raises(FototecaError, match="confirm it"):
        import_dataset(workspace, "figshare", REFS["figshare"], None, LOCAL)
    assert len(list(workspace.cache.rglob("*.jpg"))) == len(listed) - 1
    assert "/elsewhere" not in [request.path for request in site.requests]


@pytest.mark.parametrize("hub", REFS)
def test_a_title_that_was_cut_in_a_character_ends_nothing(workspace: Workspace, hubs: Hubs, hub: str) -> None:
    """It is kept, proposed and listed with a question mark in the place of the half."""
    hubs.title = "Cats \ud83d"
    with pytest.raises(FototecaError, match="confirm it"):
        import_dataset(workspace, hub, REFS[hub], None, LOCAL)
    assert "Cats ?" in discover(workspace, "cats", (hub,), LOCAL).table()


def test_only_the_categories_that_were_asked_for_are_told_as_short(
    point_to: PointTo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A search for one category that reaches its target has done what it should, whatever another one lacks."""
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
def test_what_goes_wrong_is_told_once(
    point_to: PointTo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], good: str, code: int
) -> None:
    """A line for each query that was refused, whether another one is answered or the last refusal is what ends the command."""
    answer = library(zorro=1)

    def refuse(request: ReceivedRequest) -> StubResponse:
        return answer(request) if request.query.get("q", good) == good else json_response({}, 400)

    with serve(refuse) as site:
        workspace = asking(point_to("openverse", site.base), "fox", "zorro", "renard")
        monkeypatch.chdir(workspace.root)
        monkeypatch.setattr("sys.argv", ["fototeca", "collect", "search", "openverse", "--allow-loopback"])
        with pytest.raises(SystemExit) as stop:
            fototeca.cli.main()
    said = capsys.readouterr().err
    assert stop.value.code == code, said
    assert said.count("openverse request failed") == 3 - bool(good), said


def test_a_host_is_asked_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first ones, each has to wait for its token."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    host = Hosts(4)["https://example.org/"]
    host.refilled_at = time.monotonic()
    waits = [host._take_token() for _ in range(int(BURST) + 1)]
    assert waits == [0.0] * int(BURST) + [1 / RATE]


def test_who_is_told_to_wait_keeps_all_from_asking(tmp_path: Path) -> None:
    """Retry-After holds for the host, not for the one image that met it."""
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
        assert collect(workspace, findings, options).accepted == 4
    assert len(times) == 5
    assert times[1] - times[0] > 0.9, "nobody asked meanwhile"


def test_a_pause_may_be_longer_than_a_download_may_take() -> None:
    """An image whose host asks for one waits it out; its time does not run meanwhile."""
    answers = [StubResponse(status=429, headers={"Retry-After": "1"})]
    with serve(
        lambda request: answers.pop() if answers and request.path == "/a.jpg" else StubResponse(jpeg(1), "image/jpeg")
    ) as site:
        assert Downloader(FetchOptions(allow_loopback=True, timeout=0.6), "").fetch(f"{site.base}/a.jpg").data == jpeg(1)


def test_attribution_tells_nothing_of_this_machine(tmp_path: Path) -> None:
    """A file goes with a published dataset: no folder of whoever collected is in it."""
    workspace = create_workspace(tmp_path / "w", ["fox"])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(jpeg(1))
    collect_folder(workspace, tmp_path / "photos", LabelSource("fox"), LOCAL)
    assert write_attribution(workspace, tmp_path / "ATTRIBUTION.csv") == 1
    with (tmp_path / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["source"], row["license"], row["image_url"]) == ("folder", "unknown", "")
    assert str(tmp_path) not in (tmp_path / "ATTRIBUTION.csv").read_text()


def test_a_label_of_a_person_is_not_changed_by_another_place(tmp_path: Path) -> None:
    """Found again under another category: with several labels a machine adds its own, and never to what a person decided."""
    workspace = create_workspace(tmp_path / "w", ["fox", "dog"], task="multi")
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(jpeg(number))
    collect_folder(workspace, tmp_path / "photos", LabelSource("fox"), LOCAL)
    with Catalog.open(workspace) as catalog:
        decided, rejected, _ = catalog.images.all()
        catalog.decisions.add(decided.image_id, Edit.relabel("fox"), by=Actor.person("me"), reason="seen")
        catalog.decisions.add(rejected.image_id, Edit.reject("off-topic"), by=Actor("rule", "x"), reason="seen")
    collect_folder(workspace, tmp_path / "photos", LabelSource("dog"), LOCAL)
    with Catalog.open(workspace) as catalog:
        assert [image.label for image in catalog.images.all()] == ["fox", "fox", "dog|fox"]


def test_what_a_killed_writer_left_is_swept_up(tmp_path: Path) -> None:
    """The half of an image goes with the next collection; what another process or another machine writes just now stays, and
    what is none of ours."""
    workspace = create_workspace(tmp_path / "w", ["fox"])
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    own, other = workspace.images / "incoming" / MACHINE, workspace.images / "incoming" / "0000"
    left, living = own / f".{gone.stdout.strip()}.ab.tmp", own / f".{os.getpid()}.cd.tmp"
    strange, elsewhere = own / ".syncthing.x.tmp", other / left.name
    old = other / ".1.ef.tmp"
    for path in (left, living, strange, elsewhere, old):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    collect(workspace, [], LOCAL)
    assert [path.exists() for path in (left, living, strange, elsewhere, old)] == [False, True, True, True, False]


def test_a_file_that_was_overwritten_is_another_image(tmp_path: Path) -> None:
    """Under a name that is known, as cameras number theirs anew; and one that was cut short and is whole by now is read again."""
    workspace, photos = create_workspace(tmp_path / "w", ["fox"]), tmp_path / "photos"
    photos.mkdir()
    (photos / "IMG_1.jpg").write_bytes(jpeg(1, 200))
    (photos / "IMG_2.jpg").write_bytes(jpeg(2, 200)[:900])
    first = collect_folder(workspace, photos, LabelSource("fox"), LOCAL)
    assert (first.accepted, first.known) == (1, 0)
    (photos / "IMG_1.jpg").write_bytes(jpeg(3, 300))
    (photos / "IMG_2.jpg").write_bytes(jpeg(2, 200))
    again = collect_folder(workspace, photos, LabelSource("fox"), LOCAL)
    assert (again.accepted, again.known) == (2, 0)
    assert collect_folder(workspace, photos, LabelSource("fox"), LOCAL).known == 2
    with Catalog.open(workspace) as catalog:
        assert len(catalog.images.all()) == 3


def test_what_is_passed_over_for_its_licence_is_counted(
    point_to: PointTo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not as if there had been nothing."""
    with serve(library(fox=9)) as site:
        workspace = point_to("openverse", site.base)
        monkeypatch.setattr("fototeca.collect.search.allows_commercial", lambda _: False)
        monkeypatch.chdir(workspace.root)
        arguments = ["fototeca", "collect", "search", "openverse", "--license", "commercial", "--allow-loopback"]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit):
            fototeca.cli.main()
    assert capsys.readouterr().out.startswith("0 candidates, 0 known before, 0 accepted; 9 more passed over for their licence\n")


def test_a_preview_counts_as_the_search_does(point_to: PointTo) -> None:
    """One address in two spellings is one candidate; found for two categories it is one of each."""
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
        counted = preview(Workspace(workspace.root), SearchOptions(("openverse",), limit=2), LOCAL)
    assert {category: row["candidates"] for category, row in counted.items()} == {"fox": 1, "dog": 1}
