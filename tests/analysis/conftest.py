"""One small workspace with two trained runs, shared by the tests of a worker."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.manifest import ManifestRow, manifest_bytes, read_manifest
from fototeca.curate.versions.freeze import freeze_version
from fototeca.train.config import TrainConfig
from fototeca.train.trainer import train_run


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[str]]:
    """Three colours that overlap, collected, frozen and learned twice: the workspace and its runs."""
    folder = tmp_path_factory.mktemp("studied")
    for index, (name, tint) in enumerate({"red": (190, 90, 80), "green": (90, 170, 80), "olive": (150, 140, 70)}.items()):
        (folder / "in" / name).mkdir(parents=True)
        for number in range(30):
            rng = np.random.default_rng([index, number])
            noise = rng.normal(0, 50, (9, 9, 3)) + tint
            image = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).resize((96, 72), Image.Resampling.BICUBIC)
            image.save(folder / "in" / name / f"{number:02}.jpg", quality=92)
    workspace = create_workspace(folder / "colours", ["red", "green", "olive"], target=20)
    collect_folder(workspace, folder / "in", FolderOptions(label_from_folder=True), FetchOptions())
    dedup(workspace)
    freeze_version(workspace)
    configs = [TrainConfig("v001", model, "scratch", image_size=32, epochs=3) for model in ("cnn", "cnn-cbam")]
    return workspace, [train_run(workspace, config).id for config in configs]


@pytest.fixture
def first_image(studied: tuple[Workspace, list[str]]) -> Callable[[str], Path]:
    """The first stored image of a split."""

    def find(split: str) -> Path:
        workspace = studied[0]
        with (workspace.manifests / "v001.csv").open(encoding="utf-8") as file:
            return next(workspace.root / row["path"] for row in csv.DictReader(file) if row["split"] == split)

    return find


@pytest.fixture
def copied(studied: tuple[Workspace, list[str]], tmp_path: Path) -> tuple[Workspace, list[str]]:
    """The workspace and its runs, to be damaged."""
    return Workspace(shutil.copytree(studied[0].root, tmp_path / "copy")), studied[1]


def refreeze(workspace: Workspace, keep: Callable[[ManifestRow], bool]) -> None:
    """As if v001 had been frozen with the rows that `keep` names, and every run trained and asked on those."""
    manifest = read_manifest(workspace, "v001")
    content = manifest_bytes(row for row in manifest.rows if keep(row))
    manifest.path.write_bytes(content)
    digest, ids = hashlib.sha256(content).hexdigest(), {row.image_id for row in manifest.rows if keep(row)}
    configs = list(workspace.runs.glob("*/config.json"))
    for path, key in ((manifest.path.with_suffix(".json"), "sha256"), *((path, "manifest_sha256") for path in configs)):
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), key: digest}), encoding="utf-8")
    for path in workspace.runs.glob("*/predictions-*.csv"):
        head, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text(head + "".join(line for line in lines if line.split(",")[0] in ids), encoding="utf-8")


@pytest.fixture
def changed(copied: tuple[Workspace, list[str]]) -> tuple[Workspace, list[str]]:
    """The workspace and its runs, as if v001 had been frozen anew since: whole, but of other labels than they learned."""
    manifest = read_manifest(copied[0], "v001")
    content = manifest.path.read_bytes().replace(b",red,", b",olive,", 1)
    manifest.path.write_bytes(content)
    path = manifest.path.with_suffix(".json")
    facts = json.loads(path.read_text(encoding="utf-8")) | {"sha256": hashlib.sha256(content).hexdigest()}
    path.write_text(json.dumps(facts), encoding="utf-8")
    return copied


@pytest.fixture
def frozen_with() -> Callable[[Workspace, Callable[[ManifestRow], bool]], None]:
    """`refreeze`: other rows in v001, and runs that fit."""
    return refreeze
