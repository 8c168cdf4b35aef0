"""Confident learning: which labels a model that has not seen them finds hardest to believe.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021. Matched with
cleanlab in a test. Doubted is a label if another class is confidently likelier (an off-diagonal of the confident joint) or
just likelier: the first alone leaves out a quarter of the wrong labels. Ranked as cleanlab does it by self-confidence, which
found more of them than margins and adjusted probabilities did (bench/suggest.py). N images, C classes; labels are class numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

FOLDS = 5
"""Parts of the data; each is judged by a model trained on the others."""

EPSILON = 1e-6
"""Slack of a comparison with a threshold, as in cleanlab."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """`quality` (N,): how well each label is believed, 0 to 1. `guess` (N,): the class that is likelier, else the label."""

    quality: Floats
    guess: Integers


def judge(labels: Integers, probabilities: Floats) -> Judgement:
    """Judge labels (N,) by out-of-fold probabilities (N, C)."""
    confident = confidently(labels, probabilities)
    guess = np.where(confident != labels, confident, probabilities.argmax(axis=1))
    return Judgement(probabilities[np.arange(len(labels)), labels], guess)


def confidently(labels: Integers, probabilities: Floats) -> Integers:
    """The class that each image is confidently of, the likeliest where there are several; its label where there is none (N,)."""
    confident = probabilities >= confident_thresholds(labels, probabilities) - EPSILON
    likeliest = np.where(confident, probabilities, -1.0).argmax(axis=1)
    return np.where(confident.any(axis=1), likeliest, labels)


def confident_thresholds(labels: Integers, probabilities: Floats) -> Floats:
    """The mean probability of each class among the images labelled so, (C,); 1 for a class without images."""
    thresholds = np.ones(probabilities.shape[1])
    for number in np.unique(labels):
        thresholds[number] = max(probabilities[labels == number, number].mean(), 2 * EPSILON)
    return thresholds


def deal_folds(labels: Sequence[object], groups: Sequence[str]) -> Integers:
    """A fold for each image (N,): whole groups, every label spread evenly; the same for the same images."""
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


def out_of_fold(features: NDArray[np.float32], targets: Integers, folds: Integers, classes: int) -> Floats:
    """Probabilities (N, C) from linear models that have not seen the image, nor any of its group.

    A class that occurs in one fold only is unknown to the model that judges it: its probability there is 0.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probabilities = np.zeros((len(features), classes))
    for fold in tqdm(np.unique(folds), desc="folds", unit="fold", delay=2.0, leave=False, disable=None):
        seen, held = folds != fold, folds == fold
        known = np.unique(targets[seen])
        if len(known) < 2:
            probabilities[np.ix_(held, known)] = 1.0
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, tol=1e-3, max_iter=2000))
        model.fit(features[seen], targets[seen])
        probabilities[np.ix_(held, known)] = model.predict_proba(features[held])
    return probabilities


STRENGTH = 0.01
"""Inverse regularisation of the linear model on standardised features; on wrong labels a stronger fit would learn them."""
