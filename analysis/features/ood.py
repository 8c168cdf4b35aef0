"""Whether an image is like anything the model was trained on: a distance to the nearest training features, with a threshold.

The score is the distance to the k-th nearest training image in the space of unit features (Sun et al. 2022). The threshold is
set on validation: at most the stated share of validation images, which the model should know, is called unknown.
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
"""Which nearest neighbour's distance is the score."""

MAX_FALSE_ALARM_RATE = 0.05
"""The share of validation images that the threshold lets be called unknown."""

MAX_TRAINING_IMAGES = 10_000
"""Training images kept at most for the search; of more, so many are drawn at random."""


@dataclass(frozen=True)
class OODDetector:
    """Training features (T, D), unit length, and the distance above which an image counts as unknown."""

    train: FeatureArray
    threshold: float
    false_alarm_rate: float
    """How often an image that should be known is called unknown: measured on validation, each near-duplicate group held to the
    threshold that the others set."""

    def scores(self, features: FeatureArray) -> FloatArray:
        """(N,) Euclidean distance to the k-th nearest training image; 0 to 2, higher is stranger."""
        k = min(NEIGHBOR_RANK, len(self.train))
        near = np.empty(len(features), dtype=np.float32)
        for start in range(0, len(features), BLOCK_SIZE):
            distance = -(normalize_rows(features[start : start + BLOCK_SIZE]) @ self.train.T)
            near[start : start + BLOCK_SIZE] = -np.partition(distance, k - 1, axis=1)[:, k - 1]
        return np.sqrt(np.maximum(2 - 2 * near.astype(np.float64), 0))


def fit_ood_detector(workspace: Workspace, run: Run, manifest: Manifest) -> OODDetector | None:
    """Learn what is usual from training and validation images; None when a split is empty."""
    train, val = manifest.split("train"), manifest.split("val")
    if not train or not val:
        return None
    if len(train) > MAX_TRAINING_IMAGES:
        train = tuple(train[index] for index in np.random.default_rng(0).permutation(len(train))[:MAX_TRAINING_IMAGES])
    found = read_inference_features(workspace, run, [*train, *val])
    if found is None:
        return None
    rows, features = found
    learned = np.array([row.split == "train" for row in rows], dtype=np.bool_)
    if learned.all() or not learned.any():
        return None
    groups = group_index([row.group for row in rows if row.split == "val"])
    return fit_threshold(normalize_rows(features[learned]), features[~learned], groups)


def fit_threshold(train: FeatureArray, val: FeatureArray, groups: IntArray) -> OODDetector:
    """The smallest threshold that calls at most FALSE_ALARMS of the validation images unknown; `groups` (V,): near-copies."""
    scores = OODDetector(train, np.inf, 0.0).scores(val)
    return OODDetector(train, _threshold(scores), false_alarm_rate(scores, groups))


def _threshold(scores: FloatArray) -> float:
    allowed = int(np.floor(MAX_FALSE_ALARM_RATE * len(scores)))
    return float(np.partition(scores, len(scores) - 1 - allowed)[len(scores) - 1 - allowed])


def false_alarm_rate(scores: FloatArray, groups: IntArray) -> float:
    """The share of (V,) scores above the threshold that all other groups set; all of a single group: nothing speaks for fewer."""
    alarms = 0
    for group in np.unique(groups):
        inside = groups == group
        alarms += int((scores[inside] > _threshold(scores[~inside])).sum()) if not inside.all() else len(scores)
    return alarms / len(scores)
