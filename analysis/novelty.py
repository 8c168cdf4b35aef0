"""Whether a picture is like anything the model was trained on: a distance to the nearest training features, with a threshold.

The score is the distance to the k-th nearest training image in the space of unit features (Sun et al. 2022). The threshold is
set on validation: at most the stated share of validation pictures, which the model should know, is called unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.features import Features, run_features, unit
from analysis.metrics import Booleans, Floats
from curate.manifest import Manifest
from train.runs import Run
from workspace import Workspace

NEIGHBOUR = 5
"""Which nearest neighbour's distance is the score."""

FALSE_ALARMS = 0.05
"""The share of validation pictures that the threshold lets be called unknown."""

MOST_TRAINING = 10_000
"""Training images kept at most for the search; of more, so many are drawn at random."""


@dataclass(frozen=True)
class Novelty:
    """Training features (T, D), unit length, and the distance above which a picture counts as unknown."""

    train: Features
    threshold: float
    false_alarm_rate: float
    """Measured on validation, after setting the threshold."""

    def scores(self, features: Features) -> Floats:
        """(N,) Euclidean distance to the k-th nearest training image; 0 to 2, higher is stranger."""
        similarity = unit(features) @ self.train.T
        k = min(NEIGHBOUR, len(self.train))
        near = -np.partition(-similarity, k - 1, axis=1)[:, k - 1]
        return np.sqrt(np.maximum(2 - 2 * near.astype(np.float64), 0))

    def unknown(self, features: Features) -> Booleans:
        """(N,) whether each picture is stranger than the threshold."""
        return np.asarray(self.scores(features) > self.threshold)


def fit_novelty(workspace: Workspace, run: Run, manifest: Manifest) -> Novelty | None:
    """Learn what is usual from training and validation images; None when the run has no features, or a split is empty."""
    train, val = manifest.split("train"), manifest.split("val")
    if not train or not val:
        return None
    if len(train) > MOST_TRAINING:
        train = tuple(train[index] for index in np.random.default_rng(0).permutation(len(train))[:MOST_TRAINING])
    features = run_features(workspace, run, [*train, *val])
    if features is None:
        return None
    return set_threshold(unit(features[: len(train)]), features[len(train) :])


def set_threshold(train: Features, val: Features) -> Novelty:
    """The smallest threshold that calls at most FALSE_ALARMS of the validation pictures unknown."""
    scores = np.sort(Novelty(train, np.inf, 0.0).scores(val))
    allowed = int(np.floor(FALSE_ALARMS * len(scores)))
    threshold = float(scores[len(scores) - 1 - allowed])
    return Novelty(train, threshold, float(np.mean(scores > threshold)))
