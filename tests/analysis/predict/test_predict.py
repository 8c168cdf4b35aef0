"""Predictions of files, folders, URLs and images in memory, with duplicates, reasons and the test access log."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fototeca.analysis.cli_tables import prediction_table
from fototeca.analysis.evaluation.calibration import NO_ERRORS
from fototeca.analysis.evaluation.test_access_log import access_log_path, read_accesses
from fototeca.analysis.file_names import read_file_names
from fototeca.analysis.i18n import Texts
from fototeca.analysis.predict import inputs as incoming
from fototeca.analysis.predict.predict import predict_images, predict_paths
from fototeca.analysis.predict.results import NearDuplicate, Prediction, stored_predictions_path
from fototeca.analysis.report import test_section
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.new_images import render_new_images
from fototeca.collect.http.options import FetchOptions
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates import KnownDuplicate, KnownImages
from fototeca.curate.manifest import read_manifest
from fototeca.train.runs import Run, read_run, write_predictions_csv
from tests.servers import ReceivedRequest, StubResponse, jpeg, serve

pytestmark = pytest.mark.xdist_group("report")
Studied = tuple[Workspace, list[str]]


def reasons(predictions: list[Prediction]) -> list[str | None]:
    """Return the reason of each prediction."""
    return [prediction.reason for prediction in predictions]


def test_duplicates_and_unreadable_files(studied: Studied, first_image: Callable[[str], Path], tmp_path: Path) -> None:
    """A copy of a test image is a near-duplicate, a broken file has a reason, a missing path is an error."""
    workspace, runs = studied
    copy, broken = tmp_path / "copy.jpg", tmp_path / "broken.jpg"
    shutil.copyfile(first_image("test"), copy)
    broken.write_bytes(b"no image")
    facts = predict_paths(workspace, runs[0], [str(broken), str(copy)], csv_path=tmp_path / "out.csv")
    assert reasons(facts) == ["not-an-image", None]
    assert (facts[0].label, facts[0].probabilities, facts[0].unknown) == (None, {}, False)
    assert facts[0].to_json().keys() == facts[1].to_json().keys()
    near = facts[1].near_duplicate
    assert (near.split, near.image_id) == ("test", first_image("test").stem)
    assert facts[1].probability == pytest.approx(max(facts[1].probabilities.values()))
    assert sum(facts[1].probabilities.values()) == pytest.approx(1)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["reason"], row["label"], row["near_duplicate_split"]) for row in rows] == [
        ("not-an-image", "", ""),
        ("", facts[1].label, "test"),
    ]
    assert float(rows[1]["false_alarm_rate"]) == pytest.approx(facts[1].false_alarm_rate, abs=1e-6)
    assert float(rows[1]["p:red"]) == pytest.approx(facts[1].probabilities["red"], abs=1e-6)
    assert "not read: not-an-image" in prediction_table(facts, 1)
    with pytest.raises(FototecaError, match="does not exist"):
        predict_paths(workspace, runs[0], [str(tmp_path / "none.jpg")])


def test_folders_are_searched_recursively(studied: Studied, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Images are predicted in order and other files counted; a folder without images is an error that says what it has."""
    workspace, runs = studied
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("b.JPG", "c.jfif", "d.jpg_large", "deep/a.jpg", "notes.txt", "deep/clip.mp4", ".DS_Store"):
        (tmp_path / "in" / name).write_bytes(jpeg(1))
    facts = predict_paths(workspace, runs[0], [str(tmp_path / "in")])
    assert [Path(fact.path).name for fact in facts] == ["b.JPG", "c.jfif", "d.jpg_large", "a.jpg"]
    counted = [line for line in capsys.readouterr().err.splitlines() if "passed over" in line]
    assert counted == [
        f"fototeca: passed over: 1 {text}" for text in ("data: notes.txt", "junk: .DS_Store", "video: deep/clip.mp4")
    ]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "clip.MP4").write_bytes(b"x")
    with pytest.raises(FototecaError, match="contains no images; it has 1 MP4"):
        predict_paths(workspace, runs[0], [str(tmp_path / "empty")])


