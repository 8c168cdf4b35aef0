"""One small workspace with two trained runs, shared by the tests of a worker."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collect.download import FetchOptions
from collect.folder import collect_folder
from collect.local import Labelling
from curate.duplicates import dedup
from curate.freeze import freeze_version
from train.config import TrainConfig
from train.run import train_run
from workspace import Workspace, create_workspace


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[str]]:
    """Three colours that overlap, collected, frozen and learned twice: the workspace and its runs."""
    folder = tmp_path_factory.mktemp("studied")
    for index, (name, tint) in enumerate({"red": (190, 90, 80), "green": (90, 170, 80), "olive": (150, 140, 70)}.items()):
        (folder / "in" / name).mkdir(parents=True)
        for number in range(30):
            rng = np.random.default_rng([index, number])
            noise = rng.normal(0, 50, (9, 9, 3)) + tint
            picture = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).resize((96, 72), Image.Resampling.BICUBIC)
            picture.save(folder / "in" / name / f"{number:02}.jpg", quality=92)
    workspace = create_workspace(folder / "colours", ["red", "green", "olive"], target=20)
    collect_folder(workspace, folder / "in", Labelling(from_folder=True), FetchOptions())
    dedup(workspace)
    freeze_version(workspace)
    configs = [TrainConfig("v001", model, "scratch", image_size=32, epochs=3) for model in ("cnn", "cnn-cbam")]
    return workspace, [train_run(workspace, config).id for config in configs]


@pytest.fixture
def first_picture(studied: tuple[Workspace, list[str]]) -> Callable[[str], Path]:
    """The first stored picture of a split."""

    def find(split: str) -> Path:
        workspace = studied[0]
        with (workspace.manifests / "v001.csv").open(encoding="utf-8") as file:
            return next(workspace.root / row["path"] for row in csv.DictReader(file) if row["split"] == split)

    return find
