"""Heads and fine-tuning on photographs, compared with scikit-learn."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import image_path, read_manifest
from fototeca.train.config import TrainConfig
from fototeca.train.trainer import train_run
from fototeca.vision.backbones import load_backbone
from fototeca.vision.features import extract_features


def _frozen(folder: Path, grocery: Path) -> Workspace:
    """Ten fine classes of 30 photographs, by the functions of this folder's conftest."""
    spec = importlib.util.spec_from_file_location("freezing", Path(__file__).parents[1] / "conftest.py")
    assert spec and spec.loader
    freezing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(freezing)
    workspace: Workspace = freezing.freeze_files(folder, freezing.grocery_files(grocery, 30, 10, "labels_fine.csv"))
    return workspace


def test_heads_are_as_accurate_as_scikit_learn(tmp_path: Path, grocery: Path, squeezenet_weights: Path) -> None:
    """At least as accurate as logistic regression on the same pooled features."""
    workspace = _frozen(tmp_path / "work", grocery)
    transfer = {"manifest": "v001", "model": "squeezenet1_0", "regime": "features", "image_size": 128, "device": "cpu"}
    linear, logistic = (
        train_run(workspace, TrainConfig(**transfer, head=head, weights=str(squeezenet_weights)))  # type: ignore[arg-type]
        for head in ("linear", "logistic")
    )
    backbone = load_backbone("squeezenet1_0", str(squeezenet_weights))
    backbone = replace(backbone, preprocessing=backbone.preprocessing.at(128))
    manifest = read_manifest(workspace, "v001")
    x, y = {}, {}
    for split in ("train", "val"):
        rows = manifest.split(split)
        x[split] = extract_features(workspace, [(row.image_id, image_path(workspace, row)) for row in rows], backbone)
        y[split] = [row.label for row in rows]
    peer = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x["train"], y["train"])
    reached = peer.score(x["val"], y["val"])
    assert logistic.metrics.val_accuracy >= reached
    assert linear.metrics.val_accuracy >= reached - 1.5 / len(y["val"])  # another solver: one image may fall otherwise


def test_fine_tuning_by_sgd_does_not_diverge(tmp_path: Path, grocery: Path, squeezenet_weights: Path) -> None:
    """A network without batch norm, at the default rate: no loss is above that of a guess."""
    workspace = _frozen(tmp_path / "work", grocery)
    settings = {"optimizer": "sgd", "weights": str(squeezenet_weights), "image_size": 96, "epochs": 3, "device": "cpu"}
    run = train_run(workspace, TrainConfig("v001", "squeezenet1_0", "finetune", **settings))  # type: ignore[arg-type]
    assert max(row["loss"] for row in run.steps()) < math.log(10)
    assert run.metrics.val_accuracy >= 0.6
