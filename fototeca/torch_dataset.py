"""A frozen split as a torch dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from fototeca.core.errors import FototecaError
from fototeca.curate.manifest import Manifest
from fototeca.train.training.data import encode_labels
from fototeca.vision.image import DecodeError, decode


class ManifestDataset(Dataset[tuple[Any, Any]]):
    """The images of one split and their targets, in the order of the manifest's rows.

    Attributes:
        rows: the manifest's rows.
        classes: category names; a target is an index into them.
        targets: (N,) class indices, or (N, C) zeros and ones for several labels per image.
    """

    def __init__(
        self, manifest: Manifest, split: str, paths: Sequence[Path], transform: Callable[[Any], Any] | None = None
    ) -> None:
        """Take the rows of `split` and their files in the same order."""
        self.rows = manifest.split(split)
        self.paths = paths
        self.classes = manifest.categories
        self.multi = manifest.task == "multi"
        self.targets: torch.Tensor = encode_labels(self.rows, manifest.categories, self.multi)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return the image, transformed, and its target. FototecaError if the file was damaged after the freeze."""
        try:
            image = decode(self.paths[index])
        except DecodeError as error:
            raise FototecaError(f"{self.paths[index]} cannot be decoded: {error}", "run: fototeca curate verify") from None
        target = self.targets[index] if self.multi else int(self.targets[index])
        return (self.transform(image) if self.transform else image), target