def site(asked: ReceivedRequest) -> StubResponse:
    """Serve images and failures."""
    answers = {
        "/good one.jpg": StubResponse(jpeg(5), "image/jpeg"),
        "/good%20one.jpg": StubResponse(jpeg(5), "image/jpeg"),
        "/moved.jpg": StubResponse(status=302, headers={"Location": "/good%20one.jpg"}),
        "/inward.jpg": StubResponse(status=302, headers={"Location": "http://169.254.169.254/key.jpg"}),
        "/forbidden/a.jpg": StubResponse(jpeg(6), "image/jpeg"),
        "/large.jpg": StubResponse(jpeg(7) + b"x" * 90_000, "image/jpeg"),
        "/page.jpg": StubResponse(b"<html></html>"),
        "/robots.txt": StubResponse(b"User-agent: *\nDisallow: /forbidden/\n", "text/plain"),
    }
    return answers.get(asked.path, StubResponse(status=404))


def test_urls_are_fetched_and_failures_have_reasons(studied: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces and redirects work; each failing URL has a reason and does not affect the others."""
    workspace, runs = studied
    monkeypatch.setattr("fototeca.collect.http.options.FetchOptions", partial(FetchOptions, max_bytes=50_000))
    names = ("good one.jpg", "none.jpg", "moved.jpg", "inward.jpg", "forbidden/a.jpg", "large.jpg", "page.jpg")
    with serve(site) as at:
        urls = [f"{at.base}/{name}" for name in names]
        facts = predict_paths(workspace, runs[0], [*urls, "http://[broken/a.jpg"], allow_loopback=True)
        assert {asked.headers["User-Agent"].partition("/")[0] for asked in at.requests} == {"fototeca"}
        assert "/forbidden/a.jpg" not in [asked.path for asked in at.requests]
    assert [fact.path for fact in facts][:-1] == urls
    assert reasons(facts) == [
        None,
        "http-404",
        None,
        "private-address",
        "robots",
        "too-large",
        "not-an-image",
        "bad-url",
    ]
    assert facts[0].label and facts[0].probabilities == facts[2].probabilities


def test_loopback_needs_an_option(studied: Studied) -> None:
    """Without --allow-loopback nothing on this machine is asked for."""
    workspace, runs = studied
    stored = stored_predictions_path(workspace, read_run(workspace, runs[0]))
    stored.unlink(missing_ok=True)
    with serve(site) as at:
        facts = predict_paths(workspace, runs[0], [f"{at.base}/good%20one.jpg"])
        assert not at.requests
    assert reasons(facts) == ["private-address"]
    assert json.loads(stored.read_text())["failed"] == [{"path": facts[0].path, "reason": "private-address"}]


@pytest.fixture
def slow_site() -> Iterator[str]:
    """Return the address of a server that sends single bytes slowly."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/robots.txt":
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", "9000")
            self.end_headers()
            for byte in jpeg(3):
                if over.wait(0.05):
                    return
                self.wfile.write(bytes([byte]))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.handle_error = True, lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_slow_download_times_out(studied: Studied, slow_site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout covers the whole download."""
    workspace, runs = studied
    monkeypatch.setattr("fototeca.collect.http.options.FetchOptions", partial(FetchOptions, timeout=0.6))
    assert reasons(predict_paths(workspace, runs[0], [f"{slow_site}/a.jpg"], allow_loopback=True)) == ["timeout"]


def test_predict_command(studied: Studied, tmp_path: Path, fototeca: Callable[..., object]) -> None:
    """Exit code 3 and a message for unreadable images; a folder as CSV path is a usage error."""
    workspace, runs = studied
    (tmp_path / "good.jpg").write_bytes(jpeg(1))
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    command = ("analysis", "predict", runs[0], tmp_path / "good.jpg", tmp_path / "bad.jpg")
    done = fototeca(*command, "--json", cwd=workspace.root)
    assert done.returncode == 3, done.stderr  # type: ignore[attr-defined]
    assert [item["reason"] for item in json.loads(done.stdout)] == [None, "not-an-image"]  # type: ignore[attr-defined]
    assert "1 of 2 images could not be read" in done.stderr  # type: ignore[attr-defined]
    done = fototeca(*command, "--csv", tmp_path, cwd=workspace.root)
    assert done.returncode == 2  # type: ignore[attr-defined]
    assert "Traceback" not in done.stderr and "is a directory" in done.stderr  # type: ignore[attr-defined]
    done = fototeca("analysis", "curves", runs[0], "--output", tmp_path / "good.jpg", cwd=workspace.root)
    assert done.returncode == 2  # type: ignore[attr-defined]
    assert "Traceback" not in done.stderr and "is a file" in done.stderr  # type: ignore[attr-defined]


def test_stored_counts_cover_all_images(
    studied: Studied, first_image: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts include images without thumbnail; each file is decoded once."""
    workspace, runs = studied
    monkeypatch.setattr("fototeca.analysis.predict.predict.MAX_THUMBNAILS", 2)
    decoded: list[object] = []
    plain = incoming.decode_with_info

    def counting(source: object, **named: int) -> object:
        decoded.append(source)
        return plain(source, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(incoming, "decode_with_info", counting)
    for decoder in ("fototeca.analysis.images.decode", "fototeca.curate.duplicates.signatures.decode_with_info"):
        monkeypatch.setattr(decoder, counting)
    copies = [tmp_path / f"{number}.jpg" for number in range(3)]
    for path in copies:
        shutil.copyfile(first_image("val"), path)
    predict_paths(workspace, runs[0], list(map(str, copies)))
    assert decoded == [path.read_bytes() for path in copies]
    stored = stored_predictions_path(workspace, read_run(workspace, runs[0]))
    kept = json.loads(stored.read_text())
    assert (kept["n"], kept["near"], len(kept["images"])) == (3, 3, 2)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    assert predict_paths(workspace, runs[0], [str(tmp_path / "broken.jpg")])[0].reason
    assert json.loads(stored.read_text()) == kept, "earlier predictions are kept if no image is readable"


def test_batches_are_bounded_in_pixels(studied: Studied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of large images are small, in order."""
    monkeypatch.setattr(incoming, "MAX_BATCH_PIXELS", 60_000)
    names = []
    for number in range(12):
        names.append(str(tmp_path / f"{number:02}.png"))
        Image.new("RGB", (200, 150) if number < 5 else (20, 15), (number * 20, 90, 90)).save(names[-1])
    batches = list(incoming.read_ahead(studied[0], names, 0, allow_loopback=False))
    assert [one.name for batch in batches for one in batch] == names
    assert [len(batch) for batch in batches] == [2, 2, 8]


def test_prediction_of_a_test_image_is_logged(copied: Studied, first_image: Callable[[str], Path], tmp_path: Path) -> None:
    """The file itself, logged before the model runs, and a re-encoded copy; not images of other splits."""
    workspace, runs = copied
    access_log_path(workspace).unlink(missing_ok=True)
    predict_paths(workspace, runs[0], [str(first_image("val")), str(first_image("train"))])
    assert read_accesses(workspace, "v001") == []
    with Image.open(first_image("test")) as image:
        image.save(tmp_path / "copy.png")
    with pytest.raises(FototecaError, match="1 of 1 new predictions are not numbers"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("fototeca.analysis.predict.predict.np.isfinite", lambda values: np.zeros(values.shape, dtype=bool))
        predict_paths(workspace, runs[0], [str(first_image("test"))])
    predict_paths(workspace, runs[0], [str(first_image("test")), str(tmp_path / "copy.png")])
    predict_paths(workspace, runs[0], [str(tmp_path / "copy.png")])
    looks = [(look.purpose, look.run, look.n, look.accuracy) for look in read_accesses(workspace, "v001")]
    assert looks == [("predict", runs[0], n, None) for n in (None, 2, 1)]
    test = test_section.render_test(
        ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    )
    assert Texts.load("en")("test_access.predicted", n=3) in test and Texts.load("en")("test_access.interrupted", n=1) in test


def test_identical_file_takes_precedence(copied: Studied, tmp_path: Path) -> None:
    """A file of the dataset is found by digest, despite an equal training image or a lost file."""
    workspace, runs = copied
    access_log_path(workspace).unlink(missing_ok=True)
    row, twin = (read_manifest(workspace, "v001").split(split)[0] for split in ("test", "train"))
    asked = tmp_path / "asked.jpg"
    shutil.copy(workspace.root / row.path, asked)
    for found in ([KnownDuplicate(twin.image_id, 0, "pixels")], [None]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(KnownImages, "find_duplicates", lambda *_, found=found: found)
            (fact,) = predict_paths(workspace, runs[0], [str(asked)])
            file_name = read_file_names(workspace)[row.image_id]
            assert fact.near_duplicate == NearDuplicate(row.image_id, "test", 0, file_name)
    assert [look.n for look in read_accesses(workspace, "v001")] == [1, 1]


def test_missing_training_image_is_left_out(copied: Studied, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """OOD scores use the remaining images, with a message; no catalog is created."""
    workspace, runs = copied
    shutil.rmtree(workspace.cache)
    workspace.catalog.unlink()
    with (workspace.manifests / "v001.csv").open(encoding="utf-8") as file:
        (workspace.root / next(row["path"] for row in csv.DictReader(file) if row["split"] == "train")).unlink()
    (tmp_path / "new.jpg").write_bytes(jpeg(1))
    facts = predict_paths(workspace, runs[0], [str(tmp_path / "new.jpg")])
    assert facts[0].ood_score > 0
    assert "images cannot be read and are left out" in capsys.readouterr().err
    assert not workspace.catalog.exists()


def predict_validation(run: Run, wrong: int) -> None:
    """Store certain predictions on validation, of which the first `wrong` are errors."""
    found, names = run.predictions("val"), run.categories
    said = [names.index(label) for label in found.labels]
    said[:wrong] = [(place + 1) % len(names) for place in said[:wrong]]
    write_predictions_csv(run, "val", found.image_ids, found.labels, np.eye(len(names), dtype=np.float32)[said])


def test_reasons_for_uncalibrated_probabilities(copied: Studied, tmp_path: Path) -> None:
    """No errors on validation, or lost predictions."""
    workspace, (name, _) = copied
    run, image = read_run(workspace, name), tmp_path / "new.jpg"
    shutil.rmtree(workspace.reports / "new-images", ignore_errors=True)  # what other tests asked of the other run
    image.write_bytes(jpeg(1))
    for wrong, why in ((0, NO_ERRORS), (1, None)):
        predict_validation(run, wrong)
        (fact,) = predict_paths(workspace, name, [str(image)])
        assert (fact.calibrated, fact.uncalibrated) == (why is None, why)
    lost = (run.folder / "predictions-val.csv").rename(tmp_path / "lost.csv")
    facts = predict_paths(workspace, name, [str(image)], csv_path=tmp_path / "out.csv")
    assert f"not calibrated: run {name} has no predictions for val" in prediction_table(facts, 1)
    assert "has no predictions for val" in (tmp_path / "out.csv").read_text(encoding="utf-8")
    lost.rename(run.folder / "predictions-val.csv")
    context = ReportContext(workspace, read_manifest(workspace, "v001"), Texts.load("en"), workspace.reports)
    assert "could not be read" in render_new_images(context) and "no errors on validation" not in render_new_images(context)


def test_attribution_maps_are_written(studied: Studied, first_image: Callable[[str], Path], tmp_path: Path) -> None:
    """One PNG per image, also for equal names; an unknown method is an error."""
    workspace, runs = studied
    image, out = str(first_image("test")), tmp_path / "maps"
    facts = predict_paths(workspace, runs[0], [image, image], methods=["saliency", "grad-cam"], output=out)
    assert sorted(str(path) for path in out.iterdir()) == [fact.maps for fact in facts]
    with Image.open(io.BytesIO(Path(facts[0].maps).read_bytes())) as drawn:
        assert drawn.width > 2.2 * drawn.height
    with pytest.raises(FototecaError, match="no attribution method 'magic'"):
        predict_paths(workspace, runs[0], [image], methods=["magic"])


def test_images_in_memory_are_predicted_like_their_files(copied: Studied, first_image: Callable[[str], Path]) -> None:
    """`predict_images` equals `predict_paths` for files and PIL images; a test image in memory is logged as an access too."""
    workspace, runs = copied
    access_log_path(workspace).unlink(missing_ok=True)
    path = first_image("test")
    expected = predict_paths(workspace, runs[0], [str(path)])[0]
    with Image.open(path) as image:
        from_memory, from_file, broken = predict_images(workspace, runs[0], [image, path, path.parent / "none.jpg"])
    assert (from_memory.path, broken.reason) == ("image 1", "unreadable")
    for one in (from_memory, from_file):  # a batch of two differs from one of one image in the last digits
        assert one.ood_score == pytest.approx(expected.ood_score, rel=1e-4)
        assert one.probabilities == pytest.approx(expected.probabilities, rel=1e-4)
        same = {"path": expected.path, "ood_score": expected.ood_score}
        same |= {"probability": expected.probability, "probabilities": expected.probabilities}
        assert replace(one, **same) == expected
    assert [access.n for access in read_accesses(workspace, "v001")] == [1, 2]
