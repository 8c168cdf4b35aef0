"""What the trainer costs: pictures fed per second, time around the passes, cached features, compile and bf16.

Run: python bench/train.py [--pictures N] [--workers N]. Prints a Markdown table; the peer is torchvision's own ImageFolder loop.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).parents[1]))  # this file is called as the package that it measures

from train.config import TrainConfig
from train.data import Pictures, augmentation, batches, load
from train.device import make_fabric
from train.heads import Split, fit_head
from train.loop import Loop, Material
from vision.backbones import Preprocessing, build_model
from vision.image import decode
from vision.pixels import PixelCache

SIDE = 224
SMALL = Preprocessing(73, 64)


def draw(folder: Path, count: int, size: tuple[int, int]) -> list[tuple[str, Path]]:
    """JPEGs of smooth noise in two classes, as (image id, path)."""
    items = []
    for number in range(count):
        path = folder / f"class-{number % 2}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path, quality=88)
        items.append((f"{number:064x}", path))
    return items


def seconds(work: Callable[[], object]) -> float:
    """Wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def drain(batches_of_it: Iterable[Any]) -> None:
    """Take everything and keep nothing."""
    for _ in batches_of_it:
        pass


def feeding(folder: Path, size: tuple[int, int], count: int, workers: int) -> list[tuple[str, str, str]]:
    """Pictures per second: ImageFolder with RandomResizedCrop, the cache being made, the cache being read."""
    items = draw(folder / "in", count, size)
    steps = [v2.RandomResizedCrop(SIDE, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    plain = ImageFolder(str(folder / "in"), v2.Compose(steps))
    peer = count / seconds(lambda: drain(DataLoader(plain, batch_size=32, shuffle=True, num_workers=workers)))
    decoding = count / seconds(lambda: drain(decode(path) for _, path in items))
    cache = PixelCache(folder / "cache", 256)
    making = count / seconds(lambda: cache.ensure(items, workers=1, progress=False))
    pictures = Pictures([image_id for image_id, _ in items], cache, Preprocessing(256, SIDE), augmentation("basic", SIDE, 0.0), 0)
    own = count / seconds(lambda: drain(load(pictures, batches(range(count), 32), workers)))
    name = f"{size[0]}×{size[1]}"
    return [
        (f"{name}: pictures/s, ImageFolder", f"{peer:.0f}", ""),
        (f"{name}: pictures/s, cache", f"{own:.0f}", f"{own / peer:.1f}× ImageFolder"),
        (f"{name}: pictures/s while the cache is made, one thread", f"{making:.0f}", f"{making / decoding:.0%} of decoding"),
    ]


def epochs(folder: Path, count: int) -> list[tuple[str, str, str]]:
    """An epoch of `cnn` at 64 px over the same passes on data in memory; plain, compiled and bf16."""
    items = draw(folder / "in", count, (160, 120))
    cache = PixelCache(folder / "cache", SMALL.resize)
    cache.ensure(items, progress=False)
    ids, labels = [image_id for image_id, _ in items], torch.arange(count) % 2
    rows = []
    for name, extra in (("32", {}), ("--compile", {"compile": True}), ("--precision bf16", {"precision": "bf16"})):
        config = TrainConfig(manifest="v001", model="cnn", regime="scratch", epochs=1, device="cpu", **extra).resolved()  # type: ignore[arg-type]
        train = Pictures(ids, cache, SMALL, augmentation("basic", SMALL.crop, 0.0), 0)
        material = Material(train, labels, Pictures(ids[:32], cache, SMALL, None, 0), labels[:32], SMALL, 2)
        loop = Loop(make_fabric(config), build_model("cnn", 2)[0], config, material, folder)
        drain(loop.steps_of(1))
        spent = seconds(lambda loop=loop: drain(loop.steps_of(1)))  # type: ignore[misc]
        against = f"{spent / seconds(lambda: in_memory(count)):.2f} of the bare passes" if not extra else ""
        rows.append((f"epoch of cnn, {name}: pictures/s", f"{count / spent:.0f}", against))
    return rows


def in_memory(count: int) -> None:
    """Forward, backward and step of `cnn` on random pictures that are there already."""
    module = build_model("cnn", 2)[0].to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    pictures = torch.randn(32, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(32) % 2
    for _ in range(count // 32):
        F.cross_entropy(module(pictures), labels).backward()
        optimizer.step()
        optimizer.zero_grad()


def heads() -> list[tuple[str, str, str]]:
    """A head on features that are cached already: 3,000 pictures, 512 values, 40 classes."""
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 40, 3000))
    features = (rng.normal(size=(40, 512))[labels] + 3 * rng.normal(size=(3000, 512))).astype(np.float32)
    train, val = Split(features[:2600], labels[:2600]), Split(features[2600:], labels[2600:])
    rows = []
    for kind in ("linear", "logistic", "svm"):
        spent = seconds(lambda kind=kind: fit_head(kind, train, val, 40, epochs=60, seed=0))  # type: ignore[misc]
        rows.append((f"{kind} on 3,000×512 cached features: s", f"{spent:.1f}", ""))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows += feeding(folder / "small", (640, 480), options.pictures, options.workers)
        rows += feeding(folder / "large", (3000, 2000), max(32, options.pictures // 10), options.workers)
        rows += epochs(folder / "epochs", options.pictures)
    rows += heads()
    print("| what | figure | against |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
