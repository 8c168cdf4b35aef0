"""Options of `fototeca collect folder`: source of the labels, files to exclude, splits, groups and rights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fototeca.core.errors import FototecaError


@dataclass(frozen=True)
class FolderOptions:
    """Options of collecting local images. At most one of `category`, `label_from_folder` and `labels` is given.

    `mapping` without `labels` implies `label_from_folder`.
    """

    category: str = ""
    """Category of every image."""

    label_from_folder: bool = False
    """The name of an image's folder is its category."""

    labels: Path | None = None
    """Table of labels."""

    mapping: Path | None = None
    """Mapping file of folders, or of the classes of the table, to categories."""

    columns: str = ""
    """Columns of the label table, as `path=A,label=B`; by default recognized by their usual names."""

    keep_splits: bool = False
    """Keep the splits of the folders or of the label table."""

    group_by: str = ""
    """Column, `folder`, regular expression or `exif-time` that names what must share a split."""

    exclude: tuple[str, ...] = ()
    """Glob patterns of relative paths that are passed over."""

    source_name: str = ""
    """Source recorded for the images; by default `folder`."""

    license: str = ""
    """License of the images, as the user states it."""

    author: str = ""
    """Author of the images."""

    def __post_init__(self) -> None:
        """Check that at most one source of labels is given."""
        if sum((bool(self.category), self.label_from_folder, self.labels is not None)) > 1:
            message = "labels are given more than once"
            raise FototecaError(message, "give one of --category, --label-from-folder, --labels")
        if self.category and self.mapping:
            raise FototecaError("--category leaves nothing to --map", "give one of the two")

    @property
    def has_labels(self) -> bool:
        """Return True if images get a category when they are collected."""
        return bool(self.category or self.label_from_folder or self.mapping) or self.labels is not None
