"""Read a set of annotated images in any supported format, and its classes as categories of the workspace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from fototeca.collect.formats.annotations import AnnotatedImage, Box, DatasetFiles
from fototeca.collect.formats.coco import read_coco
from fototeca.collect.formats.voc import read_voc
from fototeca.collect.formats.yolo import read_yolo
from fototeca.core.class_mapping import category_spellings, find_category, normalize_category, read_mapping
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import Settings

FLAGS = ("crowd", "difficult", "truncated")
"""Boxes that are not cut out by default: groups of objects, hard to recognize, and objects that the box holds in part."""

FORMATS: dict[str, Callable[[DatasetFiles, PassedOver], list[AnnotatedImage]]] = {
    "coco": read_coco,
    "yolo": read_yolo,
    "voc": read_voc,
}
"""Values of `--format`."""

USES = ("crops", "presence")
"""Values of `--as`."""


@dataclass(frozen=True)
class DetectionOptions:
    """Options of `fototeca collect detections`."""

    format: str
    """One of FORMATS."""

    use: str = "crops"
    """`crops`: each box becomes an image; `presence`: an image is labelled with the classes of its boxes."""

    mapping: Path | None = None
    """Mapping file of classes to categories; by default classes are matched by their names."""

    keep_splits: bool = False
    """Keep the splits of the set."""

    margin: float = 0.0
    """Border around a crop, as a fraction of the box's width and height on each side."""

    take: tuple[str, ...] = ()
    """Those of FLAGS whose boxes are cut out too."""

    source_name: str = ""
    """Source recorded for the images; by default `detections`."""

    license: str = ""
    """License of all images, as the user states it."""

    author: str = ""
    """Author of all images."""

    exclude: tuple[str, ...] = ()
    """Glob patterns of relative paths, of images and of annotations, that are passed over."""

    def __post_init__(self) -> None:
        """Check the choices. FototecaError names a wrong one."""
        for name, value, choices in (("format", self.format, FORMATS), ("as", self.use, USES)):
            if value not in choices:
                raise FototecaError(f"--{name} {value!r} is unknown", f"choose one of: {', '.join(choices)}")
        if wrong := sorted(set(self.take) - set(FLAGS)):
            raise FototecaError(f"--take {wrong[0]!r} is unknown", f"choose of: {', '.join(FLAGS)}")
        if not 0 <= self.margin <= 1:
            raise FototecaError(f"--margin {self.margin} is invalid", "give a fraction from 0 to 1, such as 0.1")


def read_detections(
    files: DatasetFiles, options: DetectionOptions, settings: Settings, passed_over: PassedOver
) -> list[AnnotatedImage]:
    """Return the annotated images of a set, sorted by name; the boxes of each have categories of the workspace as names.

    Args:
        files: files of the set.
        options: format and mapping.
        settings: categories of the workspace.
        passed_over: counts boxes of other classes, and what the reader cannot use.

    Raises:
        FototecaError: the set has no annotations, or none of its classes is a category.
    """
    images = FORMATS[options.format](files, passed_over)
    classes = Counter(box.name for image in images for box in image.boxes)
    categories = _find_categories(classes, options.mapping, settings)
    if classes and not any(categories.values()):
        listed = ", ".join(repr(name) for name, _ in classes.most_common(8))
        hint = (
            f'pass --map FILE.toml with a table [map] such as "CLASS" = "category"; categories: {", ".join(settings.names[:8])}'
        )
        raise FototecaError(f"no class of {files.root.name} is a category; its classes: {listed}", hint)
    return [replace(image, boxes=_mapped(image, categories, passed_over)) for image in images]


def _find_categories(classes: Iterable[str], mapping: Path | None, settings: Settings) -> dict[str, str]:
    """Return the category of each class, "" for classes that are left out."""
    if mapping is None:
        known = category_spellings(settings)
        return {name: find_category(name, known) for name in classes}
    table = read_mapping(mapping, settings)
    spellings = {normalize_category(name): category for name, category in table.items()}
    return {name: table[name] if name in table else find_category(name, spellings) for name in classes}


def _mapped(image: AnnotatedImage, categories: dict[str, str], passed_over: PassedOver) -> tuple[Box, ...]:
    boxes = []
    for box in image.boxes:
        if category := categories[box.name]:
            boxes.append(replace(box, name=category))
        else:
            passed_over.add("other-class", f"{box.name} in {image.file}")
    return tuple(boxes)
