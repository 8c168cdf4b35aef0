"""Out-of-distribution detection by the distance to the nearest training features.

The score is the distance to the k-th nearest training image in the space of unit features (Sun et al. 2022). The threshold is
set on validation, so that at most MAX_FALSE_ALARM_RATE of its images are called unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fototeca.analysis.evaluation.metrics import FloatArray, IntArray
from fototeca.analysis.features.extract import BLOCK_SIZE, FeatureArray, normalize_rows, read_inference_features
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest
from fototeca.train.runs import Run
from fototeca.vision.intervals import group_index

NEIGHBOR_RANK = 5
"""k: the distance to the k-th nearest neighbor is the score."""

MAX_FALSE_ALARM_RATE = 0.05
"""Largest share of validation images that the threshold calls unknown."""

MAX_TRAINING_IMAGES = 10_000
"""Training images to search, at most; of more images a random sample is used."""


@dataclass(frozen=True)
class OODDetector:
    """Training features (T, D) of unit length, and the distance above which an image counts as unknown."""

    train: FeatureArray
    threshold: float
    false_alarm_rate: float
    """Share of validation images called unknown, each duplicate group compared with the threshold that the others set."""

    def scores(self, features: FeatureArray) -> FloatArray:
        """Return (N,) OOD scores: Euclidean distances to the k-th nearest training image, 0 to 2."""
        k = min(NEIGHBOR_RANK, len(self.train))
        near = np.empty(len(features), dtype=np.float32)
        for start in range(0, len(features), BLOCK_SIZE):
            distance = -(normalize_rows(features[start : start + BLOCK_SIZE]) @ self.train.T)
            near[start : start + BLOCK_SIZE] = -np.partition(distance, k - 1, axis=1)[:, k - 1]
        return np.sqrt(np.maximum(2 - 2 * near.astype(np.float64), 0))


def fit_ood_detector(workspace: Workspace, run: Run, manifest: Manifest) -> OODDetector | None:
    """Fit the detector on training and validation images; None if a split is empty or the run has no features."""
    train, val = manifest.split("train"), manifest.split("val")
    if not train or not val:
        return None
    if len(train) > MAX_TRAINING_IMAGES:
        train = tuple(train[index] for index in np.random.default_rng(0).permutation(len(train))[:MAX_TRAINING_IMAGES])
    extracted = read_inference_features(workspace, run, [*train, *val])
    if extracted is None:
        return None
    rows, features = extracted
    is_train = np.array([row.split == "train" for row in rows], dtype=np.bool_)
    if is_train.all() or not is_train.any():
        return None
    groups = group_index([row.group for row in rows if row.split == "val"])
    return fit_threshold(normalize_rows(features[is_train]), features[~is_train], groups)


def fit_threshold(train: FeatureArray, val: FeatureArray, groups: IntArray) -> OODDetector:
    """Fit the smallest threshold within MAX_FALSE_ALARM_RATE on validation; `groups` (V,): indices of duplicate groups."""
    scores = OODDetector(train, np.inf, 0.0).scores(val)
    return OODDetector(train, _threshold(scores), false_alarm_rate(scores, groups))


def _threshold(scores: FloatArray) -> float:
    allowed = int(np.floor(MAX_FALSE_ALARM_RATE * len(scores)))
    return float(np.partition(scores, len(scores) - 1 - allowed)[len(scores) - 1 - allowed])


def false_alarm_rate(scores: FloatArray, groups: IntArray) -> float:
    """Return the share of scores (V,) above the threshold that the other groups set; 1 if there is a single group."""
    alarms = 0
    for group in np.unique(groups):
        inside = groups == group
        alarms += int((scores[inside] > _threshold(scores[~inside])).sum()) if not inside.all() else len(scores)
    return alarms / len(scores)
