"""What the trainer costs, beside what is usual: feeding, the loop, cached features, a sweep, memory.

    python bench/train.py [--part feeding loop features sweep memory] [--pictures N] [--workers N] [--rounds N]

Contenders take turns, figures are medians. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).parents[1]))  # this file is called as the package that it measures

from drawn import draw_all, frozen, in_turns
from plain import plain_run

from curate.manifest import image_path, read_manifest
from train.config import TrainConfig
from train.data import Pictures, augmentation, batches, load
from train.device import make_fabric
from train.heads import Split, fit_head
from train.loop import Loop, Material
from train.sweep import sweep
from vision.backbones import Preprocessing, build_model, load_backbone
from vision.features import BATCH, extract_features
from vision.image import decode
from vision.memory import keep_freed_memory
from vision.pixels import PixelCache
from workspace import Workspace

SIDE = 224
EPOCHS = 8
"""Of every run of the sweep."""

SETTINGS: dict[str, dict[str, Any]] = {"32": {}, "--compile": {"compile": True}, "--precision bf16": {"precision": "bf16"}}
SWEEP = (
    {"model": "cnn", "regime": "scratch"},
    {"model": "cnn-cbam", "regime": "scratch"},
    {"model": "resnet18", "regime": "features"},
    {"model": "regnet_y_400mf", "regime": "features"},
    {"model": "resnet18", "regime": "finetune", "unfreeze": "layer4"},
    {"model": "regnet_y_400mf", "regime": "finetune"},
)
Table = list[tuple[str, str, str]]


def drain(batches_of_it: Iterable[Any]) -> None:
    """Take everything and keep nothing."""
    for _ in batches_of_it:
        pass


def feeding(folder: Path, options: argparse.Namespace) -> Table:
    """Pictures per second: ImageFolder with RandomResizedCrop, full decodes alone, the cache being made, the cache being read."""
    small, large = options.pictures, max(32, options.pictures // 10)
    return [row for size, count in (((640, 480), small), ((3000, 2000), large)) for row in _feeding(folder, options, size, count)]


def _feeding(folder: Path, options: argparse.Namespace, size: tuple[int, int], count: int) -> Table:
    items = draw_all(folder / f"{size[0]}", count, size)
    steps = [v2.RandomResizedCrop(SIDE, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    plain = ImageFolder(str(folder / f"{size[0]}"), v2.Compose(steps))
    cache = PixelCache(folder / f"cache-{size[0]}", 256)
    cache.ensure(items, progress=False)
    pictures = Pictures([image_id for image_id, _ in items], cache, Preprocessing(256, SIDE), augmentation("basic", SIDE, 0.0), 0)
    threads = os.cpu_count() or 1

    def decoding() -> None:
        with ThreadPoolExecutor(threads) as pool:
            drain(pool.map(lambda item: decode(item[1]) and None, items))

    def making() -> None:
        PixelCache(folder / "new", 256).ensure(items, workers=threads, progress=False)
        shutil.rmtree(folder / "new")

    spent = in_turns(
        {
            "peer": lambda: drain(DataLoader(plain, batch_size=32, shuffle=True, num_workers=options.workers)),
            "own": lambda: drain(load(pictures, batches(range(count), 32), options.workers)),
            "decode": decoding,
            "make": making,
        },
        options.rounds,
    )
    rate = {name: count / seconds for name, seconds in spent.items()}
    name = f"{size[0]}×{size[1]}, pictures/s:"
    return [
        (f"{name} ImageFolder", f"{rate['peer']:.0f}", ""),
        (f"{name} from the cache", f"{rate['own']:.0f}", f"{rate['own'] / rate['peer']:.1f}× ImageFolder"),
        (f"{name} full decodes alone, {threads} threads", f"{rate['decode']:.0f}", ""),
        (
            f"{name} the cache being made, {threads} threads",
            f"{rate['make']:.0f}",
            f"{rate['make'] / rate['decode']:.0%} of decodes",
        ),
    ]


def loop(folder: Path, options: argparse.Namespace) -> Table:
    """An epoch over the same passes on data in memory: of `cnn` at 64 px, the smallest there is, and of resnet18 at 160 px."""
    rows = []
    for model, side, count in (("cnn", 64, options.pictures), ("resnet18", 160, max(64, options.pictures // 6))):
        preprocessing = Preprocessing(round(side * 8 / 7), side)
        items = draw_all(folder / model, count, (320, 240))
        cache = PixelCache(folder / f"cache-{model}", preprocessing.resize)
        cache.ensure(items, progress=False)
        ids, labels = [image_id for image_id, _ in items], torch.arange(count) % 2
        train = Pictures(ids, cache, preprocessing, augmentation("basic", side, 0.0), 0)
        material = Material(train, labels, Pictures(ids[:32], cache, preprocessing, None, 0), labels[:32], preprocessing, 2)
        contenders: dict[str, Callable[[], object]] = {"bare": in_memory(model, side, count)}
        for name, extra in SETTINGS.items():
            config = TrainConfig(manifest="v001", model=model, regime="scratch", epochs=1, device="cpu", **extra).resolved()
            each = Loop(make_fabric(config), build_model(model, 2)[0], config, material, folder)
            drain(each.steps_of(1))
            contenders[name] = lambda each=each: drain(each.steps_of(1))  # type: ignore[misc]
        spent = in_turns(contenders, options.rounds)
        bare = spent.pop("bare")
        what = f"epoch of {model} at {side} px"
        rows += [
            (f"{what}, {name}: pictures/s", f"{count / seconds:.0f}", f"{seconds / bare:.2f} of the bare passes' time")
            for name, seconds in spent.items()
        ]
    return rows


def in_memory(model: str, side: int, count: int) -> Callable[[], None]:
    """What does forward, backward and step on random pictures that are there already, `count` in all."""
    module = build_model(model, 2)[0].to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    pictures = torch.randn(32, 3, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(32) % 2

    def passes() -> None:
        for start in range(0, count, 32):
            size = min(32, count - start)
            torch.autograd.backward(F.cross_entropy(module(pictures[:size]), labels[:size]))
            optimizer.step()
            optimizer.zero_grad()

    passes()
    return passes


def features(folder: Path, options: argparse.Namespace) -> Table:
    """Features against the pure forward pass at its best, and heads on features that are there."""
    return [*_extraction(folder, options), *_heads()]


def _extraction(folder: Path, options: argparse.Namespace) -> Table:
    keep_freed_memory()
    workspace = frozen(folder / "features", options.pictures // 2, (320, 240), 2)
    manifest = read_manifest(workspace, "v001")
    items = [(row.image_id, image_path(workspace, row)) for row in manifest.rows]
    backbone = load_backbone("resnet18", random_weights(folder, "resnet18"))
    extract_features(workspace, items, backbone, progress=False)
    pictures = torch.randn(BATCH, 3, SIDE, SIDE)
    last = pictures.contiguous(memory_format=torch.channels_last)
    compiled: Any = torch.compile(load_backbone("resnet18", None).module.to(memory_format=torch.channels_last))

    def forward(module: nn.Module, batch: torch.Tensor) -> None:
        with torch.inference_mode():
            for start in range(0, len(items), BATCH):
                module(batch[: min(BATCH, len(items) - start)])

    def extract() -> None:
        shutil.rmtree(workspace.cache / "features")
        extract_features(workspace, items, backbone, progress=False)

    plain = load_backbone("resnet18", None).module
    forward(compiled, last)
    contenders: dict[str, Callable[[], object]] = {
        "plain": lambda: forward(plain, pictures),
        "channels_last": lambda: forward(backbone.module, last),
        "compiled": lambda: forward(compiled, last),
        "features": extract,
    }
    rate = {name: len(items) / seconds for name, seconds in in_turns(contenders, options.rounds).items()}
    best = max(rate[name] for name in ("plain", "channels_last", "compiled"))
    rows = [(f"resnet18 at 224 px, pictures/s: forward, {name}", f"{rate[name]:.1f}", "") for name in list(rate)[:3]]
    return [
        *rows,
        ("the same: features, cached and flushed", f"{rate['features']:.1f}", f"{rate['features'] / best:.0%} of the best"),
    ]


def random_weights(folder: Path, model: str) -> str:
    """A file of weights that nothing was learned with."""
    path = folder / f"{model}.pth"
    torch.save(build_model(model, 1000)[0].state_dict(), path)
    return str(path)


def _heads() -> Table:
    """A head on features that are cached already: 3,000 pictures, 512 values, 40 classes."""
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 40, 3000))
    values = (rng.normal(size=(40, 512))[labels] + 3 * rng.normal(size=(3000, 512))).astype(np.float32)
    train, val = Split(values[:2600], labels[:2600]), Split(values[2600:], labels[2600:])
    kinds = ("linear", "logistic", "svm")
    fits: dict[str, Callable[[], object]] = {
        kind: (lambda kind=kind: fit_head(kind, train, val, 40, epochs=60, seed=0))  # type: ignore[misc]
        for kind in kinds
    }
    return [(f"{kind} head on 3,000×512 cached features: s", f"{spent:.1f}", "") for kind, spent in in_turns(fits, 3).items()]


def sweep_of_six(folder: Path, options: argparse.Namespace) -> Table:
    """Six models by `train sweep` and by six plain runs, with equal epochs, sizes, batches and rates."""
    side, base = 64, {"epochs": EPOCHS, "image_size": 64, "device": "cpu", "workers": options.workers}
    workspace = frozen(folder / "sweep", options.pictures, (640, 480), 4)
    points: list[dict[str, Any]] = []
    for point in SWEEP:
        weights = {} if point["regime"] == "scratch" else {"weights": random_weights(folder, point["model"])}
        points.append({**base, **point, **weights})
    manifest = read_manifest(workspace, "v001")
    for row in manifest.rows:
        link = folder / "plain" / row.split / row.label / f"{row.image_id}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(image_path(workspace, row))
    configs = [TrainConfig(manifest="v001", **point) for point in points]

    def ours() -> None:
        shutil.rmtree(workspace.runs, ignore_errors=True)
        shutil.rmtree(workspace.cache, ignore_errors=True)
        sweep(workspace, points, "v001")

    def plain() -> None:
        for config in configs:
            plain_run(folder / "plain", config, side)

    spent = in_turns({"plain": plain, "sweep": ours}, options.rounds)
    name = f"six models, {options.pictures} pictures of 640×480, {EPOCHS} epochs at 64 px: s"
    return [
        (f"{name}, six plain runs", f"{spent['plain']:.0f}", ""),
        (f"{name}, one sweep, nothing cached before", f"{spent['sweep']:.0f}", f"{spent['sweep'] / spent['plain']:.2f} of it"),
    ]


def memory(folder: Path, options: argparse.Namespace) -> Table:
    """Peak memory of whole runs over 20,000 pictures, the mapped files among it."""
    workspace = frozen(folder / "memory", 20_000, (160, 120), 10)
    weights = random_weights(folder, "mobilenet_v3_small")
    runs = {
        "cnn from scratch at 64 px": ["--model", "cnn", "--regime", "scratch", "--epochs", "1"],
        "mobilenet_v3_small, features at 224 px": ["--model", "mobilenet_v3_small", "--regime", "features", "--weights", weights],
    }
    return [(f"20,000 pictures, {name}: peak GB", f"{_peak(workspace, options):.2f}", "") for name, options in runs.items()]


def _peak(workspace: Workspace, options: list[str]) -> float:
    """GB that `train run` with these options holds at most (VmHWM)."""
    script = "import fototeca,sys\ntry: fototeca.main()\nfinally: sys.stderr.write(open('/proc/self/status').read())"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", script, "train", "run", "--manifest", "v001", *options]
    done = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"VmHWM:\s+(\d+) kB", done.stderr)
    assert found
    return int(found.group(1)) * 1024 / 1e9


PARTS = {"feeding": feeding, "loop": loop, "features": features, "sweep": sweep_of_six, "memory": memory}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: Table = []
    for part in options.part:
        with tempfile.TemporaryDirectory() as name:
            rows += PARTS[part](Path(name), options)
    print("| what | figure | against |\n| --- | ---: | ---: |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
