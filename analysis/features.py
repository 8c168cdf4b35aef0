"""The features before a run's classifier, computed once per image and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from curate.manifest import Row, image_path
from train.runs import Run, load_model
from workspace import Workspace

Features = npt.NDArray[np.float32]


def run_features(workspace: Workspace, run: Run, rows: Sequence[Row]) -> Features | None:
    """(N, D) of the rows, in order; None when the run has no features of its own (an ensemble).

    Those of a frozen backbone are what its training kept; another run's are asked for once, from the pixels its training kept.
    FototecaError names the first image that is gone.
    """
    from vision.backbones import Backbone, classifier_of, remove_classifier
    from vision.features import extract_features

    model = load_model(workspace, run)
    if not hasattr(model, "network"):
        return None
    backbone = Backbone(
        name=run.model_name,
        dimension=classifier_of(model.network)[1].in_features,
        module=remove_classifier(model.network),
        preprocessing=model.preprocessing,
        weights_id=run.config["weights_id"] if run.regime == "features" else f"run:{run.id}:{run_digest(run)}",
    )
    return extract_features(workspace, [(row.image_id, image_path(workspace, row)) for row in rows], backbone)


def run_digest(run: Run) -> str:
    """Changes whenever the run is trained anew."""
    return hashlib.sha256((run.folder / "done.json").read_bytes()).hexdigest()[:16]


def unit(features: Features) -> Features:
    """Rows of length one, so that products are cosines."""
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def nearest_training(train: Features, queries: Features, k: int) -> npt.NDArray[np.int64]:
    """(Q, k) the nearest training rows of each query by cosine, nearest first."""
    similarity = unit(queries) @ unit(train).T
    k = min(k, len(train))
    part = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(similarity, part, axis=1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(part, order, axis=1), dtype=np.int64)
