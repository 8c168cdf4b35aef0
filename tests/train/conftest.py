"""Frozen versions written with the manifest's own functions, for tests of training without collecting."""

from __future__ import annotations

import csv
import hashlib
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from fototeca.core.settings import Task
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import Manifest, ManifestRow, SplitName, manifest_bytes, write_manifest

Labelled = Sequence[tuple[Path, str]]
Freeze = Callable[..., Workspace]


def freeze_files(folder: Path, files: Labelled, task: Task = "single", version: str = "v001") -> Workspace:
    """Return a workspace whose `version` holds these files, split 70/10/20 with a fixed seed, stratified."""
    names = sorted({name for _, label in files for name in label.split("|") if name})
    workspace = Workspace(folder) if (folder / "fototeca.toml").exists() else create_workspace(folder, names, task=task)
    seen: dict[str, int] = {}
    rows = {}
    order = list(files)
    random.Random(0).shuffle(order)
    for path, label in order:
        content = path.read_bytes()
        image_id = hashlib.sha256(content).hexdigest()
        target = workspace.images / image_id[:2] / f"{image_id}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        place = seen[label] = seen.get(label, -1) + 1
        split: SplitName = "val" if place % 10 == 1 else "test" if place % 10 in (4, 7) else "train"
        with Image.open(path) as image:
            width, height = image.size
        facts = (image_id[:16], width, height, "0" * 16, "folder", "", "", "", "MIT", True)
        rows[image_id] = ManifestRow(image_id, workspace.relative(target), label, split, *facts)
    content = manifest_bytes(rows.values())
    manifest = Manifest(
        version,
        workspace.settings.name,
        task,
        tuple(names),
        tuple(rows.values()),
        hashlib.sha256(content).hexdigest(),
        0,
        (70.0, 10.0, 20.0),
        None,
        None,
        "2026-01-01T00:00:00+00:00",
        "",
        workspace.manifests / f"{version}.csv",
    )
    write_manifest(manifest, [])
    return workspace


@pytest.fixture
def small(tmp_path: Path, make_images: Callable[[Path, dict[str, int]], Path]) -> Workspace:
    """Return a workspace with 30 noise images of each of three colors, frozen as v001."""
    folder = make_images(tmp_path / "in", {"red": 30, "green": 30, "blue": 30})
    return freeze_files(tmp_path / "work", [(path, path.parent.name) for path in sorted(folder.rglob("*.jpg"))])


@pytest.fixture
def uneven(tmp_path: Path, make_images: Callable[[Path, dict[str, int]], Path]) -> Workspace:
    """Return a workspace with the same colors, some of them rare."""
    folder = make_images(tmp_path / "in", {"red": 40, "green": 16, "blue": 10})
    return freeze_files(tmp_path / "work", [(path, path.parent.name) for path in sorted(folder.rglob("*.jpg"))])


@pytest.fixture
def several(tmp_path: Path, make_images: Callable[[Path, dict[str, int]], Path]) -> Workspace:
    """Return the same colors as a multi-label task: an image may have two labels or none."""
    folder = make_images(tmp_path / "in", {"red": 24, "green": 24, "red|green": 24, "none": 12})
    files = [(path, "" if path.parent.name == "none" else path.parent.name) for path in sorted(folder.rglob("*.jpg"))]
    return freeze_files(tmp_path / "work", [(path, "|".join(sorted(label.split("|")))) for path, label in files], "multi")


def grocery_files(folder: Path, per_class: int, classes: int, column: str = "labels.csv") -> list[tuple[Path, str]]:
    """Return the first images of the largest classes of the grocery photographs."""
    with (folder / column).open(encoding="utf-8", newline="") as file:
        rows = [(folder / row["path"], row["label"]) for row in csv.DictReader(file)]
    by_label: dict[str, list[tuple[Path, str]]] = {}
    for path, label in rows:
        by_label.setdefault(label, []).append((path, label))
    largest = sorted(by_label, key=lambda name: (-len(by_label[name]), name))[:classes]
    return [item for name in largest for item in by_label[name][:per_class]]
