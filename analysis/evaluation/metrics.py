"""Classification metrics in NumPy; the tests compare them with scikit-learn and torchmetrics.

Labels of single-label and multi-label tasks are indicator matrices (N, C), True where image n carries category c.
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
"""Lower bound of probabilities before a logarithm, as in scikit-learn."""

NUM_BINS = 15
"""Bins of a reliability diagram."""

CONFUSION_CELLS = ("true_positive", "false_negative", "false_positive", "true_negative")
"""Names of the four counts of a category's binary confusion matrix."""


@dataclass(frozen=True)
class ClassScores:
    """Per category, each (C,): precision, recall and F1 (0 where undefined), and `n`, the images that carry it."""

    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    n: IntArray


def indicator_matrix(labels: Sequence[str], categories: Sequence[str]) -> BoolArray:
    """Return (N, C), True where the label, or one of its parts in a multi-label task, is the category."""
    column = {name: index for index, name in enumerate(categories)}
    matrix = np.zeros((len(labels), len(categories)), dtype=np.bool_)
    for row, label in enumerate(labels):
        for part in (label,) if label in column else label.split(LABEL_SEPARATOR):
            if part in column:
                matrix[row, column[part]] = True
    return matrix


def exact_matches(true: BoolArray, predicted: BoolArray) -> BoolArray:
    """Return (N,), True where exactly the categories of the image are predicted."""
    return np.asarray((true == predicted).all(axis=1))


def class_scores(true: BoolArray, predicted: BoolArray) -> ClassScores:
    """Return precision, recall and F1 of each category."""
    hits = (true & predicted).sum(axis=0)
    num_predicted, num_true = predicted.sum(axis=0), true.sum(axis=0)
    return ClassScores(
        precision=_divide(hits, num_predicted),
        recall=_divide(hits, num_true),
        f1=_divide(2 * hits, num_predicted + num_true),
        n=num_true.astype(np.int64),
    )


def _divide(numerator: npt.NDArray[np.integer], denominator: npt.NDArray[np.integer]) -> FloatArray:
    return np.asarray(np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0))


def macro_mean(values: FloatArray, present: BoolArray | np.bool_) -> float:
    """Return the unweighted mean over the `present` categories; 0 if there are none."""
    return float(values[present].mean()) if present.any() else 0.0


def confusion_matrix(true: BoolArray, predicted: BoolArray) -> IntArray:
    """Return (C, C) counts of a single-label task: row the true category, column the predicted one."""
    size = true.shape[1]
    cells = true.argmax(axis=1) * size + predicted.argmax(axis=1)
    return np.bincount(cells, minlength=size * size).reshape(size, size).astype(np.int64)


def binary_confusions(true: BoolArray, predicted: BoolArray) -> IntArray:
    """Return (C, 2, 2) counts, a binary confusion matrix per category: row true or not, column predicted or not."""
    sides = [[(~true, ~predicted), (~true, predicted)], [(true, ~predicted), (true, predicted)]]
    return np.array([[(actual & guess).sum(axis=0) for actual, guess in row] for row in sides], dtype=np.int64).transpose(2, 0, 1)


def binary_confusion_cells(true: BoolArray, predicted: BoolArray) -> list[list[int]]:
    """Return the counts of each category in the order of CONFUSION_CELLS."""
    cells: list[list[int]] = binary_confusions(true, predicted).reshape(-1, 4)[:, ::-1].tolist()
    return cells


def row_fractions(matrix: IntArray) -> FloatArray:
    """Return the confusion matrix as fractions of the true class; zeros for a class without images."""
    total = matrix.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0))


def top_k_accuracy(true: BoolArray, probabilities: FloatArray, k: int) -> float:
    """Return the fraction of images whose true category is among the k most probable (single-label)."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(true, ranked, axis=1).any(axis=1).mean())


def log_loss(true: BoolArray, probabilities: FloatArray) -> float:
    """Return the mean negative log-likelihood in nats; rows are normalized, since stored probabilities are rounded."""
    rows = probabilities / probabilities.sum(axis=1, keepdims=True)
    likelihood = np.where(true, rows, 0).sum(axis=1)
    return float(-np.log(np.clip(likelihood, EPSILON, 1)).mean())


def binary_log_loss(true: BoolArray, probabilities: FloatArray) -> float:
    """Return the mean binary cross-entropy in nats over images and categories (multi-label)."""
    clipped = np.clip(probabilities, EPSILON, 1 - EPSILON)
    return float(-(np.log(clipped) * true + np.log(1 - clipped) * ~true).mean())


def brier_score(true: BoolArray, probabilities: FloatArray) -> float:
    """Return the mean squared difference of probabilities and labels, summed over categories (Brier 1950)."""
    return float(((probabilities - true) ** 2).sum(axis=1).mean())


def average_precision(true: BoolArray, scores: FloatArray) -> float:
    """Return the area under the step-wise precision-recall curve of (N,) scores, ties together; NaN without a positive."""
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
    """Return average precision per category (C,), its mean over the categories that occur, and micro-averaged over cells."""
    each = np.array([average_precision(true[:, c], probabilities[:, c]) for c in range(true.shape[1])])
    defined = each[~np.isnan(each)]
    return each, float(defined.mean()) if len(defined) else float("nan"), average_precision(true.ravel(), probabilities.ravel())


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram: mean confidence, accuracy and count per bin (B,); `error` is the expected calibration error."""

    confidence: FloatArray
    accuracy: FloatArray
    count: IntArray
    error: float


def compute_reliability(confidence: FloatArray, correct: BoolArray) -> Reliability:
    """Return the reliability diagram over NUM_BINS equal bins of confidence (Guo et al. 2017); inputs are (N,)."""
    edges = np.linspace(0, 1, NUM_BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, NUM_BINS - 1)
    count = np.bincount(place, minlength=NUM_BINS)
    sums = np.bincount(place, weights=confidence, minlength=NUM_BINS), np.bincount(place, weights=correct, minlength=NUM_BINS)
    mean, accuracy = (np.divide(total, count, out=np.zeros(NUM_BINS), where=count > 0) for total in sums)
    error = float((np.abs(mean - accuracy) * count).sum() / max(len(confidence), 1))
    return Reliability(mean, accuracy, count.astype(np.int64), error)
