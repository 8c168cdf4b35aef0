"""Confident learning: find labels that models trained without them consider unlikely.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021; a test compares
the results with cleanlab. A label is doubted if another class is confidently more likely (off the diagonal of the confident
joint) or just more likely; the first rule alone misses a quarter of the wrong labels. Labels are ranked by self-confidence as in
cleanlab, which found more errors than margins and adjusted probabilities did (bench/suggest.py). N images, C classes; labels are
class numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

FOLDS = 5
"""Number of folds; each is predicted by a model trained on the others."""

EPSILON = 1e-6
"""Tolerance of comparisons with thresholds, as in cleanlab."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class LabelQuality:
    """`quality` (N,): self-confidence of each label, 0 to 1. `guess` (N,): the more likely class, else the label."""

    quality: Floats
    guess: Integers


def score_labels(labels: Integers, probabilities: Floats) -> LabelQuality:
    """Score labels (N,) by out-of-fold probabilities (N, C)."""
    confident = find_confident_classes(labels, probabilities)
    guess = np.where(confident != labels, confident, probabilities.argmax(axis=1))
    return LabelQuality(probabilities[np.arange(len(labels)), labels], guess)


def find_confident_classes(labels: Integers, probabilities: Floats) -> Integers:
    """Return the confident class (N,): the most likely class above its threshold, or the image's label if none is."""
    confident = probabilities >= confident_thresholds(labels, probabilities) - EPSILON
    likeliest = np.where(confident, probabilities, -1.0).argmax(axis=1)
    return np.where(confident.any(axis=1), likeliest, labels)


def confident_thresholds(labels: Integers, probabilities: Floats) -> Floats:
    """Return the mean probability of each class among the images with that label, (C,); 1 for a class without images."""
    thresholds = np.ones(probabilities.shape[1])
    for number in np.unique(labels):
        thresholds[number] = max(probabilities[labels == number, number].mean(), 2 * EPSILON)
    return thresholds


def assign_folds(labels: Sequence[object], groups: Sequence[str]) -> Integers:
    """Assign each image to a fold (N,): groups stay whole, labels are spread evenly, and the result is deterministic."""
    first: dict[str, object] = {}
    sizes: dict[str, int] = {}
    for label, group in zip(labels, groups, strict=True):
        first.setdefault(group, label)
        sizes[group] = sizes.get(group, 0) + 1
    names = sorted(first)
    np.random.default_rng(0).shuffle(names)
    names.sort(key=lambda name: (str(first[name]), -sizes[name]))
    filled: dict[object, list[int]] = {}
    fold_of = {}
    for name in names:
        load = filled.setdefault(first[name], [0] * FOLDS)
        fold = min(range(FOLDS), key=lambda number: (load[number], (number + len(filled)) % FOLDS))
        load[fold] += sizes[name]
        fold_of[name] = fold
    return np.array([fold_of[group] for group in groups], dtype=np.int64)


def predict_out_of_fold(features: NDArray[np.float32], targets: Integers, folds: Integers, classes: int) -> Floats:
    """Predict probabilities (N, C) with linear models trained without the image and its group.

    `features`: (N, D). A class that occurs in one fold only is unknown to the model of that fold: its probability there is 0.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probabilities = np.zeros((len(features), classes))
    for fold in tqdm(np.unique(folds), desc="folds", unit="fold", delay=2.0, leave=False, disable=None):
        train, held_out = folds != fold, folds == fold
        known = np.unique(targets[train])
        if len(known) < 2:
            probabilities[np.ix_(held_out, known)] = 1.0
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARIZATION, tol=1e-3, max_iter=2000))
        model.fit(features[train], targets[train])
        probabilities[np.ix_(held_out, known)] = model.predict_proba(features[held_out])
    return probabilities


REGULARIZATION = 0.01
"""Inverse regularization strength on standardized features; a closer fit would learn wrong labels."""
