"""Ingest pipeline: provenances, labels, retries, summaries, interrupts and errors."""

from __future__ import annotations

import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from fototeca.collect.catalog import Actor, Catalog, Edit, ImageRow, Provenance
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.client import Downloader
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.ingest.pipeline import IngestPipeline, ingest_provenances, retry_candidates
from fototeca.collect.status import workspace_status, write_attribution
from fototeca.collect.store.accept import accept_image
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.labels.from_file import label_from_file
from fototeca.curate.quality.checks import measure_quality
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.vision.image import decode
from fototeca.vision.quality import quality
from tests.servers import ReceivedRequest, StubResponse, jpeg, serve

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=10)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace of two categories."""
    return create_workspace(tmp_path / "w", ["fox", "dog"], target=100)


def serve_images(request: ReceivedRequest) -> StubResponse:
    """Serve image N at `/ANYTHING/N.jpg`; there is no robots.txt."""
    name = request.path.rpartition("/")[2].removesuffix(".jpg")
    return StubResponse(jpeg(int(name)), "image/jpeg") if name.isdigit() else StubResponse(status=404)


def test_same_image_at_ten_urls_is_stored_once_with_ten_provenances(workspace: Workspace, tmp_path: Path) -> None:
    """Each provenance keeps source, page, author and license; collecting the same provenances again adds nothing."""
    with serve(serve_images) as site:
        places = [
            Provenance(f"{site.base}/{n}/7.jpg", f"source{n}", "fox", query=f"q{n}", rank=n, page_url=f"https://example.org/{n}",
                    author=f"Author {n}", license="CC-BY-4.0", license_found="cc by 4.0")
            for n in range(10)
        ]  # fmt: skip
        first = ingest_provenances(workspace, places, LOCAL)
        again = ingest_provenances(workspace, places, LOCAL)
    assert (first.accepted, again.accepted, again.already_known) == (1, 0, 10)
    with Catalog.open(workspace) as catalog:
        (image,) = catalog.images.all()
        stored = catalog.provenance.of_image(image.image_id)
    assert {(f.source, f.author, f.page_url) for f in stored} == {(p.source, p.author, p.page_url) for p in places}
    assert write_attribution(workspace, tmp_path / "a.csv") == 1
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 11
    assert workspace_status(workspace).categories["fox"].duplicates == 9


def test_retry_fetches_only_candidates_with_the_given_reason(workspace: Workspace) -> None:
    """http-500 is retried, http-404 is not, and accepted candidates are never fetched again."""
    is_fixed = threading.Event()

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/gone/1.jpg":
            return StubResponse(status=404)
        if request.path == "/bad/2.jpg" and not is_fixed.is_set():
            return StubResponse(status=500)
        return serve_images(request)

    with serve(respond) as site:
        provenances = [Provenance(f"{site.base}{path}", "urls", "fox") for path in ("/gone/1.jpg", "/bad/2.jpg", "/good/3.jpg")]
        assert ingest_provenances(workspace, provenances, LOCAL).accepted == 1
        before = len(site.requests)
        is_fixed.set()
        assert retry_candidates(workspace, ["http-500"], LOCAL).accepted == 1
        assert {request.path for request in site.requests[before:]} <= {"/robots.txt", "/bad/2.jpg"}
        with pytest.raises(FototecaError, match="can be retried"):
            retry_candidates(workspace, ["timeout"], LOCAL)
    assert workspace_status(workspace).categories["fox"].failed == {"http-404": 1}


def test_retry_includes_rejected_candidates_if_their_reason_is_given(workspace: Workspace) -> None:
    """A rejection may depend on an option; exact copies are not retried."""
    with serve(serve_images) as site:
        provenances = [Provenance(f"{site.base}/{path}", "urls", "fox") for path in ("1.jpg", "2.jpg", "copy/1.jpg")]
        assert ingest_provenances(workspace, provenances[:2], FetchOptions(min_side=32)).count("rejected", "private-address")
        assert workspace_status(workspace).total.fetched == 0  # no request was sent
        assert ingest_provenances(workspace, provenances[2:], LOCAL).accepted == 1
        assert workspace_status(workspace).total.fetched == 1
        with pytest.raises(FototecaError, match="can be retried"):
            retry_candidates(workspace, [], LOCAL)
        assert retry_candidates(workspace, ["private-address"], LOCAL).accepted == 1
        with pytest.raises(FototecaError, match="can be retried"):
            retry_candidates(workspace, ["duplicate"], LOCAL)
    assert workspace_status(workspace).categories["fox"].rejected == {}


def test_every_line_of_a_list_is_counted(workspace: Workspace) -> None:
    """A URL that the list repeats is known by then; what is not accepted is named."""
    with serve(lambda request: StubResponse(status=404) if "gone" in request.path else serve_images(request)) as site:
        urls = [f"{site.base}/{name}" for name in ("1.jpg", "1.jpg", "gone%20too.jpg", "1.jpg", "2.jpg")]
        summary = ingest_provenances(workspace, [Provenance(url, "urls", "fox") for url in urls], LOCAL)
    assert (summary.candidates, summary.already_known, summary.accepted) == (5, 2, 2)
    assert "  failed http-404: 1 (gone too.jpg)" in summary.text()
    with Catalog.open(workspace) as catalog:
        assert sorted(catalog.provenance.file_names().values()) == ["1.jpg", "2.jpg"]


def test_interrupted_retry_can_be_repeated(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unprocessed candidates keep state and reason; candidates found but never processed are retried too."""
    is_broken = threading.Event()
    is_broken.set()
    with serve(lambda request: StubResponse(status=500) if is_broken.is_set() else serve_images(request)) as site:
        provenances = [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(3)]
        ingest_provenances(workspace, provenances, LOCAL)
        is_broken.clear()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(IngestPipeline, "_record_oldest", Mock(side_effect=KeyboardInterrupt))
            patch.setattr(IngestPipeline, "_record_completed", Mock())
            retry_candidates(workspace, ["connection", "http-500"], LOCAL)
        with Catalog.open(workspace) as catalog:
            assert len(catalog.candidates.in_state("failed")) == 3
            catalog.candidates.add(Provenance(f"{site.base}/9.jpg", "urls", "fox"), f"{site.base}/9.jpg")
        assert retry_candidates(workspace, [], LOCAL).accepted == 4


