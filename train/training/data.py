"""The rows of a manifest as batches: cached squares, augmented by (run seed, epoch, image id), so that workers change nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from fototeca.core.errors import FototecaError
from fototeca.core.settings import Task
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow, image_path
from fototeca.train.config import Augment, Balance, TrainConfig
from fototeca.vision.backbones import Preprocessing
from fototeca.vision.features import FeatureView
from fototeca.vision.pixels import PixelCache
from fototeca.vision.threads import single_thread

NAMED = 3
"""Files that cannot be had, of which each is named."""

AHEAD = 8
"""Batches that are made before the network is asked about the first of them."""


def draw_seed(*parts: object) -> int:
    """A seed from anything that has a text: 63 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big") >> 1


def check_manifest(manifest: Manifest, task: Task) -> None:
    """FototecaError when the manifest is of another task than the workspace, or nothing can be learned from it."""
    if manifest.task != task:
        raise FototecaError(
            f"{manifest.version} is of a {manifest.task}-label task, and this workspace's is {task}",
            f'freeze again: fototeca curate freeze; or write task = "{manifest.task}" into fototeca.toml',
        )
    for split in ("train", "val"):
        if not manifest.split(split):
            raise FototecaError(f"{manifest.version} has no {split} images", "collect more, then: fototeca curate freeze")
    seen = {label for row in manifest.split("train") for label in row.labels}
    if (len(manifest.categories) < 2 and manifest.task == "single") or not seen or (len(seen) < 2 and manifest.task == "single"):
        raise FototecaError(
            f"the training split of {manifest.version} has one category only", "label images of a second one, then freeze again"
        )


def locate(workspace: Workspace, rows: Sequence[ManifestRow]) -> list[tuple[str, Path]]:
    """Image id and file of each row. FototecaError counts the files that cannot be had and names the first NAMED."""
    found, missing = [], list[FototecaError]()
    for row in rows:
        try:
            found.append((row.image_id, image_path(workspace, row)))
        except FototecaError as error:
            missing.append(error)
    if len(missing) > 1:
        first = "; ".join(error.message for error in missing[:NAMED])
        raise FototecaError(f"{len(missing)} images of {len(rows)} cannot be had: {first}", missing[0].hint)
    if missing:
        raise missing[0]
    return found


def targets(rows: Sequence[ManifestRow], categories: Sequence[str], multi: bool) -> torch.Tensor:
    """(N,) class numbers, or multi-label (N, C) zeros and ones as float32."""
    number = {name: index for index, name in enumerate(categories)}
    if not multi:
        return torch.tensor([number[row.label] for row in rows], dtype=torch.long)
    matrix = torch.zeros(len(rows), len(categories))
    for line, row in enumerate(rows):
        matrix[line, [number[label] for label in row.labels]] = 1
    return matrix


class ImageDataset(Dataset[tuple[torch.Tensor, int]]):
    """Rows as (uint8 image (3, crop, crop), index). With `transform` augmented for `epoch`, else the middle crop."""

    def __init__(
        self, ids: Sequence[str], pixels: PixelCache, preprocessing: Preprocessing, transform: v2.Transform | None, seed: int
    ) -> None:
        self.ids = ids
        self.pixels = pixels
        self.preprocessing = preprocessing
        self.transform = transform
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(np.array(self.pixels[self.ids[index]])).permute(2, 0, 1)
        if self.transform is None:
            side = self.preprocessing.crop
            return v2.functional.center_crop(image, [side, side]), index
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draw_seed(self.seed, self.epoch, self.ids[index]))
            return self.transform(image), index


def augmented_view(number: int, kind: Augment, side: int, seed: int) -> FeatureView:
    """The `number`th augmented view of images, drawn from the seed, the number and the image id."""
    transform = augmentation(kind, side, 0.0)
    assert transform is not None

    def change(image_id: str, image: torch.Tensor) -> torch.Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draw_seed(seed, "view", number, image_id))
            changed: torch.Tensor = transform(image)
        return changed

    return FeatureView(f"{kind}-{seed}-{number}", change)


def augmentation(kind: Augment, side: int, erasing: float) -> v2.Transform | None:
    """The transform of a uint8 image to `side` × `side`; None when images are only cropped in the middle."""
    if kind == "none" and not erasing:
        return None
    steps: list[v2.Transform] = [v2.CenterCrop(side)]
    if kind != "none":
        steps = [
            v2.RandomResizedCrop(side, scale=(0.35, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    if kind == "trivial":
        steps.append(v2.TrivialAugmentWide())
    if kind == "rand":
        steps.append(v2.RandAugment())
    if erasing:
        steps.append(v2.RandomErasing(erasing, value=124))
    return v2.Compose(steps)


def epoch_order(labels: torch.Tensor, config: TrainConfig, epoch: int) -> list[int]:
    """The order of the training images in an epoch; balanced sampling draws each class equally often, with repeats."""
    generator = torch.Generator().manual_seed(draw_seed(config.seed, epoch, "order"))
    if config.balance == "sampling":
        drawn = torch.multinomial(sampling_weights(labels), len(labels), replacement=True, generator=generator)
        return list(drawn.tolist())
    return list(torch.randperm(len(labels), generator=generator).tolist())


def sampling_weights(labels: torch.Tensor) -> torch.Tensor:
    """(N,) one over the size of the image's class; multi-label: of its rarest class."""
    if labels.dim() == 1:
        return 1.0 / torch.bincount(labels).clamp(min=1).double()[labels]
    sizes = labels.sum(dim=0).clamp(min=1).double()
    rarest = torch.where(labels > 0, 1 / sizes, 0.0).amax(dim=1)
    return torch.where(rarest > 0, rarest, 1.0 / len(labels))


def batches(order: Sequence[int], size: int, least: int = 2) -> list[list[int]]:
    """The order cut into batches; a last one of fewer than `least` joins the one before (batch norm needs two a process)."""
    cut = [list(order[start : start + size]) for start in range(0, len(order), size)]
    if len(cut) > 1 and len(cut[-1]) < least:
        last = cut.pop()
        cut[-1].extend(last)
    return cut


def load(images: ImageDataset, cut: list[list[int]], workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(uint8 (B, 3, crop, crop), indices (B,)) for each batch.

    Images are small: spread over torch's threads, which wait for one another at every step, they took ten times the CPU
    beside busy neighbours. Only the network is given all threads. Every change of their number makes torch prepare its
    convolutions anew (7% of an epoch of `cnn`, once a batch), so AHEAD batches are made at a time.
    """
    loader = iter(DataLoader(images, batch_sampler=cut, num_workers=workers))
    if workers:
        yield from loader
        return
    while True:
        with single_thread():
            ready = list(islice(loader, AHEAD))
        if not ready:
            return
        yield from ready


def class_weights(labels: torch.Tensor, classes: int, balance: Balance) -> torch.Tensor | None:
    """(C,) n over C times the class's size (single-label), negatives over positives (multi-label); None unless asked."""
    if balance != "weights":
        return None
    if labels.dim() == 1:
        return len(labels) / (classes * torch.bincount(labels, minlength=classes).clamp(min=1).float())
    positive = labels.sum(dim=0)
    return (len(labels) - positive).clamp(min=1) / positive.clamp(min=1)  # a class of all images is to be learned, too
