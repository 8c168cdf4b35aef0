"""Export a frozen version as ImageFolder, Hugging Face dataset, Croissant 1.1 or COCO-style JSON."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection
from glob import escape
from pathlib import Path

from tqdm import tqdm

from fototeca.core.console import notify
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.files import write_bytes, write_csv, write_text
from fototeca.core.settings import check_name
from fototeca.core.workspace import Workspace
from fototeca.curate.export.croissant import croissant_document
from fototeca.curate.export.datasheet import dataset_card, datasheet
from fototeca.curate.manifest import SPLITS, Manifest, ManifestRow, image_path, manifest_bytes, read_manifest
from fototeca.vision.image import decode

KNOWN = frozenset({".jpg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Suffixes of stored images that torchvision's ImageFolder reads."""


class Export:
    """An export in progress: its folder, and whether images are copied or linked."""

    def __init__(self, workspace: Workspace, manifest: Manifest, folder: Path, copy: bool) -> None:
        self.workspace, self.manifest, self.folder, self.copy = workspace, manifest, folder, copy

    def place(self, row: ManifestRow, folder: str, known: Collection[str] = ()) -> str:
        """Copy or link the image of a row into a folder of the export; return its path there.

        `known`: suffixes that the format supports, empty for all; other images are written as PNG.

        Raises:
            FototecaError: the image is missing, or its bytes do not match its id.
        """
        source = image_path(self.workspace, row)
        with source.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != row.image_id:
                raise FototecaError(
                    f"image {row.image_id[:12]} has bytes that do not match its id: {row.path}",
                    "restore the file",
                )
        target = self.folder / folder / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if known and target.suffix not in known:
            target = target.with_suffix(".png")
            decode(source).save(target)
        elif self.copy:
            shutil.copyfile(source, target)
        else:
            target.symlink_to(source)
        return f"{folder}/{target.name}"

    def rows(self) -> tqdm[ManifestRow]:
        """Return the rows with a progress bar."""
        return tqdm(self.manifest.rows, desc="export", unit="image", disable=None)


