"""Exports hold what the models saw: upright 8-bit sRGB, whatever was collected; other images stay as they are."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fototeca.collect.catalog import Catalog
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.cli.main import app
from fototeca.curate.export.formats import FORMATS, export_version
from fototeca.curate.manifest import SPLITS, Manifest, ManifestRow, read_manifest
from fototeca.curate.versions.freeze import freeze_version
from fototeca.vision.image import decode
from tests.vision.icc import rgb_profile


def photo(seed: int, width: int = 120, height: int = 80) -> Image.Image:
    """Smooth colors, unlike those of other seeds."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def save_turned(path: Path, seed: int) -> None:
    """A photograph that lies on its side, with a place in its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    photo(seed).save(path.with_suffix(".jpg"), exif=exif.tobytes(), quality=95)


def save_glyph(path: Path, seed: int) -> None:
    """A white mark on transparency."""
    image = Image.new("RGBA", (96, 96), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (4 * seed % 60, 30, 4 * seed % 60 + 20, 30 + seed % 40))
    image.save(path.with_suffix(".png"))


def save_fade(path: Path, seed: int) -> None:
    """An animation that begins black."""
    Image.new("RGB", (120, 80)).save(
        path.with_suffix(".gif"), save_all=True, append_images=[photo(seed), photo(seed + 500)], duration=99
    )


def save_heic(path: Path, seed: int) -> None:
    """A photograph of a phone."""
    import_module("pillow_heif").register_heif_opener()
    photo(seed).save(path.with_suffix(".heic"), "HEIF")


CHANGED: dict[str, Callable[[Path, int], None]] = {
    "turned": save_turned,
    "deep": lambda path, seed: Image.fromarray(np.asarray(photo(seed).convert("L")).astype(np.uint16) * 257).save(
        path.with_suffix(".png")
    ),
    "glyph": save_glyph,
    "wide": lambda path, seed: photo(seed).save(path.with_suffix(".png"), icc_profile=rgb_profile()),
    "cmyk": lambda path, seed: photo(seed).convert("CMYK").save(path.with_suffix(".jpg")),
    "fade": save_fade,
    "heic": save_heic,
}
PLAIN: dict[str, Callable[[Path, int], None]] = {
    "jpeg": lambda path, seed: photo(seed).save(path.with_suffix(".jpg")),
    "png": lambda path, seed: photo(seed).convert("RGBA").save(path.with_suffix(".png")),
    "grey": lambda path, seed: photo(seed).convert("L").save(path.with_suffix(".webp")),
}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Manifest]:
    """A version with every kind of image, ten a category."""
    folder = tmp_path_factory.mktemp("normalised")
    for place, (name, save) in enumerate({**CHANGED, **PLAIN}.items()):
        for number in range(2):
            category = folder / "in" / ("cat" if number else "dog")
            category.mkdir(parents=True, exist_ok=True)
            save(category / f"{name}{number}", 10 * place + number + 1)
    workspace = create_workspace(folder / "w", ["cat", "dog"], target=1)
    collect_folder(workspace, folder / "in", FolderOptions(label_from_folder=True), FetchOptions())
    manifest = freeze_version(workspace).manifest
    assert len(manifest.rows) == 2 * len({**CHANGED, **PLAIN})
    return workspace, manifest


def kinds(workspace: Workspace, manifest: Manifest) -> dict[str, str]:
    """How reading changes each image, as the catalog has it."""
    with Catalog.open(workspace) as catalog:
        images = {image.image_id: image for image in catalog.images.all()}
    return {row.image_id: images[row.image_id].normalized for row in manifest.rows}


def test_catalog_keeps_how_images_are_read(collected: tuple[Workspace, Manifest]) -> None:
    """Background, frame and changes of every image; `phash` is that of the image as read."""
    imagehash = import_module("imagehash")
    workspace, _ = collected
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all()
    changes = sorted({image.normalized for image in images})
    assert changes == ["", "animation", "cmyk", "depth", "orientation", "profile", "transparency"]
    assert {image.background for image in images} == {"", "black"}
    assert {image.frame for image in images if image.format == "GIF"} == {1}
    for image in images:
        assert image.phash == str(imagehash.phash(decode(workspace.root / image.path)))


def same_pixels(file: Path, workspace: Workspace, row: ManifestRow) -> bool:
    """Whether Pillow alone reads from a file what the models saw of an image."""
    with Image.open(file) as image:
        return np.array_equal(np.asarray(image.convert("RGB")), np.asarray(decode(workspace.root / row.path)))


def test_torchvision_reads_what_the_models_saw(collected: tuple[Workspace, Manifest], tmp_path: Path) -> None:
    """Every image of an ImageFolder equals the decoded one; untouched images are the stored files."""
    from torchvision.datasets import ImageFolder

    workspace, manifest = collected
    export_version(workspace, "v001", tmp_path / "out", "imagefolder", copy=True)
    rows = {row.image_id: row for row in manifest.rows}
    changed = kinds(workspace, manifest)
    count = 0
    for split in SPLITS:
        dataset = ImageFolder(str(tmp_path / "out" / split), allow_empty=True)
        for (path, _), (image, _) in zip(dataset.samples, dataset, strict=True):
            row = rows[Path(path).stem]
            assert np.array_equal(np.asarray(image), np.asarray(decode(workspace.root / row.path)))
            is_stored = hashlib.sha256(Path(path).read_bytes()).hexdigest() == row.image_id
            assert is_stored is (not changed[row.image_id] and not row.path.endswith(".heic"))
            with Image.open(path) as file:
                assert is_stored or (not file.getexif() and not file.info.keys() - {"transparency"})
            count += 1
    assert count == len(rows)
    text = (tmp_path / "out" / "DATASHEET.md").read_text(encoding="utf-8")
    assert "14 of 20 files were written as the models saw them" in text


@pytest.mark.parametrize("kind", ["huggingface", "croissant", "coco"])
def test_every_format_can_be_normalised(collected: tuple[Workspace, Manifest], tmp_path: Path, kind: str) -> None:
    """The files that each format points to hold the decoded pixels."""
    workspace, manifest = collected
    export_version(workspace, "v001", tmp_path / "out", kind, normalise=True)
    files = {path.stem: path for path in (tmp_path / "out").rglob("*") if len(path.stem) == 64}
    assert all(same_pixels(files[row.image_id], workspace, row) for row in manifest.rows)
    assert len(files) == len(manifest.rows)


@pytest.mark.parametrize("normalise", [None, True])
def test_coco_declares_the_sizes_of_its_files(
    collected: tuple[Workspace, Manifest], tmp_path: Path, normalise: bool | None
) -> None:
    """As stored for a photograph that lies on its side, upright once it is written upright."""
    workspace, manifest = collected
    export_version(workspace, "v001", tmp_path / "out", "coco", normalise=normalise)
    turned = {row.image_id for row in manifest.rows if row.width == 80}
    assert len(turned) == 2
    for split in SPLITS:
        document = json.loads((tmp_path / "out" / "annotations" / f"{split}.json").read_text())
        boxes = {row["image_id"]: row["bbox"] for row in document["annotations"]}
        for image in document["images"]:
            path = tmp_path / "out" / "images" / image["file_name"]
            with Image.open(path) as file:
                assert file.size == (image["width"], image["height"])
            assert boxes[image["id"]] == [0, 0, image["width"], image["height"]]
            assert image["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            if path.stem in turned:
                assert (image["width"], image["height"]) == ((80, 120) if normalise else (120, 80))


def test_croissant_has_the_digests_of_its_files(collected: tuple[Workspace, Manifest], tmp_path: Path) -> None:
    """mlcroissant reads a normalized export without complaint."""
    workspace, _ = collected
    export_version(workspace, "v001", tmp_path / "out", "croissant", normalise=True, copy=True)
    dataset = import_module("mlcroissant").Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    count = 0
    lines = (tmp_path / "out" / "manifest.csv").read_text(encoding="utf-8").splitlines()
    columns = lines[0].split(",")
    for line in lines[1:]:
        cells = dict(zip(columns, line.split(","), strict=True))
        assert hashlib.sha256((tmp_path / "out" / cells["path"]).read_bytes()).hexdigest() == cells["sha256"]
        count += 1
    assert count == len(read_manifest(workspace, "v001").rows)


def test_webdataset_shards(collected: tuple[Workspace, Manifest], tmp_path: Path) -> None:
    """Members of each image stand together in the order of ids; two exports are equal byte by byte."""
    workspace, manifest = collected
    for name in ("first", "second"):
        export_version(workspace, "v001", tmp_path / name, "webdataset")
    shards = sorted(path.name for path in (tmp_path / "first").glob("*.tar"))
    assert shards == [f"{split}-000000.tar" for split in ("test", "train", "val")]
    assert (tmp_path / "first" / "classes.txt").read_text() == "cat\ndog\n"
    for split in SPLITS:
        data = (tmp_path / "first" / f"{split}-000000.tar").read_bytes()
        assert data == (tmp_path / "second" / f"{split}-000000.tar").read_bytes()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
        for row, place in zip(manifest.split(split), range(0, len(members), 3), strict=True):
            (image_name, image), (class_name, index), (json_name, record) = members[place : place + 3]
            assert {Path(name).stem for name in (image_name, class_name, json_name)} == {row.image_id}
            assert int(index) == ["cat", "dog"].index(row.label)
            values = json.loads(record)
            assert (values["label"], values["split"], values["phash"]) == (row.label, split, row.phash)
            with Image.open(io.BytesIO(image)) as file:
                assert file.size == (values["width"], values["height"]) == (row.width, row.height)
                assert np.array_equal(np.asarray(file.convert("RGB")), np.asarray(decode(workspace.root / row.path)))
    assert not (tmp_path / "first" / "images").exists()


def test_shards_are_closed_when_full(
    collected: tuple[Workspace, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No image is lost between shards."""
    monkeypatch.setattr("fototeca.curate.export.webdataset.SHARD_IMAGES", 3)
    workspace, manifest = collected
    export_version(workspace, "v001", tmp_path / "out", "webdataset")
    names = []
    for path in sorted((tmp_path / "out").glob("train-*.tar")):
        with tarfile.open(path) as tar:
            images = [name for name in tar.getnames() if name.endswith(".cls")]
            assert len(images) <= 3
            names += images
    assert names == [f"{row.image_id}.cls" for row in manifest.split("train")]


