"""Frozen versions of a dataset as Python objects: rows, data frames and torch datasets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fototeca.core.errors import FototecaError
from fototeca.core.settings import CONFIG_NAME
from fototeca.core.trust import check_links
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import SPLITS, image_path, read_manifest
from fototeca.curate.manifest import Manifest as FrozenManifest

if TYPE_CHECKING:
    import pandas as pd
    from torch.utils.data import DataLoader

    from fototeca.torch_dataset import ManifestDataset


@dataclass(frozen=True)
class Manifest(FrozenManifest):
    """One frozen version of a dataset.

    Example:
        >>> manifest = ft.load_manifest("perros/manifests/v001.csv")
        >>> manifest.split_counts()
        {'train': 210, 'val': 30, 'test': 60}
    """

    @property
    def workspace(self) -> Workspace:
        """Paths and settings of the workspace that holds the version; `ft.Workspace.open(manifest.workspace.root)` opens it."""
        return Workspace(self.path.parent.parent)

    def image_paths(self, split: str) -> list[Path]:
        """Return the files of a split, in the order of the rows.

        FototecaError for an unknown split, or if a file is missing from the store.
        """
        if split not in SPLITS:
            raise FototecaError(f"unknown split {split!r}", f"choose {', '.join(SPLITS)}")
        return [image_path(self.workspace, row) for row in self.split(split)]

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per image with the columns of the CSV; `reviewed` is a bool."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def dataset(self, split: str, transform: Callable[[Any], Any] | None = None) -> ManifestDataset:
        """Return the images of a split as a map-style `torch.utils.data.Dataset` of (image, target).

        The image is RGB, decoded as the models of fototeca see it, and passed through `transform` if there is one. The
        target is the class index (int), or for several labels per image a float32 vector (C,) of zeros and ones.

        Args:
            split: "train", "val" or "test".
            transform: callable from a PIL image, for example torchvision's.
        """
        from fototeca.torch_dataset import ManifestDataset

        return ManifestDataset(self, split, self.image_paths(split), transform)

    def loader(
        self,
        split: str,
        transform: Callable[[Any], Any] | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool | None = None,
        num_workers: int = 0,
    ) -> DataLoader[Any]:
        """Return a `torch.utils.data.DataLoader` over `dataset(split, transform)`.

        Args:
            split: "train", "val" or "test".
            transform: callable from a PIL image to a tensor; by default the shorter edge becomes 256 px, the middle 224 × 224 px
                are cropped and normalized with ImageNet's mean and standard deviation.
            batch_size: images per batch.
            shuffle: by default the training split only.
            num_workers: processes that decode; 0 decodes in this one.
        """
        from torch.utils.data import DataLoader

        from fototeca.vision.preprocessing import Preprocessing

        images = self.dataset(split, transform or Preprocessing(resize=256, crop=224))
        return DataLoader(
            images,
            batch_size=batch_size,
            shuffle=split == "train" if shuffle is None else shuffle,
            num_workers=num_workers,
        )


def load_manifest(path: Path | str) -> Manifest:
    """Read a frozen version from its CSV, `manifests/vNNN.csv` in a workspace.

    FototecaError if the file does not exist, lies outside a workspace, or differs from what was frozen.
    """
    file = Path(path).resolve()
    root = file.parent.parent
    if file.suffix != ".csv" or file.parent.name != "manifests" or not (root / CONFIG_NAME).is_file():
        raise FototecaError(f"{path} is not a version of a workspace", "pass manifests/vNNN.csv of a folder with fototeca.toml")
    return open_manifest(Workspace(root), file.stem)


def open_manifest(workspace: Workspace, version: str) -> Manifest:
    """Read a version of a workspace by name: "v001", or "latest"."""
    check_links(workspace.root)
    frozen = read_manifest(workspace, version)
    return Manifest(**{field.name: getattr(frozen, field.name) for field in fields(frozen)})
