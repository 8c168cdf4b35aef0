"""Manifest rows as batches of images.

Images come as squares from the pixel cache. Augmentation is seeded by run seed, epoch and image id, so the number of workers does
not change the results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from fototeca.core.errors import FototecaError
from fototeca.core.settings import Task
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow, image_path
from fototeca.train.config import Augment, Balance, TrainConfig
from fototeca.vision.features import FeatureView
from fototeca.vision.fit import MAX_LOST_AREA, MAX_SHARE, cropped_share
from fototeca.vision.pixels import PixelCache
from fototeca.vision.preprocessing import Preprocessing
from fototeca.vision.threads import single_thread

MAX_NAMED_FILES = 3
"""Missing files that an error names; the others are counted."""

PREFETCH_BATCHES = 8
"""Batches that are prepared before the network is run on the first of them."""


def derive_seed(*parts: object) -> int:
    """Return a seed for the texts of `parts`: 63 bits of their SHA-256."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big") >> 1


def check_manifest(manifest: Manifest, task: Task) -> None:
    """FototecaError if the manifest's task is not the workspace's, a split is empty, or fewer than two classes can be trained."""
    if manifest.task != task:
        raise FototecaError(
            f"{manifest.version} is of a {manifest.task}-label task, and this workspace's is {task}",
            f'freeze again: fototeca curate freeze; or write task = "{manifest.task}" into fototeca.toml',
        )
    for split in ("train", "val"):
        if not manifest.split(split):
            raise FototecaError(f"{manifest.version} has no {split} images", "collect more, then: fototeca curate freeze")
    labels = {label for row in manifest.split("train") for label in row.labels}
    if not labels or (manifest.task == "single" and min(len(manifest.categories), len(labels)) < 2):
        raise FototecaError(
            f"the training split of {manifest.version} has one category only",
            "label images of a second category, then freeze again",
        )


def locate_images(workspace: Workspace, rows: Sequence[ManifestRow]) -> list[tuple[str, Path]]:
    """Return image id and file of each row. FototecaError counts the missing files and names the first MAX_NAMED_FILES."""
    items, missing = [], list[FototecaError]()
    for row in rows:
        try:
            items.append((row.image_id, image_path(workspace, row)))
        except FototecaError as error:
            missing.append(error)
    if len(missing) > 1:
        names = "; ".join(error.message for error in missing[:MAX_NAMED_FILES])
        raise FototecaError(f"{len(missing)} images of {len(rows)} are missing: {names}", missing[0].hint)
    if missing:
        raise missing[0]
    return items


def describe_lost_area(rows: Sequence[ManifestRow], preprocessing: Preprocessing) -> str:
    """Return a line where the middle square misses over MAX_LOST_AREA of more than MAX_SHARE of the images, else no text."""
    count = sum(cropped_share(row.width, row.height) > MAX_LOST_AREA for row in rows)
    if preprocessing.fit != "crop" or count <= MAX_SHARE * len(rows):
        return ""
    return (
        f"{count} of {len(rows)} images are so long that the middle square misses over a third of them; "
        "--fit letterbox or squash shows them whole"
    )


def encode_labels(rows: Sequence[ManifestRow], categories: Sequence[str], multi: bool) -> torch.Tensor:
    """Return class indices (N,), or multi-label zeros and ones (N, C) in float32."""
    index = {name: number for number, name in enumerate(categories)}
    if not multi:
        return torch.tensor([index[row.label] for row in rows], dtype=torch.long)
    matrix = torch.zeros(len(rows), len(categories))
    for number, row in enumerate(rows):
        matrix[number, [index[label] for label in row.labels]] = 1
    return matrix


class ImageDataset(Dataset[tuple[torch.Tensor, int]]):
    """Images by id as (uint8 image (3, crop, crop), index): with `transform` augmented for `epoch`, else center-cropped."""

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
            torch.default_generator.manual_seed(derive_seed(self.seed, self.epoch, self.ids[index]))
            return self.transform(image), index


def augmented_view(number: int, config: TrainConfig, side: int) -> FeatureView:
    """Return the transform of the `number`th augmented copies, seeded by the run's seed, `number` and image id."""
    augment, seed = config.augment, config.seed
    assert augment is not None
    transform = augmentation(augment, side, 0.0, mirror=config.mirror)
    assert transform is not None

    def apply(image_id: str, image: torch.Tensor) -> torch.Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(seed, "view", number, image_id))
            augmented: torch.Tensor = transform(image)
        return augmented

    return FeatureView(f"{augment}-{seed}-{number}" + ("" if config.mirror else "-no-mirror"), apply)


