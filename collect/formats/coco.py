"""Read COCO object detection sets: https://cocodataset.org/#format-data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from fototeca.collect.formats.annotations import AnnotatedImage, Box, DatasetFiles, find_split
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver


@dataclass
class _ImageEntry:
    """An image while its annotations are read."""

    file: str
    width: int
    height: int
    split: str
    license: str
    page_url: str
    boxes: dict[Box, None] = field(default_factory=dict)


def read_coco(files: DatasetFiles, passed_over: PassedOver) -> list[AnnotatedImage]:
    """Read every COCO file of a set. Images that several files list are united; boxes that they repeat are counted once.

    Args:
        files: images and JSON files.
        passed_over: counts annotations of missing images, of unknown classes and without box, and broken files.

    Raises:
        FototecaError: no JSON file has images, annotations and categories.
    """
    entries: dict[str, _ImageEntry] = {}
    count = 0
    for name in files.with_suffix(".json"):
        document = files.read_json(name, passed_over)
        if document is None:
            continue
        if not _is_coco(document):
            passed_over.add("no-detections", name)
            continue
        count += 1
        _read_document(name, document, files, entries, passed_over)
    if not count:
        hint = "give the folder with the JSON file of the annotations and the images"
        raise FototecaError(f"{files.root} has no COCO annotations", hint)
    return [
        AnnotatedImage(
            entry.file, tuple(entry.boxes), entry.width, entry.height, False, entry.split, entry.license, entry.page_url
        )
        for _, entry in sorted(entries.items())
    ]


def _is_coco(document: object) -> TypeGuard[dict[str, Any]]:
    lists = ("images", "annotations", "categories")
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in lists)


def _read_document(
    name: str,
    document: dict[str, Any],
    files: DatasetFiles,
    entries: dict[str, _ImageEntry],
    passed_over: PassedOver,
) -> None:
    split = find_split(name)
    licenses = {
        _key(item.get("id")): _text(item.get("url")) or _text(item.get("name")) for item in _objects(document, "licenses")
    }
    classes = {_key(item.get("id")): _text(item.get("name")) for item in _objects(document, "categories")}
    images: dict[str, _ImageEntry] = {}
    missing: dict[str, str] = {}
    annotated: set[str] = set()
    folders = [PurePosixPath(name).parent.as_posix(), f"{PurePosixPath(name).parent.parent}/images", ".", "images"]
    for item in _objects(document, "images"):
        key, file_name = _key(item.get("id")), _text(item.get("file_name"))
        file = files.find_image(file_name, folders, split) if file_name else ""
        if not file:
            missing[key] = file_name or f"image {key}"
            continue
        size = (_size(item.get("width")), _size(item.get("height")))
        rights = (licenses.get(_key(item.get("license")), ""), _text(item.get("flickr_url")) or _text(item.get("coco_url")))
        images[key] = entries.setdefault(file, _ImageEntry(file, *size, split or find_split(file), *rights))
    for number, item in enumerate(document["annotations"], 1):
        if not isinstance(item, dict):
            passed_over.add("broken-annotation", f"{name} annotation {number}")
            continue
        key = _key(item.get("image_id"))
        annotated.add(key)
        place = f"{name} annotation {_key(item.get('id')) or number}"
        reason = _add_box(item, classes, images.get(key))
        if reason:
            passed_over.add(reason, missing.get(key, place) if reason == "missing-image" else place)
    for key in missing.keys() - annotated:
        passed_over.add("missing-image", missing[key])


def _add_box(item: Mapping[str, Any], classes: Mapping[str, str], entry: _ImageEntry | None) -> str:
    """Add the box of an annotation to its image; return the reason why it is not, or ""."""
    if entry is None:
        return "missing-image"
    class_name = classes.get(_key(item.get("category_id")), "")
    if not class_name:
        return "unknown-class"
    corners = _corners(item)
    if corners is None:
        return "degenerate-box"
    box = Box(class_name, *corners, "crowd" if item.get("iscrowd") in (1, True) else "")
    if box in entry.boxes:
        return "repeated-box"
    entry.boxes[box] = None
    return ""


def _corners(item: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Return left, top, right and bottom of the box, else of the polygons; None if the annotation has neither."""
    box = item.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(_is_number(value) for value in box):
        left, top, width, height = map(float, box)
        return left, top, left + width, top + height
    segmentation = item.get("segmentation")
    polygons = segmentation if isinstance(segmentation, list) else []
    points = [
        polygon for polygon in polygons if isinstance(polygon, list) and len(polygon) >= 6 and all(map(_is_number, polygon))
    ]
    if not points:
        return None
    xs = [float(value) for polygon in points for value in polygon[::2]]
    ys = [float(value) for polygon in points for value in polygon[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def _objects(document: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    values = document.get(key)
    return (item for item in (values if isinstance(values, list) else ()) if isinstance(item, dict))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _key(value: object) -> str:
    """Return an id as text: some tools write numbers, others strings."""
    return str(value) if isinstance(value, str | int) else ""


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _size(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < 1e6 else 0