def export_version(workspace: Workspace, version: str, folder: Path, kind: str, *, copy: bool = False) -> Path:
    """Write a version to `folder`, which must be new or empty, with a datasheet. Images are linked unless `copy`.

    The folder is renamed into place when it is complete; after an error nothing is left.

    Raises:
        FototecaError: the format is unknown, the folder is not empty, an image is missing or changed, or the disk is full.

    Example:
        >>> export_version(Workspace.find(), "latest", Path("out"), "huggingface")
    """
    if kind not in FORMATS:
        raise FototecaError(f"unknown format {kind!r}", f"choose one of: {', '.join(FORMATS)}")
    manifest = read_manifest(workspace, version)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FototecaError(f"{folder} is not empty", "give a new folder")
    if folder.is_mount():
        raise FototecaError(f"{folder} is a mount point", "give a folder on it")
    check_names(manifest)
    whole = folder.resolve()
    part = whole.with_name(f".{whole.name}.{os.urandom(4).hex()}.part")
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        for left in whole.parent.glob(f".{escape(whole.name)}.*.part"):
            notify(f"an interrupted export left {left}; delete it if no export is running")
        part.mkdir()
        FORMATS[kind](Export(workspace, manifest, part, copy))
        write_text(part / "DATASHEET.md", datasheet(workspace, manifest))
        part.replace(whole)
    except OSError as error:
        raise ExternalError(
            f"{folder} could not be written: {error.strerror}", "free some space, or give another folder"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def check_names(manifest: Manifest) -> None:
    """Check that categories are valid folder names and labels are categories, since the manifest may come from elsewhere.

    Raises:
        FototecaError: a name is invalid or a label is unknown.
    """
    for name in manifest.categories:
        check_name(name, "category")
    unknown = {label for row in manifest.rows for label in row.labels} - set(manifest.categories)
    if unknown:
        raise FototecaError(
            f"{manifest.version} has unknown labels: {', '.join(sorted(unknown))}",
            f"see: fototeca curate verify {manifest.version}",
        )


def export_imagefolder(export: Export) -> None:
    """Write `SPLIT/CATEGORY/ID.jpg` for torchvision.datasets.ImageFolder; multi-label: `SPLIT/ID.jpg` and labels.csv.

    ImageFolder skips GIF and AVIF files, so these are written as PNG.
    """
    multi = export.manifest.task == "multi"
    for split in SPLITS:
        for category in () if multi else export.manifest.categories:
            (export.folder / split / category).mkdir(parents=True, exist_ok=True)
        if not multi and len(list((export.folder / split).iterdir())) < len(export.manifest.categories):
            raise FototecaError("this disk ignores case, in which categories differ", "use another disk or --format")
    cells = [(export.place(row, row.split if multi else f"{row.split}/{row.label}", KNOWN), row.label) for row in export.rows()]
    write_csv(export.folder / "labels.csv", ("path", "label"), cells)


def export_huggingface(export: Export) -> None:
    """Write `data/SPLIT/ID.jpg`, a metadata.jsonl per split and a dataset card, as `datasets` loads a folder of images.

    JSON Lines rather than CSV, because `datasets` infers the types of CSV columns, quoted or not: labels such as 007 would
    become numbers, and `nan` or an empty cell a missing value.
    """
    columns = ("label", "image_id", "group", "source", "image_url", "page_url", "author", "license")
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    for row in export.rows():
        cells = {"file_name": Path(export.place(row, f"data/{row.split}")).name} | {name: getattr(row, name) for name in columns}
        lines[row.split].append(json.dumps(cells, ensure_ascii=False) + "\n")
    for split, records in lines.items():
        if records:  # `datasets` refuses a folder with an empty split
            write_text(export.folder / "data" / split / "metadata.jsonl", "".join(records))
    write_text(export.folder / "README.md", dataset_card(export.workspace, export.manifest))


def export_croissant(export: Export) -> None:
    """Write `images/ID.jpg`, the manifest with paths of the export, and `croissant.json`, which describes both."""
    places = [export.place(row, "images") for row in export.rows()]
    rows = [ManifestRow(**{**row.__dict__, "path": place}) for row, place in zip(export.manifest.rows, places, strict=True)]
    content = manifest_bytes(rows)
    write_bytes(export.folder / "manifest.csv", content)
    document = croissant_document(export.manifest, content)
    write_text(export.folder / "croissant.json", json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def export_coco(export: Export) -> None:
    """Write `images/ID.jpg` and `annotations/SPLIT.json`: one annotation per label, whose box and mask are the whole image."""
    names = sorted({row.license for row in export.manifest.rows})
    numbers = {name: number for number, name in enumerate(export.manifest.categories, 1)}
    images: dict[str, list[dict[str, object]]] = {split: [] for split in SPLITS}
    annotations: dict[str, list[dict[str, object]]] = {split: [] for split in SPLITS}
    count = 0
    for number, row in enumerate(export.rows(), 1):
        name = Path(export.place(row, "images")).name
        image = {"id": number, "file_name": name, "width": row.width, "height": row.height}
        license = names.index(row.license) + 1
        images[row.split].append({**image, "license": license, "coco_url": row.image_url, "sha256": row.image_id})
        width, height = row.width, row.height
        for label in row.labels:
            count += 1
            annotations[row.split].append(
                {
                    "id": count,
                    "image_id": number,
                    "category_id": numbers[label],
                    "bbox": [0, 0, width, height],
                    "segmentation": [[0, 0, width, 0, width, height, 0, height]],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    info = {
        "description": export.manifest.dataset_name,
        "version": export.manifest.version,
        "date_created": export.manifest.created,
    }
    categories = [{"id": number, "name": name, "supercategory": ""} for name, number in numbers.items()]
    licenses = [{"id": number, "name": name, "url": ""} for number, name in enumerate(names, 1)]
    for split in SPLITS:
        parts = {"images": images[split], "annotations": annotations[split], "categories": categories}
        document = {"info": info, "licenses": licenses, **parts}
        write_text(export.folder / "annotations" / f"{split}.json", json.dumps(document, ensure_ascii=False) + "\n")


FORMATS: dict[str, Callable[[Export], None]] = {
    "imagefolder": export_imagefolder,
    "huggingface": export_huggingface,
    "croissant": export_croissant,
    "coco": export_coco,
}
"""Values of `--format`."""
