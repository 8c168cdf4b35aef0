"""A takedown is honoured everywhere: bytes, thumbnails, caches, reports, predictions; and it stays honoured."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fototeca as ft
from fototeca.collect.catalog import Catalog
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.store import ErasedImageError, store_image
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.cli.main import app
from fototeca.curate.duplicates.dedup import dedup
from fototeca.curate.erasure import copies, erase
from fototeca.curate.erasure.erase import Selection, erase_images
from fototeca.curate.export.formats import export_version
from fototeca.curate.labels.decisions import label_images, list_decisions
from fototeca.curate.manifest import read_manifest
from fototeca.curate.review.apart import restore_images
from fototeca.curate.review.thumbnails import make_thumbnail
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version
from fototeca.curate.versions.recover import recover_catalog
from fototeca.curate.versions.verify import verify_version
from fototeca.vision.store import RowStore


def collect(workspace: Workspace, folder: Path) -> CollectSummary:
    """Collect a folder with its labels."""
    return collect_folder(workspace, folder, FolderOptions(label_from_folder=True), FetchOptions())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photographs; `dog/0.png` has a smaller copy."""
    folder = tmp_path / "photos"
    for label, start in (("cat", 0), ("dog", 6)):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            cells = np.random.default_rng(start + number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
            image = Image.fromarray(cells).resize((120, 120), Image.Resampling.BICUBIC)
            image.save(folder / label / f"{number}.png")
    with Image.open(folder / "dog" / "0.png") as image:
        image.resize((90, 90)).save(folder / "dog" / "small.png")
    return folder


@pytest.fixture
def frozen(photos: Path, tmp_path: Path) -> Workspace:
    """A frozen version of the photographs, with what later stages write about them."""
    workspace = create_workspace(tmp_path / "w", ["cat", "dog"], target=1)
    collect(workspace, photos)
    dedup(workspace)
    freeze_version(workspace)
    return workspace


def find_id(workspace: Workspace, name: str) -> str:
    """The id of an image by its original name."""
    with Catalog.open(workspace) as catalog:
        return next(image_id for image_id, known in catalog.provenance.file_names().items() if known == name)


def write_traces(workspace: Workspace, image_id: str) -> list[Path]:
    """Write what other commands leave about an image; return what has to disappear."""
    other = next(row.image_id for row in read_manifest(workspace, "v001").rows if row.image_id != image_id)
    with Catalog.open(workspace) as catalog:
        image = catalog.images.get(image_id)
        assert image is not None
        thumbnail = make_thumbnail(workspace, image)
        catalog.app_samples.set("dataset", [(image_id, "state")])
    assert thumbnail is not None
    data = (workspace.root / image.path).read_bytes()
    store = RowStore(workspace.cache / "pixels" / "8-bilinear-d1", (8,), np.uint8)
    with store.writing():
        store.append([other, image_id], [np.zeros(8, np.uint8)] * 2)
    files = {
        "data/cache/hubs/zenodo-1/extracted/a.png": data,
        "data/cache/analysis/run/ood-1.json": json.dumps({image_id: 0.5}).encode(),
        "data/cache/pages/google-1.html": b"<img src='data:image/png'>",
        "data/masks/" + image_id + ".png": b"mask",
        "data/images/incoming/host/.9." + image_id[:40] + ".ab.tmp": data[:9],
        "data/reports/v001/index.html": b"a contact sheet",
        "data/reports/explain/net-1/sheet.png": b"heat",
        "data/reports/predict/other/page.html": f"<a title='{image_id[:12]}'>".encode(),
    }
    kept = {
        "data/runs/net-1/config.json": b'{"manifest": "v001"}',
        "data/runs/net-1/predictions-val.csv": f"image_id,label\n{other},cat\n{image_id},dog\n".encode(),
        "data/reports/curves/net-1.svg": b"<svg/>",
    }
    for name, content in {**files, **kept}.items():
        (workspace.root / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.root / name).write_bytes(content)
    names = [workspace.root / name for name in files]
    return [*names, thumbnail, store.folder / "rows.bin", workspace.root / image.path]


def test_every_copy_goes_and_what_remains_is_named(frozen: Workspace, photos: Path, tmp_path: Path) -> None:
    """Files, rows of predictions and computed values go; versions, runs, exports, originals and copies are named."""
    image_id = find_id(frozen, "dog/0.png")
    small = find_id(frozen, "dog/small.png")
    export_version(frozen, "v001", tmp_path / "out", "coco")
    traces = write_traces(frozen, image_id)
    result = erase_images(frozen, Selection((image_id[:9],)), "request of\nthe author")
    assert not [path for path in traces if path.exists()]
    assert (frozen.root / "data/reports/curves/net-1.svg").exists()
    predictions = (frozen.root / "data/runs/net-1/predictions-val.csv").read_text()
    assert len(predictions.splitlines()) == 2 and image_id not in predictions
    assert (result.images, result.versions, result.runs) == ((image_id,), ("v001",), ("net-1",))
    assert result.exports == (str(tmp_path / "out"),) and result.copies == (small,)
    assert result.originals == (str(photos / "dog" / "0.png"),) and result.files >= len(traces)
    for path in frozen.data.rglob("*"):
        if path.is_file() and not path.name.startswith("catalog"):
            assert image_id[:12] not in path.name and image_id[:12].encode() not in path.read_bytes()
    with Catalog.open(frozen) as catalog:
        assert not catalog.duplicate_cache.signatures(1, [image_id]) and not catalog.app_samples.of("dataset")
        assert not [row for row in catalog.groups.all() if image_id == row.image_id]
        image, copy = catalog.images.get(image_id), catalog.images.get(small)
        assert image and image.erased and image.status == "rejected" and copy and copy.status == "accepted"
    decision = list_decisions(frozen, image_id)[-1]
    assert (decision.new_rejected, decision.reason, decision.actor_kind) == ("erased", "request of the author", "person")


def test_the_same_bytes_are_never_collected_again(frozen: Workspace, photos: Path, tmp_path: Path) -> None:
    """From the same place, another folder or name; a picture that looks like it is announced."""
    image_id = find_id(frozen, "cat/1.png")
    erase_images(frozen, Selection(file_names=("1.png",), image_ids=(image_id,)), "request")
    assert collect(frozen, photos).accepted == 0
    again = tmp_path / "again" / "cat"
    again.mkdir(parents=True)
    shutil.copy(photos / "cat" / "1.png", again / "renamed.png")
    with Image.open(again / "renamed.png") as image:
        image.save(again / "alike.png", compress_level=0)
    summary = collect(frozen, again.parent)
    assert summary.count("rejected", "erased") == 1 and summary.accepted == 1
    assert len(summary.like_erased) == 1 and "looks like an image that was erased" in summary.text()
    assert not list(frozen.images.glob(f"*/{image_id}*"))
    with pytest.raises(ErasedImageError):
        store_image(frozen, (photos / "cat" / "1.png").read_bytes(), "PNG")


def test_versions_after_an_erasure(frozen: Workspace, tmp_path: Path) -> None:
    """The old version verifies with a note and rebuilds, but cannot be exported; a new one lacks the image."""
    image_id = find_id(frozen, "dog/3.png")
    erase_images(frozen, Selection((image_id,)), "request")
    result = verify_version(frozen, "v001")
    assert result.ok and result.erased == 1
    assert rebuild_version(frozen, "v001")
    with pytest.raises(FototecaError, match="was erased"):
        export_version(frozen, "v001", tmp_path / "out", "coco")
    dedup(frozen)
    rows = freeze_version(frozen).manifest.rows
    assert image_id not in {row.image_id for row in rows} and len(rows) > 5
    assert verify_version(frozen, "latest").erased == 0 and rebuild_version(frozen, "latest") and rebuild_version(frozen, "v001")
    with pytest.raises(FototecaError, match="was erased"):
        label_images(frozen, [image_id], "cat")
    with pytest.raises(FototecaError, match="was erased"):
        restore_images(frozen, [image_id])
    export_version(frozen, "latest", tmp_path / "out", "coco")


def test_a_recovered_catalog_knows_erased_images(frozen: Workspace, photos: Path) -> None:
    """`manifests/erased.csv` outlives the catalog; a file that a backup brought back is not taken, and verify says so."""
    image_id = find_id(frozen, "dog/3.png")
    path = next(frozen.images.glob(f"*/{image_id}*"))
    data = path.read_bytes()
    erase_images(frozen, Selection((image_id,)), "request")
    for file in frozen.data.glob("catalog.sqlite*"):
        file.unlink()
    path.write_bytes(data)
    assert recover_catalog(frozen).erased == 1
    assert [problem for problem in verify_version(frozen, "v001").problems if "was erased and its file" in problem]
    erase_images(frozen, Selection((image_id,)), "request")
    assert not path.exists() and verify_version(frozen, "v001").ok
    assert collect(frozen, photos).count("rejected", "erased") == 1


@pytest.mark.parametrize("place", range(len(copies.PLACES) + 1))
def test_a_killed_erasure_is_completed(frozen: Workspace, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """By the same command, or by the command without images; nothing is decided twice."""
    image_id = find_id(frozen, "dog/0.png")
    traces = write_traces(frozen, image_id)

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if place < len(copies.PLACES):
            patched.setattr(copies, "PLACES", (*copies.PLACES[:place], killed))
        else:
            patched.setattr(erase, "regroup", killed)
        with pytest.raises(KeyboardInterrupt):
            erase_images(frozen, Selection((image_id,)), "request")
    with pytest.raises(ErasedImageError):
        store_image(
            frozen,
            next(path for path in Path(frozen.root.parent / "photos").rglob("0.png") if path.parent.name == "dog").read_bytes(),
            "PNG",
        )
    selection = Selection((image_id,)) if place % 2 else Selection()
    result = erase_images(frozen, selection, "request")
    assert result.images == (image_id,) and result.versions == ("v001",)
    assert not [path for path in traces if path.exists()]
    with Catalog.open(frozen) as catalog:
        assert [erasure.is_complete for erasure in catalog.erasures.all()] == [True]
        assert not [row for row in catalog.groups.all() if row.image_id == image_id]
    assert len([decision for decision in list_decisions(frozen, image_id) if decision.new_rejected == "erased"]) == 1
    with pytest.raises(FototecaError, match="no erasure was interrupted"):
        erase_images(frozen, Selection(), "")


@pytest.mark.parametrize(
    ("option", "count"),
    [
        (["--url", "https://ana:pw@example.org/3.png?X-Amz-Signature=1"], 1),
        (["--url", "HTTPS://EXAMPLE.org/./3.png"], 1),
        (["--source", "museum"], 6),
        (["--file-name", "4.png", "--file-name", "5.png"], 2),
    ],
)
def test_selecting_by_origin(
    workspace: Workspace, add_images: object, monkeypatch: pytest.MonkeyPatch, option: list[str], count: int
) -> None:
    """The command asks before it erases; without an answer nothing happens."""
    add_images(workspace, ["cat"] * 6, source="museum")  # type: ignore[operator]
    add_images(workspace, ["dog"] * 6, start=10, source="site")  # type: ignore[operator]
    monkeypatch.chdir(workspace.root)
    run = CliRunner()
    refused = run.invoke(app, ["erase", "--reason", "request", *option], input="n\n")
    assert refused.exit_code == 1 and len(list(workspace.images.rglob("*.png"))) == 12
    assert run.invoke(app, ["erase", *option, "--yes"]).exit_code != 0, "a reason is needed"
    assert run.invoke(app, ["erase", "--reason", "x", "--url", "https://example.org/none.png", "--yes"]).exit_code != 0
    result = run.invoke(app, ["erase", "--reason", "request", *option, "--yes", "--json"])
    assert len(json.loads(result.stdout)["images"]) == count
    assert len(list(workspace.images.rglob("*.png"))) == 12 - count


def test_python_and_tombstone_file(frozen: Workspace) -> None:
    """`ws.erase` does what the command does; the file of tombstones is a sorted table."""
    ids = sorted((find_id(frozen, "cat/2.png"), find_id(frozen, "cat/3.png")))
    ws = ft.Workspace.open(frozen.root)
    assert ws.erase(ids[:1], reason="request").images == (ids[0],)
    assert ws.erase(file_names=["cat/2.png", "cat/3.png"], reason="other").images == tuple(ids)
    text = (frozen.manifests / "erased.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["image_id"], row["reason"]) for row in rows] == [(ids[0], "request"), (ids[1], "other")]
