"""The engine: one image in many places, targets, retries, and how a host is treated."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from fototeca.collect.catalog import Catalog, ImageRow, Provenance
from fototeca.collect.files.local_files import LabelSource
from fototeca.collect.http.client import Downloader, FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.ingest.pipeline import IngestPipeline, collect, retry
from fototeca.collect.ingest.validate import accept
from fototeca.collect.status import workspace_status, write_attribution
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.quality.checks import measure_quality
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.vision.image import decode
from fototeca.vision.quality import quality
from tests.servers import ReceivedRequest, Respond, StubResponse, jpeg, serve

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=10)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two categories."""
    return create_workspace(tmp_path / "w", ["fox", "dog"], target=100)


def serve_images(request: ReceivedRequest) -> StubResponse:
    """`/ANYTHING/N.jpg` is image N; there is no robots.txt."""
    name = request.path.rpartition("/")[2].removesuffix(".jpg")
    return StubResponse(jpeg(int(name)), "image/jpeg") if name.isdigit() else StubResponse(status=404)


def test_one_image_in_ten_places_is_one_image_with_ten_places(workspace: Workspace, tmp_path: Path) -> None:
    """Each place keeps its source, page, author and licence; the same place again adds nothing."""
    with serve(serve_images) as site:
        places = [
            Provenance(f"{site.base}/{n}/7.jpg", f"source{n}", "fox", query=f"q{n}", rank=n, page_url=f"https://example.org/{n}",
                    author=f"Author {n}", license="CC-BY-4.0", license_found="cc by 4.0")
            for n in range(10)
        ]  # fmt: skip
        first = collect(workspace, places, LOCAL)
        again = collect(workspace, places, LOCAL)
    assert (first.accepted, again.accepted, again.known) == (1, 0, 10)
    with Catalog.open(workspace) as catalog:
        (image,) = catalog.images.all()
        found = catalog.provenance.of_image(image.image_id)
    assert {(f.source, f.author, f.page_url) for f in found} == {(p.source, p.author, p.page_url) for p in places}
    assert write_attribution(workspace, tmp_path / "a.csv") == 1
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 11
    assert workspace_status(workspace)["categories"]["fox"]["duplicate"] == 9


def test_retry_asks_again_for_what_failed_with_that_reason_only(workspace: Workspace) -> None:
    """`http-500` is tried again, `http-404` is not, and what was accepted is never asked for twice."""
    mended = threading.Event()

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/gone/1.jpg":
            return StubResponse(status=404)
        if request.path == "/ill/2.jpg" and not mended.is_set():
            return StubResponse(status=500)
        return serve_images(request)

    with serve(respond) as site:
        findings = [Provenance(f"{site.base}{path}", "urls", "fox") for path in ("/gone/1.jpg", "/ill/2.jpg", "/well/3.jpg")]
        assert collect(workspace, findings, LOCAL).accepted == 1
        before = len(site.requests)
        mended.set()
        assert retry(workspace, ["http-500"], LOCAL).accepted == 1
        assert {request.path for request in site.requests[before:]} <= {"/robots.txt", "/ill/2.jpg"}
        with pytest.raises(FototecaError, match="no candidate fits"):
            retry(workspace, ["timeout"], LOCAL)
    assert workspace_status(workspace)["categories"]["fox"]["failed"] == {"http-404": 1}


def test_retry_takes_what_was_rejected_when_its_reason_is_named(workspace: Workspace) -> None:
    """A rejection may hang on an option: with another one, naming the reason tries it again. A copy keeps its place."""
    with serve(serve_images) as site:
        findings = [Provenance(f"{site.base}/{path}", "urls", "fox") for path in ("1.jpg", "2.jpg", "copy/1.jpg")]
        assert collect(workspace, findings[:2], FetchOptions(min_side=32)).outcomes["urls", "fox", "rejected", "private-address"]
        assert workspace_status(workspace)["total"]["fetched"] == 0  # nobody was asked
        assert collect(workspace, findings[2:], LOCAL).accepted == 1
        assert workspace_status(workspace)["total"]["fetched"] == 1
        with pytest.raises(FototecaError, match="no candidate fits"):
            retry(workspace, [], LOCAL)
        assert retry(workspace, ["private-address"], LOCAL).accepted == 1
        with pytest.raises(FototecaError, match="no candidate fits"):
            retry(workspace, ["duplicate"], LOCAL)
    assert workspace_status(workspace)["categories"]["fox"]["rejected"] == {}


