"""The parts of bench/train.py that train whole runs: cached features and their heads, and a sweep against separate runs."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from drawn_images import create_frozen, time_in_turns
from reference_training import reference_run
from torch import nn

from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import image_path, read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.sweep.run_plan import sweep
from fototeca.train.trainer import train_run
from fototeca.vision.backbones import build_model, load_backbone
from fototeca.vision.features import BATCH, extract_features
from fototeca.vision.memory import keep_freed_memory

SIDE = 224
EPOCHS = 8
"""Epochs of every run of the sweep."""

SWEEP = (
    {"model": "cnn", "regime": "scratch"},
    {"model": "cnn-cbam", "regime": "scratch"},
    {"model": "resnet18", "regime": "features"},
    {"model": "regnet_y_400mf", "regime": "features"},
    {"model": "resnet18", "regime": "finetune", "unfreeze": "layer4"},
    {"model": "regnet_y_400mf", "regime": "finetune"},
)
Table = list[tuple[str, str, str]]


def features(folder: Path, options: argparse.Namespace) -> Table:
    """Measure feature extraction against the fastest forward pass, and heads on cached features."""
    return [*_extraction(folder, options), *_heads(folder)]


def _extraction(folder: Path, options: argparse.Namespace) -> Table:
    keep_freed_memory()
    workspace = create_frozen(folder / "features", options.images // 2, (320, 240), 2)
    manifest = read_manifest(workspace, "v001")
    items = [(row.image_id, image_path(workspace, row)) for row in manifest.rows]
    backbone = load_backbone("resnet18", random_weights(folder, "resnet18"))
    extract_features(workspace, items, backbone, progress=False)
    images = torch.randn(BATCH, 3, SIDE, SIDE)
    last = images.contiguous(memory_format=torch.channels_last)
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
        "plain": lambda: forward(plain, images),
        "channels_last": lambda: forward(backbone.module, last),
        "compiled": lambda: forward(compiled, last),
        "features": extract,
    }
    rate = {name: len(items) / seconds for name, seconds in time_in_turns(contenders, options.rounds).items()}
    best = max(rate[name] for name in ("plain", "channels_last", "compiled"))
    rows = [(f"resnet18 at 224 px, images/s: forward, {name}", f"{rate[name]:.1f}", "") for name in list(rate)[:3]]
    return [
        *rows,
        ("the same: features, cached and flushed", f"{rate['features']:.1f}", f"{rate['features'] / best:.0%} of the best"),
    ]


def random_weights(folder: Path, model: str) -> str:
    """Write random weights of a model; return the file's path."""
    path = folder / f"{model}.pth"
    torch.save(build_model(model, 1000)[0].state_dict(), path)
    return str(path)


def _heads(folder: Path) -> Table:
    """Measure a second head on 3,000 images with cached features: the call, and the command including start-up."""
    workspace = create_frozen(folder / "heads", 3000, (160, 120), 40)
    return [row for model, side in (("resnet18", 512), ("resnet50", 2048)) for row in _heads_of(workspace, folder, model, side)]


def _heads_of(workspace: Workspace, folder: Path, model: str, dimension: int) -> Table:
    base = TrainConfig(manifest="v001", model=model, regime="features", weights=random_weights(folder, model), device="cpu")
    train_run(workspace, replace(base, image_size=64, seed=1))
    rows = []
    for head in ("linear", "logistic", "svm", "boosting"):
        config = replace(base, head=head, image_size=64)
        begin = time.perf_counter()
        train_run(workspace, config)
        call = time.perf_counter() - begin
        begin = time.perf_counter()
        options = ["--model", model, "--regime", "features", "--head", head, "--image-size", "64", "--seed", "2"]
        measure_peak_memory(workspace, [*options, "--weights", str(base.weights), "--device", "cpu"])
        command = time.perf_counter() - begin
        rows.append(
            (f"second head on 3,000×{dimension} cached features, {head}: s", f"{call:.1f}", f"{command:.1f} including start-up")
        )
    return rows


def sweep_of_six(folder: Path, options: argparse.Namespace) -> Table:
    """Measure six models by `train sweep` and by six reference runs with equal epochs, sizes, batches, rates and workers.

    On small images the network dominates a reference run; on camera-size images decoding does.
    """
    cases = (((640, 480), 64), ((640, 480), 128), ((3000, 2000), 128))
    return [row for size, side in cases for row in _sweep(folder / f"{size[0]}-{side}", options, size, side)]


def _sweep(folder: Path, options: argparse.Namespace, size: tuple[int, int], side: int) -> Table:
    workspace = create_frozen(folder / "sweep", options.images, size, 4)
    base = {"epochs": EPOCHS, "image_size": side, "device": "cpu", "workers": options.workers}
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

    def run_sweep() -> None:
        shutil.rmtree(workspace.runs, ignore_errors=True)
        shutil.rmtree(workspace.cache, ignore_errors=True)
        sweep(workspace, points, "v001")

    def run_reference() -> None:
        for config in configs:
            reference_run(folder / "plain", config, side)

    spent = time_in_turns({"reference": run_reference, "sweep": run_sweep}, max(1, options.rounds - 2))
    name = f"six models, {options.images} images of {size[0]}×{size[1]}, {EPOCHS} epochs at {side} px: s"
    return [
        (f"{name}, six separate runs", f"{spent['reference']:.0f}", ""),
        (f"{name}, one sweep with an empty cache", f"{spent['sweep']:.0f}", f"{spent['sweep'] / spent['reference']:.2f} of it"),
    ]


def measure_peak_memory(workspace: Workspace, options: list[str]) -> float:
    """Return the peak memory (VmHWM) of `train run` with these options, in GB."""
    script = "import fototeca.cli,sys\ntry: fototeca.cli.main()\nfinally: sys.stderr.write(open('/proc/self/status').read())"
    environment = {**os.environ}
    command = [sys.executable, "-c", script, "train", "run", "--manifest", "v001", *options]
    done = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=True)
    match = re.search(r"VmHWM:\s+(\d+) kB", done.stderr)
    assert match
    return int(match.group(1)) * 1024 / 1e9