class UprightTrivialAugment(v2.TrivialAugmentWide):
    """TrivialAugment with rotations as in RandAugment, up to 30° instead of 135°, for images that must not be turned around."""

    _AUGMENTATION_SPACE: ClassVar = {
        **v2.TrivialAugmentWide._AUGMENTATION_SPACE,
        "Rotate": (lambda num_bins, _height, _width: torch.linspace(0.0, 30.0, num_bins), True),
    }


def augmentation(augment: Augment, side: int, random_erasing: float, *, mirror: bool = True) -> v2.Transform | None:
    """Return the transform of a uint8 image to `side` × `side`; None where images are only center-cropped.

    Without `mirror` images are neither mirrored nor turned by more than 30°.
    """
    if augment == "none" and not random_erasing:
        return None
    steps: list[v2.Transform] = [v2.CenterCrop(side)]
    if augment != "none":
        steps = [v2.RandomResizedCrop(side, scale=(0.35, 1.0), antialias=True)]
        steps += [v2.RandomHorizontalFlip()] if mirror else []
    if augment == "trivial":
        steps.append(v2.TrivialAugmentWide() if mirror else UprightTrivialAugment())
    if augment == "rand":
        steps.append(v2.RandAugment())
    if random_erasing:
        steps.append(v2.RandomErasing(random_erasing, value=124))
    return v2.Compose(steps)


def epoch_order(labels: torch.Tensor, config: TrainConfig, epoch: int) -> list[int]:
    """Return the order of the training images in an epoch; balanced sampling draws all classes equally often, with repeats."""
    generator = torch.Generator().manual_seed(derive_seed(config.seed, epoch, "order"))
    if config.balance == "sampling":
        samples = torch.multinomial(sampling_weights(labels), len(labels), replacement=True, generator=generator)
        return list(samples.tolist())
    return list(torch.randperm(len(labels), generator=generator).tolist())


def sampling_weights(labels: torch.Tensor) -> torch.Tensor:
    """Return (N,) the inverse size of each image's class; multi-label, of its rarest class."""
    if labels.dim() == 1:
        return 1.0 / torch.bincount(labels).clamp(min=1).double()[labels]
    sizes = labels.sum(dim=0).clamp(min=1).double()
    rarest = torch.where(labels > 0, 1 / sizes, 0.0).amax(dim=1)
    return torch.where(rarest > 0, rarest, 1.0 / len(labels))


def split_batches(order: Sequence[int], size: int, least: int = 2) -> list[list[int]]:
    """Cut an order into batches; a last one below `least` joins the one before (batch norm needs two images per process)."""
    batches = [list(order[start : start + size]) for start in range(0, len(order), size)]
    if len(batches) > 1 and len(batches[-1]) < least:
        last = batches.pop()
        batches[-1].extend(last)
    return batches


def load_batches(images: ImageDataset, batches: list[list[int]], workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (uint8 (B, 3, crop, crop), indices (B,)) of each batch.

    Images are small: their transforms on torch's threads, which synchronize at every step, took ten times the CPU beside other
    busy processes, so only the network uses all threads. After every change of the number of threads torch prepares its
    convolutions again (7% of an epoch of `cnn` if done once per batch), so PREFETCH_BATCHES are made at a time.
    """
    loader = iter(DataLoader(images, batch_sampler=batches, num_workers=workers))
    if workers:
        yield from loader
        return
    while True:
        with single_thread():
            ready = list(islice(loader, PREFETCH_BATCHES))
        if not ready:
            return
        yield from ready


def class_weights(labels: torch.Tensor, num_classes: int, balance: Balance) -> torch.Tensor | None:
    """Return loss weights (C,): N over C times the class size, or multi-label negatives over positives; None if not balanced."""
    if balance != "weights":
        return None
    if labels.dim() == 1:
        return len(labels) / (num_classes * torch.bincount(labels, minlength=num_classes).clamp(min=1).float())
    positive = labels.sum(dim=0)
    return (len(labels) - positive).clamp(min=1) / positive.clamp(min=1)  # a class of all images has a positive weight, too