@pytest.mark.parametrize("option", [[], ["--keep-metadata"]])
def test_command_leaves_files_alone_on_request(
    collected: tuple[Workspace, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    """--no-normalise links the stored files without metadata, except those that the format's readers cannot read."""
    workspace, manifest = collected
    monkeypatch.chdir(workspace.root)
    out = str(tmp_path / "out")
    result = CliRunner().invoke(app, ["export", "v001", out, "--format", "imagefolder", "--no-normalise", *option])
    assert result.exit_code == 0 and "4 of 20 images were written" in result.output, result.output
    assert ("metadata was removed from 2 of 20 images" in result.output) is (not option)
    links = [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]
    known = kinds(workspace, manifest)
    rows = [row for row in manifest.rows if option or known[row.image_id] != "orientation"]
    assert len(links) == len([row for row in rows if not row.path.endswith((".gif", ".heic"))])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("options", [{}, {"normalise": False}, {"normalise": True, "copy": True}])
def test_no_format_publishes_metadata(
    collected: tuple[Workspace, Manifest], tmp_path: Path, kind: str, options: dict[str, bool]
) -> None:
    """Exported files have the pixels of the stored ones and none of their metadata; the store keeps it."""
    workspace, manifest = collected
    stored = {row.image_id: (workspace.root / row.path).read_bytes() for row in manifest.rows}
    assert any(b"Exif" in data for data in stored.values())
    export_version(workspace, "v001", tmp_path / "out", kind, **options)
    for shard in (tmp_path / "out").glob("*.tar"):
        with tarfile.open(shard) as tar:
            tar.extractall(tmp_path / "out", filter="data")
    files = [path for path in (tmp_path / "out").rglob("*") if len(path.stem) == 64 and path.suffix not in (".json", ".cls")]
    assert len(files) == len(stored)
    for path in files:
        with Image.open(path) as image:
            assert set(image.getexif()) <= {0x0112} and "xmp" not in image.info and "comment" not in image.info
        assert np.array_equal(np.asarray(decode(path)), np.asarray(decode(stored[path.stem])))
    assert stored == {row.image_id: (workspace.root / row.path).read_bytes() for row in manifest.rows}


def test_spreadsheet_safe_tables(tmp_path: Path, add_images: Callable[..., list[str]]) -> None:
    """Texts that begin as formulas get an apostrophe, in the tables of both formats that have one; numbers do not."""
    workspace = create_workspace(tmp_path / "w", ["=1+1", "cat"], target=1)
    add_images(workspace, ["=1+1"] * 3 + ["cat"] * 3, source="@SUM(A1)")
    freeze_version(workspace)
    for kind, name in (("croissant", "manifest.csv"), ("imagefolder", "labels.csv")):
        export_version(workspace, "v001", tmp_path / kind, kind, spreadsheet_safe=True)
        text = (tmp_path / kind / name).read_text(encoding="utf-8")
        assert text.count(",'=1+1") == 3 and ",=1+1" not in text and ",@SUM" not in text and "'96" not in text
        export_version(workspace, "v001", tmp_path / f"{kind}-plain", kind)
        assert (tmp_path / f"{kind}-plain" / name).read_text(encoding="utf-8").count(",=1+1") == 3