def test_image_found_for_two_categories_gets_both_labels_in_multi_label_tasks(tmp_path: Path) -> None:
    """A single-label task keeps the first category."""
    for task, label in (("single", "fox"), ("multi", "dog|fox")):
        workspace = create_workspace(tmp_path / task, ["fox", "dog"], task=task, target=100)  # type: ignore[arg-type]
        with serve(serve_images) as site:
            ingest_provenances(workspace, [Provenance(f"{site.base}/1.jpg", "urls", name) for name in ("fox", "dog")], LOCAL)
        with Catalog.open(workspace) as catalog:
            assert [image.label for image in catalog.images.all()] == [label]


def test_summary_table_has_a_row_per_category_and_source(workspace: Workspace) -> None:
    """Counts of accepted, rejected and failed candidates."""
    with serve(serve_images) as site:
        provenances = [Provenance(f"{site.base}/{n}.jpg", f"source{n % 2}", "fox" if n < 3 else "dog") for n in range(5)]
        text = ingest_provenances(workspace, provenances, LOCAL).text()
    assert "5 candidates, 0 already known, 5 accepted" in text
    assert ["fox", "source0", "2", "0", "0"] in [line.split() for line in text.splitlines()]


def test_summary_lists_problems_and_progress_shows_the_target(workspace: Workspace) -> None:
    """A problem is the last line; the progress bar shows distinct images of the target."""
    with serve(serve_images) as site, Catalog.open(workspace) as catalog:
        pipeline = IngestPipeline(workspace, catalog, LOCAL, Downloader(LOCAL, ""))
        pipeline.summary.problems.append("bing, 'fox': it is down")
        finding = Provenance(f"{site.base}/1.jpg", "urls", "fox")
        text = pipeline.run([finding]).text()
        assert pipeline._describe_progress(finding) == "fox 1/100 from urls"
    assert ["fox", "urls", "1", "0", "0"] in [line.split() for line in text.splitlines()]
    assert text.splitlines()[-1] == "  incomplete: bing, 'fox': it is down"


def test_file_names_need_not_be_utf8(workspace: Workspace, tmp_path: Path) -> None:
    """Folders and files with names in latin-1 are collected."""
    folder = tmp_path / os.fsdecode(b"fotos ni\xf1o")
    folder.mkdir()
    (folder / os.fsdecode(b"ni\xf1o.jpg")).write_bytes(jpeg(0))
    assert collect_folder(workspace, folder, FolderOptions("fox"), LOCAL).accepted == 1


