"""Read Pascal VOC sets: http://host.robots.ox.ac.uk/pascal/VOC/. Boxes are corners in pixels, taken as written."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from fototeca.collect.files.dataset_splits import SPLIT_WORDS
from fototeca.collect.formats.annotations import AnnotatedImage, Box, DatasetFiles, find_split
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver


def read_voc(files: DatasetFiles, passed_over: PassedOver) -> list[AnnotatedImage]:
    """Read every XML annotation of a set; `ImageSets/Main/train.txt` and folders name the splits.

    Args:
        files: images, XML files and lists.
        passed_over: counts files that are broken or have entities, and annotations of missing images.

    Raises:
        FototecaError: there is no XML annotation.
    """
    splits = _read_image_sets(files)
    images: dict[str, AnnotatedImage] = {}
    names = files.with_suffix(".xml")
    for name in names:
        root = _parse(files.read(name))
        if root is None:
            passed_over.add("broken-annotation", name)
            continue
        file = _find_image(name, root, files)
        if file in images:
            passed_over.add("repeated-annotation", name)
        elif file:
            stem = PurePosixPath(file).stem
            images[file] = _annotated_image(file, root, splits.get(stem) or find_split(file))
        else:
            boxes = len(root.findall("object"))
            for number in range(1, max(boxes, 1) + 1):
                passed_over.add("missing-image", f"{name}#{number}" if boxes else name)
    if not names:
        raise FototecaError(f"{files.root} has no XML annotations", "give the folder that holds Annotations and JPEGImages")
    return [image for _, image in sorted(images.items())]


def _parse(data: bytes) -> Element | None:
    """Return the root of an annotation; None if it is broken or has a document type or entities."""
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError):
        return None
    return root if root.tag == "annotation" else None


def _find_image(name: str, root: Element, files: DatasetFiles) -> str:
    """Return the image beside the annotation, in JPEGImages or anywhere, by `filename`, else by the annotation's own name."""
    path = PurePosixPath(name)
    folders = (path.parent.as_posix(), (path.parent.parent / "JPEGImages").as_posix(), (path.parent.parent / "images").as_posix())
    stated = (root.findtext("filename") or "").strip()
    split = find_split(name)
    return (stated and files.find_image(stated, folders, split)) or files.find_image(path.stem, (), split)


def _annotated_image(file: str, root: Element, split: str) -> AnnotatedImage:
    width, height = (_whole(root.findtext(f"size/{side}")) for side in ("width", "height"))
    return AnnotatedImage(file, tuple(_box(item) for item in root.findall("object")), width, height, split=split)


def _box(item: Element) -> Box:
    left, top, right, bottom = (_number(item.findtext(f"bndbox/{corner}")) for corner in ("xmin", "ymin", "xmax", "ymax"))
    flags = (flag for flag in ("difficult", "truncated") if (item.findtext(flag) or "").strip() in ("1", "true", "True"))
    return Box((item.findtext("name") or "").strip(), left, top, right, bottom, next(flags, ""))


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _whole(text: str | None) -> int:
    number = _number(text)
    return int(number) if 0 < number < 1e6 else 0


def _read_image_sets(files: DatasetFiles) -> dict[str, str]:
    """Return the splits by the stems in `ImageSets/Main/train.txt`, `val.txt` and `test.txt`; test wins over val over train."""
    splits: dict[str, str] = {}
    lists = {
        SPLIT_WORDS.get(PurePosixPath(name).stem.lower(), ""): name for name in files.with_suffix(".txt") if "ImageSets" in name
    }
    for split in ("train", "val", "test"):
        if split in lists:
            lines = files.read(lists[split]).decode("utf-8", "replace").splitlines()
            splits.update({PurePosixPath(line.split()[0]).stem: split for line in lines if line.strip()})
    return splits
