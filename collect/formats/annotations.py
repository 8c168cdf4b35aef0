"""Annotated images, and safe reading of annotation files that other people made."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fototeca.collect.files.dataset_splits import parse_split
from fototeca.core.errors import FototecaError
from fototeca.core.file_index import FileIndex
from fototeca.core.passed_over import PassedOver
from fototeca.vision.formats import SUFFIXES
from fototeca.vision.image_files import IsExcluded, find_files, find_images

MAX_ANNOTATION_BYTES = 1 << 30
"""Largest annotation file that is read."""

ANNOTATION_SUFFIXES = frozenset({".json", ".xml", ".txt", ".yaml", ".yml", ".names", ".labels"})
"""Files that the readers need beside the images."""


@dataclass(frozen=True)
class Box:
    """One annotated object. The corners are pixels, or fractions of the image where `AnnotatedImage.is_relative`."""

    name: str
    """Class, as the annotation names it."""

    left: float
    top: float
    right: float
    bottom: float
    flag: str = ""
    """`crowd`, `difficult` or `truncated` where the annotation says so."""

    @property
    def is_degenerate(self) -> bool:
        """Return True if the box has no area or a coordinate is not a finite number."""
        corners = (self.left, self.top, self.right, self.bottom)
        return not all(map(math.isfinite, corners)) or self.right <= self.left or self.bottom <= self.top


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of a detection set with its boxes, in the order of its annotation."""

    file: str
    """Path relative to the set, with forward slashes."""

    boxes: tuple[Box, ...]
    width: int = 0
    """Width in pixels that the annotation states; 0 where it states none."""

    height: int = 0
    is_relative: bool = False
    split: str = ""
    license: str = ""
    page_url: str = ""


class DatasetFiles:
    """Files of a detection set: images by any name that annotations give them, and files by suffix.

    Names are looked up among the files of the folder, so that no name leads outside it.
    """

    def __init__(self, root: Path, passed_over: PassedOver, is_excluded: IsExcluded = lambda name: False) -> None:
        """List the files of a folder; those that are neither images nor annotations are counted."""
        self.root = root
        self.names = tuple(_list_annotations(root, passed_over, is_excluded))
        used = [root / name for name in self.names]
        self.images = tuple(find_images(root, passed_over, is_excluded=is_excluded, used=used))
        self._image_set = frozenset(self.images)
        self._index = FileIndex((name, name) for name in self.images)

    def with_suffix(self, *suffixes: str) -> tuple[str, ...]:
        """Return the names of files with one of the suffixes."""
        return tuple(name for name in self.names if PurePosixPath(name).suffix.lower() in suffixes)

    def find_image(self, name: str, folders: Sequence[str] = (), split: str = "") -> str:
        """Return the image that an annotation names, or "" if there is none or the name is ambiguous.

        Args:
            name: as the annotation gives it; absolute paths and `..` are matched by the end of the path.
            folders: folders of the set that are tried first.
            split: decides between images of equal names.
        """
        for folder in folders:
            joined = (PurePosixPath(folder) / name.replace("\\", "/")).as_posix()
            if joined in self._image_set:
                return joined
        found = self._index.find(name).targets
        if len(found) > 1 and split:
            found = tuple(image for image in found if find_split(image) == split)
        return found[0] if len(found) == 1 else ""

    def read(self, name: str) -> bytes:
        """Return the bytes of a file of the set. FototecaError if it cannot be read or is too large."""
        path = self.root / name
        try:
            if path.stat().st_size > MAX_ANNOTATION_BYTES:
                raise FototecaError(f"{name} has more than {MAX_ANNOTATION_BYTES >> 20} MiB", "split the annotations")
            return path.read_bytes()
        except OSError as error:
            raise FototecaError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None

    def read_json(self, name: str, passed_over: PassedOver) -> object:
        """Return the document of a JSON file; None, counted as `broken-annotation`, if it is none."""
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError):
            passed_over.add("broken-annotation", name)
            return None


def _list_annotations(root: Path, passed_over: PassedOver, is_excluded: IsExcluded) -> Iterator[str]:
    """Yield the annotation files of a folder; a link that leads out of it is counted, other files are not yet."""
    base = root.resolve()
    for name in find_files(root, PassedOver(), _reason_against, is_excluded=is_excluded, takes_empty=True):
        if (root / name).resolve().is_relative_to(base):
            yield name
        else:
            passed_over.add("link-outside", name)


def _reason_against(name: str) -> str:
    return "" if PurePosixPath(name).suffix.lower() in ANNOTATION_SUFFIXES else "data"


def find_split(name: str) -> str:
    """Return the split that a folder of a path, or a prefix or suffix of its last part, names; "" if none does.

    Example:
        >>> find_split("images/train2017/1.jpg"), find_split("annotations/instances_val2017.json"), find_split("a/trainer/1.jpg")
        ('train', 'val', '')
    """
    path = PurePosixPath(name)
    words = [] if path.suffix.lower() in SUFFIXES else re.split(r"[_-]", path.stem)  # names of images tell nothing
    return next(filter(None, map(parse_split, (*words, *reversed(path.parts[:-1])))), "")