def test_a_retry_that_is_stopped_can_be_given_again(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had not come to is still failed for its reason; what was found and never tried is taken by the next retry."""
    ill = threading.Event()
    ill.set()
    with serve(lambda request: StubResponse(status=500) if ill.is_set() else serve_images(request)) as site:
        findings = [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(3)]
        collect(workspace, findings, LOCAL)
        ill.clear()
        with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
            killed.setattr(IngestPipeline, "_land", Mock(side_effect=KeyboardInterrupt))
            killed.setattr(IngestPipeline, "_save", Mock())
            retry(workspace, ["connection", "http-500"], LOCAL)
        with Catalog.open(workspace) as catalog:
            assert len(catalog.candidates.in_state("failed")) == 3
            catalog.candidates.add(Provenance(f"{site.base}/9.jpg", "urls", "fox"), f"{site.base}/9.jpg")
        assert retry(workspace, [], LOCAL).accepted == 4


def test_an_image_under_two_categories_has_both_labels_only_where_labels_are_many(tmp_path: Path) -> None:
    """Single-label keeps the first; multi-label joins them."""
    for task, label in (("single", "fox"), ("multi", "dog|fox")):
        workspace = create_workspace(tmp_path / task, ["fox", "dog"], task=task, target=100)  # type: ignore[arg-type]
        with serve(serve_images) as site:
            collect(workspace, [Provenance(f"{site.base}/1.jpg", "urls", name) for name in ("fox", "dog")], LOCAL)
        with Catalog.open(workspace) as catalog:
            assert [image.label for image in catalog.images.all()] == [label]


def crowd(limit: int, seen: Counter[str]) -> Respond:
    """Counts how many requests are answered at once, and who asked for robots.txt first."""
    lock = threading.Lock()

    def respond(request: ReceivedRequest) -> StubResponse:
        with lock:
            seen["now"] += 1
            seen["most"] = max(seen["most"], seen["now"])
        time.sleep(0.02)
        with lock:
            seen["now"] -= 1
        return serve_images(request)

    return respond


def test_robots_come_first_and_no_more_at_once_than_allowed(workspace: Workspace) -> None:
    """The first request to a host is robots.txt, and `per_host` is the most that run together."""
    seen: Counter[str] = Counter()
    with serve(crowd(3, seen)) as site:
        findings = [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(40)]
        options = FetchOptions(allow_loopback=True, min_side=32, per_host=3)
        assert collect(workspace, findings, options).accepted == 40
        assert site.requests[0].path == "/robots.txt"
        assert sum(request.path == "/robots.txt" for request in site.requests) == 1
        assert "fototeca/" in site.requests[1].headers["User-Agent"]
    assert seen["most"] == 3


RULES = b"User-agent: *\nDisallow: /private/\n"
GZIP, DEFLATE = {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}


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
def test_robots_hold_however_they_are_sent(workspace: Workspace, rules: StubResponse) -> None:
    """Not to be indexed, packed, longer than is read: what the file forbids is not asked for."""
    with serve(lambda request: rules if request.path == "/robots.txt" else serve_images(request)) as site:
        places = [Provenance(f"{site.base}/{path}", "site", "fox") for path in ("private/1.jpg", "open/2.jpg")]
        summary = collect(workspace, places, LOCAL)
        assert [request.path for request in site.requests] == ["/robots.txt", "/open/2.jpg"]
    assert summary.outcomes["site", "fox", "rejected", "robots"] == 1 and summary.accepted == 1


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
def test_rules_that_cannot_be_read_permit_nothing(workspace: Workspace, body: bytes, headers: dict[str, str]) -> None:
    """Packed in a way that is not known here, or not to their end, they may forbid anything."""
    rules = StubResponse(body, "text/plain", headers=headers)
    with serve(lambda request: rules if request.path == "/robots.txt" else serve_images(request)) as site:
        summary = collect(workspace, [Provenance(f"{site.base}/2.jpg", "site", "fox")], LOCAL)
    assert summary.outcomes["site", "fox", "failed", "encoded"] == 1


def test_a_slow_host_keeps_no_other_waiting(workspace: Workspace) -> None:
    """Whoever waits for a host that wants seconds between two requests leaves the room to others."""
    order: list[str] = []

    def slow(request: ReceivedRequest) -> StubResponse:
        if request.path == "/robots.txt":
            return StubResponse(b"User-agent: *\nCrawl-delay: 0.4\n", "text/plain")
        order.append("slow")
        return serve_images(request)

    def quick(request: ReceivedRequest) -> StubResponse:
        order.append("quick")
        return serve_images(request)

    with serve(slow) as one, serve(quick) as other:
        places = [Provenance(f"{one.base}/{number}.jpg", "site", "fox") for number in range(12)]
        places.append(Provenance(f"{other.base}/20.jpg", "site", "fox"))
        assert collect(workspace, places, replace(LOCAL, concurrency=3, per_host=2)).accepted == 13
    assert order.index("quick") < 4, order


def test_a_crawl_delay_is_kept(workspace: Workspace) -> None:
    """The pauses between requests are at least as long as robots.txt asks."""
    times: list[float] = []

    def respond(request: ReceivedRequest) -> StubResponse:
        times.append(time.monotonic())
        return (
            StubResponse(b"User-agent: *\nCrawl-delay: 0.3\n", "text/plain")
            if request.path == "/robots.txt"
            else serve_images(request)
        )

    with serve(respond) as site:
        findings = [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(4)]
        assert collect(workspace, findings, LOCAL).accepted == 4
    assert (times[-1] - times[0]) / (len(times) - 1) >= 0.29, "a single one is as exact as the threads are quick"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_host_that_fails_again_and_again_is_left_alone(workspace: Workspace, status: int) -> None:
    """After some failures in a row the rest fails without being asked; other hosts go on; retry asks again."""
    ill = threading.Event()
    ill.set()

    def respond(request: ReceivedRequest) -> StubResponse:
        return StubResponse(status=status) if ill.is_set() and request.path != "/robots.txt" else serve_images(request)

    with serve(respond) as site, serve(serve_images) as other:
        findings = [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(30)]
        findings += [Provenance(f"{other.base}/{100 + n}.jpg", "urls", "fox") for n in range(5)]
        options = FetchOptions(allow_loopback=True, min_side=32, per_host=1)
        summary = collect(workspace, findings, options)
        assert summary.accepted == 5
        assert len(site.requests) < 15
        failed = workspace_status(workspace)["categories"]["fox"]["failed"]
        assert failed["host-down"] > 20
        ill.clear()
        assert retry(workspace, ["host-down"], options).accepted == failed["host-down"]


def test_the_summary_names_sources_and_categories(workspace: Workspace) -> None:
    """A table when there is more than one of them."""
    with serve(serve_images) as site:
        findings = [Provenance(f"{site.base}/{n}.jpg", f"source{n % 2}", "fox" if n < 3 else "dog") for n in range(5)]
        text = collect(workspace, findings, LOCAL).text()
    assert "5 candidates, 0 known before, 5 accepted" in text
    assert ["fox", "source0", "2", "0", "0"] in [line.split() for line in text.splitlines()]


def test_the_summary_tells_what_went_wrong_and_the_bar_how_far_it_is(workspace: Workspace) -> None:
    """One category and one source have their row too; a source that could not be asked is a line at the end."""
    with serve(serve_images) as site, Catalog.open(workspace) as catalog:
        collection = IngestPipeline(workspace, catalog, LOCAL, Downloader(LOCAL, ""))
        collection.summary.problems.append("bing, 'fox': it is down")
        finding = Provenance(f"{site.base}/1.jpg", "urls", "fox")
        text = collection.run([finding]).text()
        assert collection._progress(finding) == "fox 1/100 from urls"
    assert ["fox", "urls", "1", "0", "0"] in [line.split() for line in text.splitlines()]
    assert text.splitlines()[-1] == "  not asked to its end: bing, 'fox': it is down"


def test_a_name_in_any_bytes_is_an_image(workspace: Workspace, tmp_path: Path) -> None:
    """Folders and files from an older system, whose names are no UTF-8."""
    folder = tmp_path / os.fsdecode(b"fotos ni\xf1o")
    folder.mkdir()
    (folder / os.fsdecode(b"ni\xf1o.jpg")).write_bytes(jpeg(0))
    assert collect_folder(workspace, folder, LabelSource("fox"), LOCAL).accepted == 1


def test_no_list_from_outside_leads_to_a_file_of_this_machine(workspace: Workspace, tmp_path: Path) -> None:
    """Not when it is collected, nor by any retry; and the file can still be taken in by whoever has it."""
    file = tmp_path / "mine.jpg"
    file.write_bytes(jpeg(0))
    summary = collect(workspace, [Provenance(file.as_uri(), "urls", "fox")], LOCAL)
    assert summary.outcomes["urls", "fox", "rejected", "bad-url"] == 1
    assert retry(workspace, ["bad-url"], LOCAL).accepted == 0
    assert collect_folder(workspace, file, LabelSource("fox"), LOCAL).accepted == 1


def test_an_archive_given_again_is_judged_anew(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was too small is taken under another limit; a retry, for which nothing is unpacked any more, changes nothing."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg(0))
    strict, mild = FetchOptions(min_side=500), FetchOptions(min_side=32)
    assert collect_folder(workspace, tmp_path / "a.zip", LabelSource("fox"), strict).accepted == 0
    with pytest.raises(FototecaError, match="no candidate fits"):
        retry(workspace, ["too-small"], mild)
    assert "1 are files that are gone" in capsys.readouterr().err
    assert workspace_status(workspace)["total"]["rejected"] == {"too-small": 1}
    assert collect_folder(workspace, tmp_path / "a.zip", LabelSource("fox"), mild).accepted == 1
    assert collect_folder(workspace, tmp_path / "a.zip", LabelSource("fox"), mild).known == 1


def test_a_pipe_or_device_ends_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """What is no file is unreadable, and a file that is too long is not read to its end."""
    (tmp_path / "photos").mkdir()
    os.mkfifo(tmp_path / "photos" / "a.jpg")
    (tmp_path / "photos" / "b.jpg").symlink_to("/dev/zero")
    (tmp_path / "photos" / "c.jpg").write_bytes(jpeg(1))
    (tmp_path / "photos" / "d.jpg").write_bytes(b"x" * 60_000)
    summary = collect_folder(workspace, tmp_path / "photos", LabelSource("fox"), FetchOptions(max_bytes=50_000))
    assert {outcome[2:]: count for outcome, count in summary.outcomes.items()} == {
        ("failed", "unreadable"): 2,
        ("accepted", ""): 1,
        ("rejected", "too-large"): 1,
    }


def test_who_stops_keeps_what_has_come(workspace: Workspace) -> None:
    """Ctrl-C in the middle: what was fetched is recorded, what had not begun is not asked for, the rest comes next time."""
    slow = threading.Event()

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/0.jpg":
            slow.wait(10)  # the oldest, for which all others wait
        return serve_images(request)

    with serve(respond) as site, Catalog.open(workspace) as catalog:
        options = replace(LOCAL, per_host=8)
        collection = IngestPipeline(workspace, catalog, options, Downloader(options, ""))

        def until_stopped() -> Iterator[Provenance]:
            yield from (Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(8))
            _, *others = (future for _, _, future in collection._waiting)
            assert not wait(others, 60).not_done
            slow.set()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            collection.run(until_stopped())
        assert len(catalog.images.all()) >= 7
    assert workspace_status(workspace)["total"]["accepted"] >= 7


def test_an_error_that_nobody_foresaw_is_a_row(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image that trips a bug fails with its reason; the others are taken in."""

    def trip(workspace: Workspace, data: bytes, min_side: int) -> tuple[ImageRow, dict[str, float]]:
        if data == jpeg(2):
            raise KeyError("MPO")
        return accept(workspace, data, min_side)

    monkeypatch.setattr("fototeca.collect.ingest.pipeline.accept", trip)
    with serve(serve_images) as site:
        summary = collect(workspace, [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in (1, 2, 3)], LOCAL)
    assert summary.accepted == 2
    assert workspace_status(workspace)["total"]["failed"] == {"unexpected": 1}


def test_a_store_that_cannot_be_written_is_one_line(workspace: Workspace) -> None:
    """A full or broken disk is no image's fault: the run ends, and the candidates stay to be tried."""
    shutil.rmtree(workspace.images, ignore_errors=True)
    workspace.images.parent.mkdir(exist_ok=True)
    workspace.images.write_text("a file in the way")
    with serve(serve_images) as site, pytest.raises(FototecaError, match="cannot be stored") as caught:
        collect(workspace, [Provenance(f"{site.base}/1.jpg", "urls", "fox")], LOCAL)
    assert caught.value.exit_code == 4
    with Catalog.open(workspace) as catalog:
        assert len(catalog.candidates.in_state("found")) == 1


def test_quality_is_measured_as_images_come(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """While they are decoded anyway: a check has nothing left to measure, and finds the same."""
    with serve(serve_images) as site:
        collect(workspace, [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(3)], LOCAL)
    with Catalog.open(workspace) as catalog:
        scores = catalog.quality.all()
        images = catalog.images.all()
    assert {image.image_id: quality(decode(workspace.root / image.path)) for image in images} == scores
    monkeypatch.setattr("fototeca.curate.quality.checks.decode_grey", Mock(side_effect=AssertionError("it was measured already")))
    measure_quality(workspace, QualityThresholds())
