"""Tests for dataset exports, read back with the tools that each format is for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fototeca.collect.catalog import Actor, Catalog, Edit, ImageRow
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.store import store_image
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.export.datasheet import hub_license
from fototeca.curate.export.formats import FORMATS, KNOWN, export_version
from fototeca.curate.labels.decisions import label_images, reject_images
from fototeca.curate.manifest import SPLITS, Manifest, ManifestRow
from fototeca.curate.versions.freeze import freeze_version
from fototeca.vision.image import decode
from tests.curate.conftest import png_bytes

AddImages = Callable[..., list[str]]


@pytest.fixture
def manifest(workspace: Workspace, add_images: AddImages) -> Manifest:
    """A frozen version with ten images per category."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    return freeze_version(workspace, note="for export").manifest


def test_imagefolder_is_read_by_torchvision(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """Classes and counts per split equal the manifest's."""
    from torchvision.datasets import ImageFolder

    export_version(workspace, "v001", tmp_path / "out", "imagefolder")
    for split in SPLITS:
        dataset = ImageFolder(str(tmp_path / "out" / split), allow_empty=True)
        assert dataset.classes == ["cat", "dog"]
        assert len(dataset) == len(manifest.split(split))
        assert dataset[0][0].size == (64, 48)


def test_imagefolder_has_a_folder_for_every_category(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """A category without images in a split has an empty folder, so class indices are equal in every split."""
    from torchvision.datasets import ImageFolder

    workspace.config.write_text(workspace.config.read_text() + '\n[categories."bird"]\nqueries = []\n')
    changed_workspace = Workspace(workspace.root)
    label_images(changed_workspace, [row.image_id for row in manifest.split("train") if row.label == "cat"][:3], "bird")
    counts = freeze_version(changed_workspace).manifest.label_counts()["bird"]
    assert counts == {"train": 3, "val": 0, "test": 0}, "images retain their split"
    export_version(changed_workspace, "v002", tmp_path / "out", "imagefolder")
    datasets = {split: ImageFolder(str(tmp_path / "out" / split), allow_empty=True) for split in SPLITS}
    assert [dataset.class_to_idx for dataset in datasets.values()] == [{"bird": 0, "cat": 1, "dog": 2}] * 3
    assert {split: dataset.targets.count(0) for split, dataset in datasets.items()} == counts
    with pytest.raises(FileNotFoundError, match="bird"):
        ImageFolder(str(tmp_path / "out" / "test"))


def test_links_and_copies(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """Links point into the store; copies are independent files with the same bytes."""
    for name, copy in (("links", False), ("copies", True)):
        export_version(workspace, "v001", tmp_path / name, "croissant", copy=copy)
        files = list((tmp_path / name / "images").iterdir())
        assert all(file.is_symlink() is not copy for file in files)
        assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} == {row.image_id for row in manifest.rows}


def test_croissant_round_trips_through_mlcroissant(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """mlcroissant reports no errors and reads splits, labels, images and the digest of every image file."""
    mlcroissant = import_module("mlcroissant")
    export_version(workspace, "v001", tmp_path / "out", "croissant", copy=True)
    dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    assert dataset.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    assert not dataset.metadata.ctx.issues.errors
    assert [tuple(decode_record(record).values()) for record in dataset.records("splits")] == [
        ("train", "cr:TrainingSplit"),
        ("val", "cr:ValidationSplit"),
        ("test", "cr:TestSplit"),
    ]
    records = [decode_record(record) for record in dataset.records("images")]
    assert {(row["images/sha256"], row["images/label"], row["images/split"]) for row in records} == {
        (row.image_id, row.label, row.split) for row in manifest.rows
    }
    for row in records:
        file = tmp_path / "out" / "images" / str(row["images/path"])
        assert hashlib.sha256(file.read_bytes()).hexdigest() == row["images/sha256"]
    assert records[0]["images/content"].size == (64, 48)


def decode_record(record: dict[str, Any]) -> dict[str, Any]:
    """Decode the byte strings of an mlcroissant record."""
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in record.items()}


def test_huggingface_folder_layout(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """Each split's metadata.jsonl lists its files with labels, and the dataset card names the splits."""
    export_version(workspace, "v001", tmp_path / "out", "huggingface")
    for split in SPLITS:
        folder = tmp_path / "out" / "data" / split
        rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
        assert {(row["image_id"], row["label"]) for row in rows} == {(r.image_id, r.label) for r in manifest.split(split)}
        assert all((folder / row["file_name"]).is_file() for row in rows)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert "- split: validation\n    path: data/val/**" in card


AMBIGUOUS_LABELS = [
    ("single", ["007", "010"], []),
    ("single", ["nan", "none", "NA"], []),
    ("single", ["true", "false", "1e5"], []),
    ("multi", ["007", "cat"], ["", "007|cat"]),
]
"""Tasks, categories and further labels that type inference would read as numbers, booleans or missing values."""


@pytest.fixture(params=AMBIGUOUS_LABELS, ids=lambda case: " ".join(case[1]))
def ambiguous_export(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Manifest, Path]:
    """A version with ambiguous labels and images of unknown origin, and its Hugging Face export."""
    task, names, more_labels = request.param
    workspace = create_workspace(tmp_path / "w", names, task=task)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        for number, label in enumerate([*names, *more_labels] * 10):
            image_id, path = store_image(workspace, png_bytes(number), "PNG")
            row = ImageRow(image_id, workspace.relative(path), "PNG", 64, 48, "RGB", 9, f"{number:016x}")
            catalog.images.insert(row, "2020-01-01T00:00:00.000000+00:00")
            catalog.decisions.add(image_id, Edit.relabel(label), by=Actor.person("ana"))
    manifest = freeze_version(workspace).manifest
    return manifest, export_version(workspace, "v001", tmp_path / "out", "huggingface")


@pytest.mark.parametrize("loader", ["imagefolder", "card"])
def test_datasets_reads_the_same_rows(
    ambiguous_export: tuple[Manifest, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str
) -> None:
    """`datasets` reads the same splits, text columns and images as an image folder and through the card."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = import_module("datasets")  # slow to load
    manifest, folder = ambiguous_export
    source = ("imagefolder", None, str(folder)) if loader == "imagefolder" else (str(folder),)
    loaded = datasets.load_dataset(*source, cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train", "validation", "test"]
    for split, rows in zip(SPLITS, loaded.values(), strict=True):
        assert [plain_columns(row, rows.features) for row in rows] == [
            expected_columns(row, manifest.task) for row in manifest.split(split)
        ]
        files = rows.cast_column("image", datasets.Image(decode=False))["image"]
        assert [hashlib.sha256(Path(file["path"]).read_bytes()).hexdigest() for file in files] == list(rows["image_id"])
        if loader == "card":
            label = rows.features["label"]
            classes = label.feature if manifest.task == "multi" else label
            assert isinstance(classes, datasets.ClassLabel) and tuple(classes.names) == manifest.categories


def plain_columns(row: dict[str, Any], features: dict[str, Any]) -> dict[str, object]:
    """Return a loaded row without its image, labels by name."""
    label, kind = row["label"], features["label"]
    kind = getattr(kind, "feature", kind)
    names = getattr(kind, "names", None)
    if names:
        label = [names[index] for index in label] if isinstance(label, list) else names[label]
    return {name: value for name, value in row.items() if name != "image"} | {"label": label}


def expected_columns(row: ManifestRow, task: str) -> dict[str, object]:
    """Return the same columns of a manifest row."""
    names = ("image_id", "split", "group", "phash", "source", "image_url", "page_url", "author", "license", "width", "height")
    label = list(row.labels) if task == "multi" else row.label
    return {name: getattr(row, name) for name in (*names, "reviewed")} | {"label": label}


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        ({"CC-BY-4.0"}, "cc-by-4.0"),
        ({"ODbL-1.0"}, "odbl"),
        ({"GPL-3.0-or-later"}, "gpl-3.0"),
        ({"GFDL-1.2-only"}, "gfdl"),
        ({"CC-BY-SA-2.0"}, "other"),
        ({"CC-BY-3.0-DE"}, "other"),
        ({"CC-PDM-1.0"}, "other"),
        ({"LicenseRef-PublicDomain"}, "other"),
        ({"unknown"}, "other"),
        ({"CC-BY-4.0", "CC0-1.0"}, "other"),
        (set(), "other"),
    ],
)
def test_hub_license(licenses: set[str], expected: str) -> None:
    """A single license in the Hub's list has the Hub's name; all other licenses, and several, are `other`."""
    assert hub_license(licenses) == expected


def test_coco_has_one_annotation_per_label(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """Each label has one annotation, ids are unique over all splits, and all image files exist."""
    export_version(workspace, "v001", tmp_path / "out", "coco")
    annotation_ids: list[int] = []
    for split in SPLITS:
        document = json.loads((tmp_path / "out" / "annotations" / f"{split}.json").read_text())
        names = {category["id"]: category["name"] for category in document["categories"]}
        labels = {row["image_id"]: names[row["category_id"]] for row in document["annotations"]}
        assert {(image["sha256"], labels[image["id"]]) for image in document["images"]} == {
            (row.image_id, row.label) for row in manifest.split(split)
        }
        assert all((tmp_path / "out" / "images" / image["file_name"]).is_file() for image in document["images"])
        annotation_ids += [row["id"] for row in document["annotations"]]
    assert sorted(annotation_ids) == list(range(1, 21))


def test_coco_is_read_by_pycocotools(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """Boxes and masks cover the whole image, and each image's license is in the license table."""
    pycocotools = import_module("pycocotools.coco")
    export_version(workspace, "v001", tmp_path / "out", "coco")
    coco = pycocotools.COCO(str(tmp_path / "out" / "annotations" / "train.json"))
    (first, *_) = coco.loadAnns(coco.getAnnIds(imgIds=coco.getImgIds()[:1]))
    assert coco.annToMask(first).shape == (48, 64) and coco.annToMask(first).all()
    names = {row["id"]: row["name"] for row in coco.dataset["licenses"]}
    assert {names[row["license"]] for row in coco.dataset["images"]} == {"CC-BY-4.0"}


def test_imagefolder_converts_unsupported_formats_to_png(tmp_path: Path) -> None:
    """GIF and AVIF are written as PNG with the decoded pixels; torchvision reads the store's other formats."""
    from torchvision.datasets.folder import IMG_EXTENSIONS, ImageFolder

    assert set(IMG_EXTENSIONS) >= KNOWN
    folder = tmp_path / "in"
    for label, colors in (("cat", range(0, 200, 40)), ("dog", range(20, 220, 40))):
        (folder / label).mkdir(parents=True)
        for color in colors:
            for suffix in ("gif", "avif", "jpg", "webp"):
                Image.new("RGB", (300, 260), (color, 200 - color, len(suffix) * 9)).save(folder / label / f"{color}.{suffix}")
    workspace = create_workspace(tmp_path / "w", ["cat", "dog"])
    collect_folder(workspace, folder, FolderOptions(label_from_folder=True), FetchOptions())
    manifest = freeze_version(workspace).manifest
    assert {Path(row.path).suffix for row in manifest.rows} == {".gif", ".avif", ".jpg", ".webp"}
    export_version(workspace, "v001", tmp_path / "out", "imagefolder")
    for split in SPLITS:
        assert len(ImageFolder(str(tmp_path / "out" / split), allow_empty=True)) == len(manifest.split(split))
    gif = next(row for row in manifest.rows if row.path.endswith(".gif"))
    written = Image.open(tmp_path / "out" / gif.split / gif.label / f"{gif.image_id}.png")
    assert written.tobytes() == decode(workspace.root / gif.path).tobytes()


def test_huggingface_omits_empty_splits(
    workspace: Workspace, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty split is omitted, because `datasets` cannot load a split without files."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    reject_images(workspace, [row.image_id for row in manifest.split("val")], "drawing")
    counts = freeze_version(workspace).manifest.split_counts()
    assert counts["val"] == 0
    export_version(workspace, "v002", tmp_path / "out", "huggingface")
    loaded = import_module("datasets").load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": counts["train"], "test": counts["test"]}


def test_interrupted_export_folder_is_reported_and_not_deleted(
    workspace: Workspace, manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A leftover `.part` folder is reported and not deleted, because it may hold the user's files."""
    for name in (".out.part", ".out.0a1b2c3d.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("mine")
    export_version(workspace, "v001", tmp_path / "out", "coco")
    assert f"left {tmp_path / '.out.0a1b2c3d.part'}; delete it" in capsys.readouterr().err
    assert len(list(tmp_path.glob(".out.*/thesis.txt"))) == 2


def test_multi_label_exports(tmp_path: Path, add_images: AddImages) -> None:
    """Images with two labels and with none are in every format."""
    workspace = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi")
    ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10 + [""] * 3)
    label_images(workspace, ids[:4], "cat|dog")
    freeze_version(workspace)
    for name in FORMATS:
        export_version(workspace, "v001", tmp_path / name, name)
        if name != "webdataset":
            assert len(list((tmp_path / name).rglob("*.png"))) == 23
    documents = [json.loads(path.read_text()) for path in (tmp_path / "coco" / "annotations").iterdir()]
    assert sum(len(document["annotations"]) for document in documents) == 24
    mlcroissant = import_module("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=str(tmp_path / "croissant" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors


def test_datasheet_contents(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """The datasheet has counts, sources, licenses, known issues and the user's own text."""
    workspace.report_text.write_text("## motivation\n\nTo tell pets apart.\n\n## collection\n\n## challenges\n", encoding="utf-8")
    export_version(workspace, "v001", tmp_path / "out", "coco")
    text = (tmp_path / "out" / "DATASHEET.md").read_text(encoding="utf-8")
    for line in ("To tell pets apart.", "| cat | 7 | 1 | 2 | 10 |", "| site | 20 |", "| CC-BY-4.0 | 20 |", "20 of 20 labels"):
        assert line in text


def test_failed_export_writes_nothing(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """A missing image, an unknown format or a non-empty folder raises an error, and nothing is written."""
    (workspace.root / manifest.rows[-1].path).unlink()
    with pytest.raises(FototecaError, match="is missing"):
        export_version(workspace, "v001", tmp_path / "out", "coco")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    with pytest.raises(FototecaError, match="choose one of"):
        export_version(workspace, "v001", tmp_path / "out", "tfrecord")
    with pytest.raises(FototecaError, match="not empty"):
        export_version(workspace, "v001", workspace.root, "coco")


def test_changed_bytes_are_not_exported(workspace: Workspace, manifest: Manifest, tmp_path: Path) -> None:
    """An image whose bytes do not match its id fails the export."""
    row = manifest.rows[3]
    (workspace.root / row.path).write_bytes(b"something else")
    with pytest.raises(FototecaError, match=f"{row.image_id[:12]} has bytes that do not match"):
        export_version(workspace, "v001", tmp_path / "out", "coco")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cell", ["path", "label"])
def test_manifest_paths_outside_the_store_are_rejected(
    workspace: Workspace, manifest: Manifest, tmp_path: Path, cell: str
) -> None:
    """A path outside the store and a label that is a path are rejected, even with a matching digest."""
    row = manifest.rows[0]
    (tmp_path / "secret").write_text("secret")
    outside = {"path": "../secret", "label": "../../../gone"}[cell]
    content = manifest.path.read_text().replace(
        f",{row.label}," if cell == "label" else row.path, f",{outside}," if cell == "label" else outside
    )
    manifest.path.write_text(content)
    metadata = json.loads(manifest.path.with_suffix(".json").read_text())
    metadata["sha256"] = hashlib.sha256(content.encode()).hexdigest()
    manifest.path.with_suffix(".json").write_text(json.dumps(metadata))
    with pytest.raises(FototecaError, match=rf"v001.csv, line 2: {cell} is '"):
        export_version(workspace, "v001", tmp_path / "out", "imagefolder", copy=True)
    assert {path.name for path in tmp_path.iterdir()} == {"w", "secret"}
