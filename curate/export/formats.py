"""Export a frozen version as ImageFolder, Hugging Face dataset, Croissant 1.1, COCO-style JSON or WebDataset shards."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from glob import escape
from pathlib import Path

from fototeca.collect.catalog import EXPORT_RECORD, Catalog
from fototeca.core.console import notify
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.files import csv_bytes, write_bytes, write_csv, write_text
from fototeca.core.paths import inside
from fototeca.core.public_url import public_url
from fototeca.core.workspace import Workspace
from fototeca.curate.export.croissant import croissant_document
from fototeca.curate.export.datasheet import datasheet
from fototeca.curate.export.huggingface import export_huggingface
from fototeca.curate.export.placement import Export
from fototeca.curate.export.webdataset import export_webdataset
from fototeca.curate.manifest import MANIFEST_COLUMNS, SPLITS, ManifestRow, read_manifest

KNOWN = frozenset({".jpg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp"})
"""Suffixes of stored images that torchvision's ImageFolder reads."""

NORMALISED = frozenset({"imagefolder", "huggingface", "webdataset"})
"""Formats that are normalized by default: their readers know neither orientation nor profiles."""


def export_version(
    workspace: Workspace,
    version: str,
    folder: Path,
    kind: str,
    *,
    copy: bool = False,
    normalise: bool | None = None,
    keep_metadata: bool = False,
    spreadsheet_safe: bool = False,
) -> Path:
    """Write a version to `folder`, which must be new or empty, with a datasheet.

    The folder is renamed into place when it is complete; after an error nothing is left.

    Args:
        workspace: holds the images.
        version: `vNNN` or `latest`.
        folder: where to write.
        kind: one of FORMATS.
        copy: copy the images; by default those without metadata are linked.
        normalise: write an image that reading changes (rotated, 16-bit, transparent, with a profile, CMYK, animated) as the
            models saw it: PNG of upright 8-bit sRGB without metadata. By default as NORMALISED has it; images that reading
            does not change keep their format.
        keep_metadata: keep EXIF, XMP, IPTC, comments and thumbnails in the files that are not written as PNG. By default they
            are removed with the pixels unchanged; images of formats that do not allow it are written as PNG.
        spreadsheet_safe: write an apostrophe before the texts in CSV files that spreadsheets would take for formulas.

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
    manifest = replace(manifest, rows=tuple(_public_row(row) for row in manifest.rows))
    whole = folder.resolve()
    part = whole.with_name(f".{whole.name}.{os.urandom(4).hex()}.part")
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        for left in whole.parent.glob(f".{escape(whole.name)}.*.part"):
            notify(f"an interrupted export left {left}; delete it if no export is running")
        part.mkdir()
        normalise = kind in NORMALISED if normalise is None else normalise
        export = Export(
            workspace,
            manifest,
            part,
            copy=copy,
            normalise=normalise,
            keep_metadata=keep_metadata,
            spreadsheet_safe=spreadsheet_safe,
        )
        FORMATS[kind](export)
        write_text(part / "DATASHEET.md", f"{datasheet(workspace, manifest)}\n{export.describe_files()}")
        part.replace(whole)
        _record(workspace, whole, manifest.version)
        if export.num_png:
            notify(f"{export.num_png} of {len(manifest.rows)} images were written as the models saw them, as PNG")
        if export.num_stripped:
            notify(f"metadata was removed from {export.num_stripped} of {len(manifest.rows)} images (--keep-metadata keeps it)")
    except OSError as error:
        raise ExternalError(
            f"{folder} could not be written: {error.strerror}", "free some space, or give another folder"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _record(workspace: Workspace, folder: Path, version: str) -> None:
    """Record an export in the catalog, where there is one that can be written, for erasures to name it."""
    if workspace.catalog.is_file() and os.access(workspace.catalog, os.W_OK):
        with Catalog.open(workspace) as catalog:
            catalog.metadata.set(f"{EXPORT_RECORD}{folder}", version)


def _public_row(row: ManifestRow) -> ManifestRow:
    """Return the row without secrets in its URLs, since the manifest may come from elsewhere."""
    return replace(row, image_url=public_url(row.image_url), page_url=public_url(row.page_url))


def export_imagefolder(export: Export) -> None:
    """Write `SPLIT/CATEGORY/ID.jpg` for torchvision.datasets.ImageFolder; multi-label: `SPLIT/ID.jpg` and labels.csv.

    ImageFolder skips GIF, AVIF, HEIC and JPEG XL files, so these are written as PNG.
    """
    multi = export.manifest.task == "multi"
    for split in SPLITS:
        for category in () if multi else export.manifest.categories:
            inside(export.folder, f"{split}/{category}").mkdir(parents=True, exist_ok=True)
        if not multi and len(list((export.folder / split).iterdir())) < len(export.manifest.categories):
            raise FototecaError("this disk ignores case, in which categories differ", "use another disk or --format")
    placed = export.place_all(lambda row: row.split if multi else f"{row.split}/{row.label}", KNOWN)
    rows = [(file.path, row.label) for row, file in placed]
    write_csv(export.folder / "labels.csv", ("path", "label"), rows, spreadsheet_safe=export.spreadsheet_safe)


def export_croissant(export: Export) -> None:
    """Write `images/ID.jpg`, the manifest with paths and digests of the export, and `croissant.json`, which describes both."""
    placed = sorted(export.place_all(lambda _: "images"), key=lambda pair: pair[0].image_id)
    cells = [(*replace(row, path=file.path).cells(), file.sha256) for row, file in placed]
    content = csv_bytes((*MANIFEST_COLUMNS, "sha256"), cells, spreadsheet_safe=export.spreadsheet_safe)
    write_bytes(export.folder / "manifest.csv", content)
    document = croissant_document(export.manifest, content)
    write_text(export.folder / "croissant.json", json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def export_coco(export: Export) -> None:
    """Write `images/ID.jpg` and `annotations/SPLIT.json`: one annotation per label, whose box and mask are the whole image.

    Width and height are those of the file, which readers of COCO do not rotate.
    """
    names = sorted({row.license for row in export.manifest.rows})
    numbers = {name: number for number, name in enumerate(export.manifest.categories, 1)}
    images: dict[str, list[dict[str, object]]] = {split: [] for split in SPLITS}
    annotations: dict[str, list[dict[str, object]]] = {split: [] for split in SPLITS}
    count = 0
    for number, (row, file) in enumerate(export.place_all(lambda _: "images"), 1):
        width, height = file.width, file.height
        image = {"id": number, "file_name": file.name, "width": width, "height": height}
        license = names.index(row.license) + 1
        images[row.split].append({**image, "license": license, "coco_url": row.image_url, "sha256": file.sha256})
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
    "webdataset": export_webdataset,
}
"""Values of `--format`."""
