"""Benchmark training against common practice: data loading, the loop, cached features, a sweep, memory.

    python bench/train.py [--part feeding loop features sweep memory] [--images N] [--workers N] [--rounds N]

Contenders run in turns; figures are medians. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_images import create_frozen, draw_all, time_in_turns
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from tqdm import tqdm
from train_parts import Table, features, measure_peak_memory, random_weights, sweep_of_six

from fototeca.train.config import TrainConfig
from fototeca.train.training.data import ImageDataset, augmentation, load_batches, split_batches
from fototeca.train.training.device import make_fabric
from fototeca.train.training.loop import TrainingData, TrainingLoop
from fototeca.train.training.metrics_log import STEP_COLUMNS, MetricsLog
from fototeca.vision.backbones import build_model
from fototeca.vision.image import decode
from fototeca.vision.pixels import PixelCache
from fototeca.vision.preprocessing import Preprocessing

SIDE = 224
SETTINGS: dict[str, dict[str, Any]] = {"32": {}, "--compile": {"compile": True}, "--precision bf16": {"precision": "bf16"}}


def drain(iterable: Iterable[Any]) -> None:
    """Iterate over all batches."""
    for _ in iterable:
        pass


def feeding(folder: Path, options: argparse.Namespace) -> Table:
    """Measure images per second: ImageFolder with RandomResizedCrop, full decodes only, writing the cache, reading the cache."""
    small, large = options.images, max(32, options.images // 4)
    return [row for size, count in (((640, 480), small), ((3000, 2000), large)) for row in _feeding(folder, options, size, count)]


def _feeding(folder: Path, options: argparse.Namespace, size: tuple[int, int], count: int) -> Table:
    items = draw_all(folder / f"{size[0]}", count, size)
    steps = [v2.RandomResizedCrop(SIDE, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    plain = ImageFolder(str(folder / f"{size[0]}"), v2.Compose(steps))
    cache = PixelCache(folder / f"cache-{size[0]}", 256)
    cache.ensure(items, progress=False)
    images = ImageDataset(
        [image_id for image_id, _ in items], cache, Preprocessing(256, SIDE), augmentation("basic", SIDE, 0.0), 0
    )
    shuffled = np.random.default_rng(0).permutation(count).tolist()
    threads = os.cpu_count() or 1

    def decoding() -> None:
        with ThreadPoolExecutor(threads) as pool:
            drain(pool.map(lambda item: decode(item[1]) and None, items))

    def writing() -> None:
        PixelCache(folder / "new", 256).ensure(items, workers=threads, progress=False)
        shutil.rmtree(folder / "new")

    spent = time_in_turns(
        {
            "peer": lambda: drain(DataLoader(plain, batch_size=32, shuffle=True, num_workers=options.workers)),
            "own": lambda: drain(load_batches(images, split_batches(shuffled, 32), options.workers)),
            "decode": decoding,
            "write": writing,
        },
        options.rounds,
    )
    rate = {name: count / seconds for name, seconds in spent.items()}
    name = f"{size[0]}×{size[1]}, images/s:"
    return [
        (f"{name} ImageFolder", f"{rate['peer']:.0f}", ""),
        (f"{name} from the cache", f"{rate['own']:.0f}", f"{rate['own'] / rate['peer']:.1f}× ImageFolder"),
        (f"{name} full decodes only, {threads} threads", f"{rate['decode']:.0f}", ""),
        (
            f"{name} writing the cache, {threads} threads",
            f"{rate['write']:.0f}",
            f"{rate['write'] / rate['decode']:.0%} of decodes",
        ),
    ]


def loop(folder: Path, options: argparse.Namespace) -> Table:
    """Measure an epoch relative to the same passes on data in memory, for `cnn` at 64 px and resnet18 at 160 px.

    The epoch includes data loading, steps, curves, validation and the flushed checkpoint.
    """
    rows = []
    for model, side, count in (("cnn", 64, options.images), ("resnet18", 160, max(64, options.images // 3))):
        preprocessing = Preprocessing(round(side * 8 / 7), side)
        items = draw_all(folder / model, count, (320, 240))
        cache = PixelCache(folder / f"cache-{model}", preprocessing.resize)
        cache.ensure(items, progress=False)
        ids, labels = [image_id for image_id, _ in items], torch.arange(count) % 2
        train = ImageDataset(ids, cache, preprocessing, augmentation("basic", side, 0.0), 0)
        num_val = count // 7
        data = TrainingData(
            train, labels, ImageDataset(ids[:num_val], cache, preprocessing, None, 0), labels[:num_val], preprocessing, 2
        )
        contenders: dict[str, Callable[[], object]] = {
            "passes": passes_in_memory(model, side, count, num_val, steps=False),
            "passes and steps": passes_in_memory(model, side, count, num_val, steps=True),
        }
        for name, extra in SETTINGS.items():
            config = TrainConfig(manifest="v001", model=model, regime="scratch", epochs=1, device="cpu", **extra).resolved()
            (folder / f"{model} {name}").mkdir()
            trainer_loop = TrainingLoop(make_fabric(config), build_model(model, 2)[0], config, data, folder / f"{model} {name}")
            contenders[name] = partial(whole_epoch, trainer_loop)
            whole_epoch(trainer_loop)
        spent = time_in_turns(contenders, options.rounds)
        bare = spent.pop("passes")
        rows += [
            (
                f"epoch of {model} at {side} px, {name}: images/s",
                f"{count / seconds:.0f}",
                f"{seconds / bare:.2f} relative to the passes",
            )
            for name, seconds in spent.items()
        ]
    return rows


def whole_epoch(trainer_loop: TrainingLoop) -> None:
    """Run a complete epoch."""
    path = trainer_loop.folder / "steps.csv"
    with MetricsLog(path, STEP_COLUMNS, 0) as steps, tqdm(disable=True) as bar:
        trainer_loop._epoch(1, steps, bar)
    trainer_loop._save()


def passes_in_memory(model: str, side: int, count: int, num_val: int, *, steps: bool) -> Callable[[], None]:
    """Return a function that runs an epoch's passes on images in memory: `count` forward and backward, `num_val` forward."""
    module = build_model(model, 2)[0].to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    images = torch.randn(32, 3, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(32) % 2

    def passes() -> None:
        module.train()
        for start in range(0, count, 32):
            size = min(32, count - start)
            torch.autograd.backward(F.cross_entropy(module(images[:size]), labels[:size]))
            if steps:
                optimizer.step()
            optimizer.zero_grad()
        module.eval()
        with torch.inference_mode():
            for start in range(0, num_val, 32):
                module(images[: min(32, num_val - start)])

    passes()
    return passes


def memory(folder: Path, options: argparse.Namespace) -> Table:
    """Measure the peak memory of whole runs over 20,000 images, mapped files included."""
    workspace = create_frozen(folder / "memory", 20_000, (160, 120), 10)
    weights = random_weights(folder, "mobilenet_v3_small")
    runs = {
        "cnn from scratch at 64 px": ["--model", "cnn", "--regime", "scratch", "--epochs", "1"],
        "mobilenet_v3_small, features at 224 px": ["--model", "mobilenet_v3_small", "--regime", "features", "--weights", weights],
        "the same, fine-tuned at 64 px": [
            *("--model", "mobilenet_v3_small", "--regime", "finetune", "--weights", weights),
            *("--epochs", "1", "--image-size", "64"),
        ],
    }
    return [
        (f"20,000 images, {name}: peak GB", f"{measure_peak_memory(workspace, options):.2f}", "")
        for name, options in runs.items()
    ]


PARTS = {"feeding": feeding, "loop": loop, "features": features, "sweep": sweep_of_six, "memory": memory}


def main() -> None:
    """Parse options, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: Table = []
    for part in options.part:
        with tempfile.TemporaryDirectory() as name:
            rows += PARTS[part](Path(name), options)
    print("| measurement | value | comparison |\n| --- | ---: | ---: |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
