"""Read YOLO detection sets: `labels/NAME.txt` beside `images/NAME.jpg`, one `class x y width height` a line, as fractions.

Class names come from `data.yaml` (https://docs.ultralytics.com/datasets/detect/), `classes.txt`, `obj.names` or `*.labels`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from fototeca.collect.files.dataset_splits import SPLIT_WORDS
from fototeca.collect.formats.annotations import AnnotatedImage, Box, DatasetFiles, find_split
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver

_MAX_YAML_BYTES = 1 << 20
_NAME_LISTS = ("classes.txt", "obj.names", "labels.txt", "_darknet.labels")
_NO_LABELS = (*_NAME_LISTS, "readme.txt", "notes.txt", "requirements.txt", "license.txt")
"""Text files that do not hold annotations."""


def read_yolo(files: DatasetFiles, passed_over: PassedOver) -> list[AnnotatedImage]:
    """Read the annotation of every image of a set.

    Args:
        files: images, annotations and class names.
        passed_over: counts images without annotation, annotations without image, broken lines and unknown classes.

    Raises:
        FototecaError: there are no class names, or no annotation of any image.
    """
    names, has_keypoints = _read_names(files)
    splits = _read_lists(files)
    texts = {name for name in files.with_suffix(".txt") if not _is_other(name)}
    images, used = [], set()
    for file in files.images:
        label = next((candidate for candidate in _label_files(file) if candidate in texts), "")
        if not label:
            passed_over.add("without-annotation", file)
            continue
        used.add(label)
        boxes = _read_boxes(files, label, names, has_keypoints, passed_over)
        images.append(AnnotatedImage(file, boxes, is_relative=True, split=splits.get(file) or find_split(file)))
    if not images:
        hint = "give the folder that holds images/ and labels/ with one text file for each image"
        raise FototecaError(f"{files.root} has no YOLO annotations", hint)
    for label in sorted(texts - used):
        lines = _lines(files, label)
        for number, _ in lines or [(0, "")]:
            passed_over.add("missing-image", f"{label}:{number}" if number else label)
    return images


def _is_other(name: str) -> bool:
    """Return True for lists of names and images, which hold no boxes."""
    path = PurePosixPath(name)
    is_list = path.stem.lower() in SPLIT_WORDS and "labels" not in (part.lower() for part in path.parts[:-1])
    return path.name.lower() in _NO_LABELS or path.name.lower().startswith("readme") or is_list


def _label_files(image: str) -> list[str]:
    """Return where the annotation of an image may be: `labels` in place of the last folder `images`, or beside the image."""
    path = PurePosixPath(image).with_suffix(".txt")
    parts = list(path.parts)
    places = [index for index, part in enumerate(parts[:-1]) if part.lower() == "images"]
    labels = [PurePosixPath(*parts[:index], "labels", *parts[index + 1 :]).as_posix() for index in reversed(places)]
    return [*labels, path.as_posix(), (PurePosixPath("labels") / path).as_posix()]


def _lines(files: DatasetFiles, name: str) -> list[tuple[int, str]]:
    """Return number and text of the lines that are not empty."""
    lines = files.read(name).decode("utf-8-sig", "replace").splitlines()
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _read_boxes(
    files: DatasetFiles, label: str, names: Mapping[int, str], has_keypoints: bool, passed_over: PassedOver
) -> tuple[Box, ...]:
    boxes: dict[Box, None] = {}
    for number, line in _lines(files, label):
        place = f"{label}:{number}"
        values = _numbers(line)
        corners = _corners(values[1:], has_keypoints)
        if corners is None or not values[0].is_integer():
            passed_over.add("broken-line", place)
        elif int(values[0]) not in names:
            passed_over.add("unknown-class", place)
        elif (box := Box(names[int(values[0])], *corners)) in boxes:
            passed_over.add("repeated-box", place)
        else:
            boxes[box] = None
    return tuple(boxes)


def _numbers(line: str) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return [math.nan]
    return values if values and all(map(math.isfinite, values)) else [math.nan]


def _corners(values: list[float], has_keypoints: bool) -> tuple[float, float, float, float] | None:
    """Return the corners of center, width and height (and confidence), or of a polygon; None for another number of values."""
    if len(values) in (4, 5) or (has_keypoints and len(values) > 5):
        x, y, width, height = values[:4]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(values) >= 6 and len(values) % 2 == 0:
        return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    return None


def _read_names(files: DatasetFiles) -> tuple[dict[int, str], bool]:
    """Return class names by number, and True if lines may end with keypoints. FototecaError if there are none."""
    for name in files.with_suffix(".yaml", ".yml"):
        document = _read_yaml(files, name)
        if names := _yaml_names(document.get("names")):
            return names, "kpt_shape" in document
    for name in files.names:
        if PurePosixPath(name).name.lower() in _NAME_LISTS:
            return {index: line.strip() for index, (_, line) in enumerate(_lines(files, name))}, False
    hint = "add data.yaml with names, or classes.txt with one name a line"
    raise FototecaError(f"{files.root} has no class names", hint)


def _read_yaml(files: DatasetFiles, name: str) -> dict[Any, Any]:
    data = files.read(name)
    if len(data) > _MAX_YAML_BYTES:
        return {}
    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _yaml_names(value: object) -> dict[int, str]:
    """Return the names of a list, or of a table by number."""
    if isinstance(value, list):
        return {index: str(name) for index, name in enumerate(value)}
    pairs = value.items() if isinstance(value, dict) else ()
    return {int(key): str(name) for key, name in pairs if str(key).isdecimal()}


def _read_lists(files: DatasetFiles) -> dict[str, str]:
    """Return the splits of the images that `train.txt`, `val.txt` and `test.txt` list; test wins over val over train."""
    splits: dict[str, str] = {}
    lists = {SPLIT_WORDS[PurePosixPath(name).stem.lower()]: name for name in files.with_suffix(".txt") if _is_list(name)}
    for split in ("train", "val", "test"):
        for _, line in _lines(files, lists[split]) if split in lists else ():
            if file := files.find_image(line.strip()):
                splits[file] = split
    return splits


def _is_list(name: str) -> bool:
    return _is_other(name) and PurePosixPath(name).stem.lower() in SPLIT_WORDS
