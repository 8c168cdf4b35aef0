"""The features before a run's classifier, computed once per image and kept in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fototeca.core.console import notify
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow
from fototeca.train.runs import Run, load_model, read_run
from fototeca.vision.feature_math import concatenate_features

if TYPE_CHECKING:
    from fototeca.vision.backbones import Backbone

FeatureArray = npt.NDArray[np.float32]

BLOCK_SIZE = 1024
"""Queries compared at once: against 100,000 images 0.4 GB."""


def read_features(workspace: Workspace, run: Run, rows: Sequence[ManifestRow]) -> tuple[list[ManifestRow], FeatureArray] | None:
    """Rows, without those whose file cannot be read and whose features were not kept either, which a line tells of, and their
    features (N, D); None when the run has none of its own (an ensemble).

    Those of a frozen backbone are what its training kept; another run's are asked for once, from the pixels its training kept.
    """
    from fototeca.vision.features import extract_features, features_folder
    from fototeca.vision.pixels import PixelCache
    from fototeca.vision.store import RowStore

    backbone = _backbone(workspace, run)
    if backbone is None:
        return None
    store = RowStore(features_folder(workspace, backbone), (backbone.dimension,), np.float32)
    missing = [row for row in rows if row.image_id not in store]
    steps, broken = backbone.preprocessing, dict[str, str]()
    PixelCache(workspace.cache / "pixels", steps.resize, steps.interpolation).ensure(_items(workspace, missing), broken=broken)
    if broken:
        notify(
            f"{len(broken)} of {len(rows)} images cannot be read and are left out: restore data/images, or freeze without them"
        )
    there = [row for row in rows if row.image_id not in broken]
    features = extract_features(workspace, _items(workspace, there), backbone) if there else np.empty((0, backbone.dimension))
    return there, np.asarray(features, dtype=np.float32)


def read_inference_features(
    workspace: Workspace, run: Run, rows: Sequence[ManifestRow]
) -> tuple[list[ManifestRow], FeatureArray] | None:
    """What the run's `answers` give beside probabilities, of rows that are there: an ensemble's are its members'."""
    if "members" not in run.config:
        return read_features(workspace, run, rows)
    parts = [read_features(workspace, read_run(workspace, name), rows) for name in run.config["members"]]
    found = [{row.image_id: one for row, one in zip(*part, strict=True)} for part in parts if part is not None]
    there = [row for row in rows if all(row.image_id in part for part in found)]
    if not there:
        return None
    return there, concatenate_features([np.stack([part[row.image_id] for row in there]) for part in found])


def _items(workspace: Workspace, rows: Sequence[ManifestRow]) -> list[tuple[str, Path]]:
    return [(row.image_id, workspace.root / row.path) for row in rows]


def _backbone(workspace: Workspace, run: Run) -> Backbone | None:
    """The run's network up to its classifier; None when it has none of its own."""
    from fototeca.vision.backbones import Backbone, classifier_of, remove_classifier

    model = load_model(workspace, run)
    if not hasattr(model, "network"):
        return None
    return Backbone(
        name=run.model_name,
        dimension=classifier_of(model.network)[1].in_features,
        module=remove_classifier(model.network),
        preprocessing=model.preprocessing,
        weights_id=run.config["weights_id"] if run.regime == "features" else f"run:{run.id}:{run.digest}",
    )


def normalize_rows(features: FeatureArray) -> FeatureArray:
    """Rows of length one, so that products are cosines."""
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def find_nearest_training(train: FeatureArray, queries: FeatureArray, k: int) -> npt.NDArray[np.int64]:
    """(Q, k) the nearest training rows of each query by cosine, nearest first."""
    known, k, found = normalize_rows(train).T, min(k, len(train)), [np.empty((0, min(k, len(train))), dtype=np.int64)]
    for start in range(0, len(queries), BLOCK_SIZE):
        distance = -(normalize_rows(queries[start : start + BLOCK_SIZE]) @ known)
        part = np.argpartition(distance, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distance, part, axis=1), axis=1, kind="stable")
        found.append(np.take_along_axis(part, order, axis=1))
    return np.concatenate(found)