def test_file_urls_in_lists_are_rejected(workspace: Workspace, tmp_path: Path) -> None:
    """Neither collecting nor a retry reads the file; collecting its folder does."""
    file = tmp_path / "mine.jpg"
    file.write_bytes(jpeg(0))
    summary = ingest_provenances(workspace, [Provenance(file.as_uri(), "urls", "fox")], LOCAL)
    assert summary.count("rejected", "bad-url") == 1
    assert retry_candidates(workspace, ["bad-url"], LOCAL).accepted == 0
    assert collect_folder(workspace, file, FolderOptions("fox"), LOCAL).accepted == 1


def test_repeated_archive_is_validated_again(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An image that was too small is accepted with another limit; a retry without the extracted files changes nothing."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg(0))
    strict, mild = FetchOptions(min_side=500), FetchOptions(min_side=32)
    assert collect_folder(workspace, tmp_path / "a.zip", FolderOptions("fox"), strict).accepted == 0
    with pytest.raises(FototecaError, match="can be retried"):
        retry_candidates(workspace, ["too-small"], mild)
    assert "1 candidate is a file that no longer exists" in capsys.readouterr().err
    assert workspace_status(workspace).total.rejected == {"too-small": 1}
    assert collect_folder(workspace, tmp_path / "a.zip", FolderOptions("fox"), mild).accepted == 1
    assert collect_folder(workspace, tmp_path / "a.zip", FolderOptions("fox"), mild).already_known == 1


def test_pipes_devices_and_oversized_files_are_recorded(workspace: Workspace, tmp_path: Path) -> None:
    """A pipe or device is passed over; a file above the limit is not read to its end."""
    (tmp_path / "photos").mkdir()
    os.mkfifo(tmp_path / "photos" / "a.jpg")
    (tmp_path / "photos" / "b.jpg").symlink_to("/dev/zero")
    (tmp_path / "photos" / "c.jpg").write_bytes(jpeg(1))
    (tmp_path / "photos" / "d.jpg").write_bytes(b"x" * 60_000)
    summary = collect_folder(workspace, tmp_path / "photos", FolderOptions("fox"), FetchOptions(max_bytes=50_000))
    assert {(row.state, row.reason): row.candidates for row in summary.counts} == {
        ("accepted", ""): 1,
        ("rejected", "too-large"): 1,
    }
    assert [count.text() for count in summary.passed_over] == ["2 not-a-file: a.jpg, b.jpg"]
    assert "  rejected too-large: 1 (d.jpg)" in summary.text()


def test_interrupt_records_completed_downloads(workspace: Workspace) -> None:
    """Ctrl-C records what was fetched and starts nothing more."""
    release = threading.Event()

    def respond(request: ReceivedRequest) -> StubResponse:
        if request.path == "/0.jpg":
            release.wait(10)  # the oldest result, which is recorded first
        return serve_images(request)

    with serve(respond) as site, Catalog.open(workspace) as catalog:
        options = replace(LOCAL, per_host=8)
        pipeline = IngestPipeline(workspace, catalog, options, Downloader(options, ""))

        def interrupted_provenances() -> Iterator[Provenance]:
            yield from (Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(8))
            _, *others = (future for _, _, future in pipeline._queue)
            assert not wait(others, 60).not_done
            release.set()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pipeline.run(interrupted_provenances())
        assert len(catalog.images.all()) >= 7
    assert workspace_status(workspace).total.accepted >= 7


def test_unexpected_error_fails_one_candidate_only(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that one image triggers is recorded; the others are accepted."""

    def accept_or_raise(workspace: Workspace, data: bytes, *limits: int) -> tuple[ImageRow, dict[str, float]]:
        if data == jpeg(2):
            raise KeyError("MPO")
        return accept_image(workspace, data, *limits)

    monkeypatch.setattr("fototeca.collect.ingest.process.accept_image", accept_or_raise)
    with serve(serve_images) as site:
        summary = ingest_provenances(workspace, [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in (1, 2, 3)], LOCAL)
    assert summary.accepted == 2
    assert workspace_status(workspace).total.failed == {"unexpected": 1}


def test_unwritable_store_ends_the_run_with_one_line(workspace: Workspace) -> None:
    """The run ends with exit code 4 and the candidates stay unprocessed."""
    shutil.rmtree(workspace.images, ignore_errors=True)
    workspace.images.parent.mkdir(exist_ok=True)
    workspace.images.write_text("a file in the way")
    with serve(serve_images) as site, pytest.raises(FototecaError, match="cannot be stored") as caught:
        ingest_provenances(workspace, [Provenance(f"{site.base}/1.jpg", "urls", "fox")], LOCAL)
    assert caught.value.exit_code == 4
    with Catalog.open(workspace) as catalog:
        assert len(catalog.candidates.in_state("found")) == 1


def test_quality_is_measured_while_ingesting(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later quality check has nothing left to measure and finds the same scores."""
    with serve(serve_images) as site:
        ingest_provenances(workspace, [Provenance(f"{site.base}/{n}.jpg", "urls", "fox") for n in range(3)], LOCAL)
    with Catalog.open(workspace) as catalog:
        scores = catalog.quality.all()
        images = catalog.images.all()
    assert {image.image_id: quality(decode(workspace.root / image.path)) for image in images} == scores
    monkeypatch.setattr("fototeca.curate.quality.checks.decode_grey", Mock(side_effect=AssertionError("already measured")))
    measure_quality(workspace, QualityThresholds())


def test_reviewed_and_rejected_images_keep_their_label(tmp_path: Path) -> None:
    """A category found later is added only to images that no person reviewed."""
    workspace = create_workspace(tmp_path / "w", ["fox", "dog"], task="multi")
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(jpeg(number))
    collect_folder(workspace, tmp_path / "photos", FolderOptions("fox"), LOCAL)
    with Catalog.open(workspace) as catalog:
        decided, rejected, _ = catalog.images.all()
        catalog.decisions.add(decided.image_id, Edit.relabel("fox"), by=Actor.person("me"), reason="seen")
        catalog.decisions.add(rejected.image_id, Edit.reject("off-topic"), by=Actor("rule", "x"), reason="seen")
    collect_folder(workspace, tmp_path / "photos", FolderOptions("dog"), LOCAL)
    with Catalog.open(workspace) as catalog:
        assert [image.label for image in catalog.images.all()] == ["fox", "fox", "dog|fox"]


def test_overwritten_local_file_is_a_new_candidate(tmp_path: Path) -> None:
    """A known name with other content, and a truncated file that is complete now, are read again."""
    workspace, photos = create_workspace(tmp_path / "w", ["fox"]), tmp_path / "photos"
    photos.mkdir()
    (photos / "IMG_1.jpg").write_bytes(jpeg(1, 200))
    (photos / "IMG_2.jpg").write_bytes(jpeg(2, 200)[:900])
    first = collect_folder(workspace, photos, FolderOptions("fox"), LOCAL)
    assert (first.accepted, first.already_known) == (1, 0)
    (photos / "IMG_1.jpg").write_bytes(jpeg(3, 300))
    (photos / "IMG_2.jpg").write_bytes(jpeg(2, 200))
    again = collect_folder(workspace, photos, FolderOptions("fox"), LOCAL)
    assert (again.accepted, again.already_known) == (2, 0)
    assert collect_folder(workspace, photos, FolderOptions("fox"), LOCAL).already_known == 2
    with Catalog.open(workspace) as catalog:
        assert len(catalog.images.all()) == 3


def test_labels_that_come_again_corrected_are_listed_and_not_applied(tmp_path: Path) -> None:
    """Another label for a labelled image changes nothing; a table and a command apply it, once."""
    workspace = create_workspace(tmp_path / "w", ["fox", "dog"], target=1)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        (photos / f"{number}.jpg").write_bytes(jpeg(number))
    assert collect_folder(workspace, photos, FolderOptions("fox"), LOCAL).different_labels == ()
    (tmp_path / "corrected.csv").write_text("path,label\n0.jpg,dog\n1.jpg,fox\n")
    options = FolderOptions(labels=tmp_path / "corrected.csv")
    text = collect_folder(workspace, photos, options, LOCAL).text()
    assert "1 image has another label than given, and keeps it: 0.jpg is fox, given as dog" in text
    table = workspace.data / "different-labels.csv"
    assert f"fototeca curate label --from-file {table}" in text
    with Catalog.open(workspace) as catalog:
        assert {image.label for image in catalog.images.all()} == {"fox"}
    assert label_from_file(workspace, table).changed == 1
    assert collect_folder(workspace, photos, options, LOCAL).different_labels == ()
