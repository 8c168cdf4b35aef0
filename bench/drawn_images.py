"""Shared helpers: draw images, freeze them as a version, and time contenders in turns under the same background load."""

from __future__ import annotations

import hashlib
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import Manifest, ManifestRow, SplitName, manifest_bytes, write_manifest

Work = Callable[[], object]


def draw(path: Path, number: int, label: int, size: tuple[int, int]) -> None:
    """Write a JPEG of smooth noise around the color of its class."""
    tint = np.random.default_rng(1000 + label).uniform(40, 215, 3)
    noise = np.random.default_rng(number).normal(0, 45, (size[1] // 8, size[0] // 8, 3)) + tint
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC).save(path, quality=88)


def draw_all(folder: Path, count: int, size: tuple[int, int], classes: int = 2) -> list[tuple[str, Path]]:
    """Write `folder/class-C/N.jpg`; return (image id, path) of each."""
    items = []
    for number in range(count):
        path = folder / f"class-{number % classes:02}" / f"{number:05}.jpg"
        draw(path, number, number % classes, size)
        items.append((f"{number:064x}", path))
    return items


def create_frozen(folder: Path, count: int, size: tuple[int, int], classes: int) -> Workspace:
    """Create a workspace whose v001 contains drawn images, split 70/10/20."""
    names = tuple(f"class-{number:02}" for number in range(classes))
    workspace = create_workspace(folder, list(names))
    splits: tuple[SplitName, ...] = ("train", "train", "train", "train", "train", "train", "train", "val", "test", "test")
    rows = []
    for number, (_, path) in enumerate(draw_all(folder / "drawn", count, size, classes)):
        image_id = hashlib.sha256(path.read_bytes()).hexdigest()
        target = workspace.images / image_id[:2] / f"{image_id}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
        metadata = (image_id[:16], *size, "0" * 16, "folder", "", "", "", "MIT", True)
        rows.append(
            ManifestRow(image_id, workspace.relative(target), names[number % classes], splits[number // classes % 10], *metadata)
        )
    digest = hashlib.sha256(manifest_bytes(rows)).hexdigest()
    settings = ("single", names, tuple(rows), digest, 0, (70.0, 10.0, 20.0), None, None, "2026-01-01T00:00:00+00:00", "")
    write_manifest(Manifest("v001", workspace.settings.name, *settings, workspace.manifests / "v001.csv"), [])
    return workspace


def time_in_turns(contenders: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contender; every round runs all of them in order."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            start = time.perf_counter()
            work()
            spent[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in spent.items()}
