"""Features before a run's classifier, computed once per image and cached."""

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
"""Queries compared at once: 0.4 GB against 100,000 images."""


def read_features(workspace: Workspace, run: Run, rows: Sequence[ManifestRow]) -> tuple[list[ManifestRow], FeatureArray] | None:
    """Return rows and their features (N, D); None for an ensemble, which has no features of its own.

    Rows without readable file and without cached features are left out, with a message. Features of a frozen backbone are those
    that its training cached; other runs compute them once, from the pixels that training cached.
    """
    from fototeca.vision.features import extract_features, features_folder
    from fototeca.vision.store import RowStore

    backbone = _backbone(workspace, run)
    if backbone is None:
        return None
    store = RowStore(features_folder(workspace, backbone), (backbone.dimension,), np.float32)
    missing = [row for row in rows if row.image_id not in store]
    steps, broken = backbone.preprocessing, dict[str, str]()
    steps.pixel_cache(workspace.cache / "pixels").ensure(_items(workspace, missing), broken=broken)
    if broken:
        notify(
            f"{len(broken)} of {len(rows)} images cannot be read and are left out: restore data/images, or freeze without them"
        )
    present = [row for row in rows if row.image_id not in broken]
    features = extract_features(workspace, _items(workspace, present), backbone) if present else np.empty((0, backbone.dimension))
    return present, np.asarray(features, dtype=np.float32)


def read_inference_features(
    workspace: Workspace, run: Run, rows: Sequence[ManifestRow]
) -> tuple[list[ManifestRow], FeatureArray] | None:
    """Return readable rows and the features (N, D) of the run's classifier, concatenated over the members of an ensemble."""
    if "members" not in run.config:
        return read_features(workspace, run, rows)
    parts = [read_features(workspace, read_run(workspace, name), rows) for name in run.config["members"]]
    by_member = [dict(zip((row.image_id for row in part[0]), part[1], strict=True)) for part in parts if part is not None]
    present = [row for row in rows if all(row.image_id in features for features in by_member)]
    if not present:
        return None
    return present, concatenate_features([np.stack([features[row.image_id] for row in present]) for features in by_member])


def _items(workspace: Workspace, rows: Sequence[ManifestRow]) -> list[tuple[str, Path]]:
    return [(row.image_id, workspace.root / row.path) for row in rows]


def _backbone(workspace: Workspace, run: Run) -> Backbone | None:
    """Return the run's network up to its classifier; None for an ensemble."""
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
    """Return rows of unit length, whose products are cosines."""
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def find_nearest_training(train: FeatureArray, queries: FeatureArray, k: int) -> npt.NDArray[np.int64]:
    """Return (Q, k) indices of the nearest training rows of each query by cosine, nearest first."""
    directions, k = normalize_rows(train).T, min(k, len(train))
    nearest = [np.empty((0, k), dtype=np.int64)]
    for start in range(0, len(queries), BLOCK_SIZE):
        distance = -(normalize_rows(queries[start : start + BLOCK_SIZE]) @ directions)
        part = np.argpartition(distance, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distance, part, axis=1), axis=1, kind="stable")
        nearest.append(np.take_along_axis(part, order, axis=1))
    return np.concatenate(nearest)
