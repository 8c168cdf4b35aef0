"""A frozen version in the formats of other tools: ImageFolder, Hugging Face, Croissant 1.1 and COCO-style JSON."""

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
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.files import write_bytes, write_csv, write_text
from fototeca.core.settings import check_name
from fototeca.core.workspace import Workspace
from fototeca.curate.export.croissant import croissant_document
from fototeca.curate.export.datasheet import dataset_card, datasheet
from fototeca.curate.manifest import SPLITS, Manifest, ManifestRow, image_path, manifest_bytes, read_manifest
from fototeca.vision.image import decode

KNOWN = frozenset({".jpg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""What torchvision's ImageFolder does not pass over, of what the store may hold."""


class Export:
    """One export on its way: where it is written, and how images get there."""

    def __init__(self, workspace: Workspace, manifest: Manifest, folder: Path, copy: bool) -> None:
        self.workspace, self.manifest, self.folder, self.copy = workspace, manifest, folder, copy

    def place(self, row: ManifestRow, folder: str, known: Collection[str] = ()) -> str:
        """Put the row's image into a folder of the export; returns its path there. FototecaError when its bytes are others.

        `known`: the suffixes that the reader knows, if it does not know all; an image of another one is written as PNG.
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
        """The rows, with a progress bar."""
        return tqdm(self.manifest.rows, desc="export", unit="image", disable=None)


def export_version(workspace: Workspace, version: str, folder: Path, kind: str, *, copy: bool = False) -> Path:
    """Write a version to `folder`, which must be new or empty, with a datasheet; images are linked unless `copy`.

    All or nothing. FototecaError for an unknown format, a folder in use, an image that is gone or changed, a full disk.
    """
    if kind not in FORMATS:
        raise FototecaError(f"unknown format {kind!r}", f"choose one of: {', '.join(FORMATS)}")
    manifest = read_manifest(workspace, version)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FototecaError(f"{folder} is not empty", "name a new folder")
    if folder.is_mount():
        raise FototecaError(f"{folder} is a disk of its own", "name a folder on it")
    check_names(manifest)
    whole = folder.resolve()
    part = whole.with_name(f".{whole.name}.{os.urandom(4).hex()}.part")
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        for left in whole.parent.glob(f".{escape(whole.name)}.*.part"):
            notify(f"an export that was cut off has left {left}; delete it, if none is running")
        part.mkdir()
        FORMATS[kind](Export(workspace, manifest, part, copy))
        write_text(part / "DATASHEET.md", datasheet(workspace, manifest))
        part.replace(whole)
    except OSError as error:
        raise FototecaError(
            f"{folder} could not be written: {error.strerror}", "free some space, or name another folder", EXIT_OUTSIDE
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def check_names(manifest: Manifest) -> None:
    """FototecaError for a category that cannot name a folder or a label that is none: the manifest may be somebody else's."""
    for name in manifest.categories:
        check_name(name, "category")
    unknown = {label for row in manifest.rows for label in row.labels} - set(manifest.categories)
    if unknown:
        raise FototecaError(
            f"{manifest.version} has unknown labels: {', '.join(sorted(unknown))}",
            f"see: fototeca curate verify {manifest.version}",
        )


def export_imagefolder(export: Export) -> None:
    """`SPLIT/CATEGORY/ID.jpg`, as torchvision.datasets.ImageFolder reads it; multi-label: `SPLIT/ID.jpg` and labels.csv.

    It passes over GIF and AVIF files, which are written as PNG.
    """
    multi = export.manifest.task == "multi"
    for split in SPLITS:
        for category in () if multi else export.manifest.categories:
            (export.folder / split / category).mkdir(parents=True, exist_ok=True)
        if not multi and len(list((export.folder / split).iterdir())) < len(export.manifest.categories):
            raise FototecaError("this disk takes categories that differ in case for one folder", "use another disk or --format")
    cells = [(export.place(row, row.split if multi else f"{row.split}/{row.label}", KNOWN), row.label) for row in export.rows()]
    write_csv(export.folder / "labels.csv", ("path", "label"), cells)


def export_huggingface(export: Export) -> None:
    """`data/SPLIT/ID.jpg` with a metadata.jsonl in each split and a dataset card, as `datasets` loads a folder of images.

    No metadata.csv: `datasets` guesses the types of its columns, quoted or not. Labels like 007 would become numbers, and
    `nan` or an empty cell nothing.
    """
    columns = ("label", "image_id", "group", "source", "image_url", "page_url", "author", "license")
    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    for row in export.rows():
        cells = {"file_name": Path(export.place(row, f"data/{row.split}")).name} | {name: getattr(row, name) for name in columns}
        lines[row.split].append(json.dumps(cells, ensure_ascii=False) + "\n")
    for split, found in lines.items():
        if found:  # `datasets` takes no folder of which a split is empty
            write_text(export.folder / "data" / split / "metadata.jsonl", "".join(found))
    write_text(export.folder / "README.md", dataset_card(export.workspace, export.manifest))


def export_croissant(export: Export) -> None:
    """`images/ID.jpg`, the manifest with paths of the export, and `croissant.json` that describes both."""
    places = [export.place(row, "images") for row in export.rows()]
    rows = [ManifestRow(**{**row.__dict__, "path": place}) for row, place in zip(export.manifest.rows, places, strict=True)]
    content = manifest_bytes(rows)
    write_bytes(export.folder / "manifest.csv", content)
    document = croissant_document(export.manifest, content)
    write_text(export.folder / "croissant.json", json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def export_coco(export: Export) -> None:
    """`images/ID.jpg` and `annotations/SPLIT.json`: one annotation per label, its box and its mask the whole image."""
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
"""What `--format` may name."""
