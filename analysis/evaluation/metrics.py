"""The figures of a classifier, from what it said and what was true. NumPy only; equal to scikit-learn's in the tests.

Single-label and multi-label tasks share one form: an indicator matrix (N, C), true where image n carries category c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fototeca.core.settings import LABEL_SEPARATOR

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 before a logarithm is taken, as scikit-learn does."""

NUM_BINS = 15
"""Of a reliability diagram."""

CONFUSION_CELLS = ("true_positive", "false_negative", "false_positive", "true_negative")
"""The four counts of a category by itself."""


@dataclass(frozen=True)
class ClassScores:
    """Per category, each (C,): precision, recall and F1 (0 where undefined), and `n`, the images that carry it."""

    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    n: IntArray


def indicator_matrix(labels: Sequence[str], categories: Sequence[str]) -> BoolArray:
    """(N, C), true where a label (or one of its parts, in a multi-label task) is the category."""
    column = {name: index for index, name in enumerate(categories)}
    matrix = np.zeros((len(labels), len(categories)), dtype=np.bool_)
    for row, label in enumerate(labels):
        for part in (label,) if label in column else label.split(LABEL_SEPARATOR):
            if part in column:
                matrix[row, column[part]] = True
    return matrix


def exact_matches(true: BoolArray, predicted: BoolArray) -> BoolArray:
    """(N,), true where every category of the image was said, and no other."""
    return np.asarray((true == predicted).all(axis=1))


def class_scores(true: BoolArray, predicted: BoolArray) -> ClassScores:
    """Precision, recall and F1 of each category."""
    hits = (true & predicted).sum(axis=0)
    said, there = predicted.sum(axis=0), true.sum(axis=0)
    return ClassScores(_divide(hits, said), _divide(hits, there), _divide(2 * hits, said + there), there.astype(np.int64))


def _divide(above: npt.NDArray[np.integer], below: npt.NDArray[np.integer]) -> FloatArray:
    return np.asarray(np.divide(above, below, out=np.zeros(len(above)), where=below > 0))


def macro_mean(values: FloatArray, present: BoolArray | np.bool_) -> float:
    """The plain mean over the categories that occur; 0 when none does."""
    return float(values[present].mean()) if present.any() else 0.0


def confusion_matrix(true: BoolArray, predicted: BoolArray) -> IntArray:
    """(C, C) counts of a single-label task: row the true category, column what was said."""
    size = true.shape[1]
    cells = true.argmax(axis=1) * size + predicted.argmax(axis=1)
    return np.bincount(cells, minlength=size * size).reshape(size, size).astype(np.int64)


def binary_confusions(true: BoolArray, predicted: BoolArray) -> IntArray:
    """(C, 2, 2) counts, a confusion matrix of each category by itself: row whether it is there, column whether it was said."""
    sides = [[(~true, ~predicted), (~true, predicted)], [(true, ~predicted), (true, predicted)]]
    return np.array([[(there & said).sum(axis=0) for there, said in row] for row in sides], dtype=np.int64).transpose(2, 0, 1)


def binary_confusion_cells(true: BoolArray, predicted: BoolArray) -> list[list[int]]:
    """Of each category its counts as YES_NO names them."""
    cells: list[list[int]] = binary_confusions(true, predicted).reshape(-1, 4)[:, ::-1].tolist()
    return cells


def row_fractions(matrix: IntArray) -> FloatArray:
    """The confusion matrix as fractions of the true class; a class without images has a row of zeros."""
    total = matrix.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0))


def top_k_accuracy(true: BoolArray, probabilities: FloatArray, k: int) -> float:
    """The fraction of images whose true category is among the k most probable (single-label)."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(true, ranked, axis=1).any(axis=1).mean())


def log_loss(true: BoolArray, probabilities: FloatArray) -> float:
    """Mean negative log-likelihood in nats; rows are normalised first, as the probabilities in a file are rounded."""
    rows = probabilities / probabilities.sum(axis=1, keepdims=True)
    likelihood = np.where(true, rows, 0).sum(axis=1)
    return float(-np.log(np.clip(likelihood, EPSILON, 1)).mean())


def binary_log_loss(true: BoolArray, probabilities: FloatArray) -> float:
    """Mean binary cross-entropy in nats over images and categories (multi-label)."""
    kept = np.clip(probabilities, EPSILON, 1 - EPSILON)
    return float(-(np.log(kept) * true + np.log(1 - kept) * ~true).mean())


def brier_score(true: BoolArray, probabilities: FloatArray) -> float:
    """Mean squared distance between the probabilities and the truth, summed over categories (Brier 1950)."""
    return float(((probabilities - true) ** 2).sum(axis=1).mean())


def average_precision(true: BoolArray, scores: FloatArray) -> float:
    """Area under one precision-recall curve as a step function, ties taken together; NaN without a positive. Inputs (N,)."""
    positives = int(true.sum())
    if positives == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, values = true[order], scores[order]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    hits = np.cumsum(ranked)[ends]
    precision, recall = hits / (ends + 1), hits / positives
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def average_precisions(true: BoolArray, probabilities: FloatArray) -> tuple[FloatArray, float, float]:
    """Average precision per category (C,), its mean over the categories that occur, and over all cells at once (micro)."""
    each = np.array([average_precision(true[:, c], probabilities[:, c]) for c in range(true.shape[1])])
    known = each[~np.isnan(each)]
    return each, float(known.mean()) if len(known) else float("nan"), average_precision(true.ravel(), probabilities.ravel())


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: per bin (B,) the mean confidence, the accuracy and the count; `error` is the ECE."""

    confidence: FloatArray
    accuracy: FloatArray
    count: IntArray
    error: float


def compute_reliability(confidence: FloatArray, right: BoolArray) -> Reliability:
    """Expected calibration error over BINS equal bins of confidence (Guo et al. 2017): confidence and right are (N,)."""
    edges = np.linspace(0, 1, NUM_BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, NUM_BINS - 1)
    count = np.bincount(place, minlength=NUM_BINS)
    sums = np.bincount(place, weights=confidence, minlength=NUM_BINS), np.bincount(place, weights=right, minlength=NUM_BINS)
    mean, accuracy = (np.divide(total, count, out=np.zeros(NUM_BINS), where=count > 0) for total in sums)
    error = float((np.abs(mean - accuracy) * count).sum() / max(len(confidence), 1))
    return Reliability(mean, accuracy, count.astype(np.int64), error)
