"""Intervals of balanced accuracy, macro F1 and average precision that keep their width where every prediction is right.

A bootstrap of predictions without errors has no spread: four right images of four would give 100% to 100%. Balanced accuracy
combines Wilson's intervals of the recalls. F1 and average precision are bootstrapped, and the interval is widened to the one that
Wilson's intervals give when each category's score is taken as a proportion.
"""

from __future__ import annotations

import numpy as np

from fototeca.analysis.evaluation.bootstrap import bootstrap_average_precision, bootstrap_macro_f1
from fototeca.analysis.evaluation.metrics import BoolArray, FloatArray, IntArray, average_precisions, class_scores
from fototeca.analysis.evaluation.results import Interval
from fototeca.vision.intervals import accuracy_interval, combine_intervals, wilson_interval


def recall_interval(true: BoolArray, predicted: BoolArray, groups: IntArray) -> Interval:
    """Return the interval of one category's recall. All arguments are (N,); `groups` is the group index of each image."""
    return accuracy_interval(predicted[true], _indices(groups[true]))


def balanced_accuracy_interval(true: BoolArray, predicted: BoolArray, groups: IntArray) -> Interval:
    """Return the interval of the mean recall over the categories that occur. `true`, `predicted`: (N, C); `groups`: (N,)."""
    present = np.flatnonzero(true.any(axis=0))
    recalls = [float(predicted[true[:, c], c].mean()) for c in present]
    return _mean_interval(recalls, [recall_interval(true[:, c], predicted[:, c], groups) for c in present])


def macro_f1_interval(true: BoolArray, predicted: BoolArray, groups: IntArray) -> Interval:
    """Return the interval of macro F1. `true`, `predicted`: (N, C); `groups`: (N,).

    F1 = 2q / (1 + q), where q is the share of right images among those of the category or predicted as it.
    """
    scores = class_scores(true, predicted)
    concerned = true | predicted
    present = np.flatnonzero(concerned.any(axis=0))
    ends = []
    for c in present:
        inside = concerned[:, c]
        low, high = accuracy_interval((true & predicted)[inside, c], _indices(groups[inside]))
        ends.append((2 * low / (1 + low), 2 * high / (1 + high)))
    return _hull(bootstrap_macro_f1(true, predicted, groups), _mean_interval(scores.f1[present].tolist(), ends))


def average_precision_intervals(true: BoolArray, probabilities: FloatArray, groups: IntArray) -> dict[str, Interval]:
    """Return intervals of average precision: `macro` (mean over the categories that occur) and `micro` (all cells).

    The average over n positives of numbers between 0 and 1 varies at most as a proportion of n images does.
    """
    each, _, micro = average_precisions(true, probabilities)
    present = np.flatnonzero(true.any(axis=0))
    ends = [_share_interval(float(each[c]), groups[true[:, c]]) for c in present]
    cells = np.repeat(groups, true.shape[1])[true.ravel()]
    bootstrapped = bootstrap_average_precision(true, probabilities, groups)
    return {
        "macro": _hull(bootstrapped["macro"], _mean_interval([float(each[c]) for c in present], ends)),
        "micro": _hull(bootstrapped["micro"], _share_interval(micro, cells)),
    }


def _share_interval(share: float, groups: IntArray) -> Interval:
    """Return Wilson's interval of a share of images, each duplicate group counted as one image."""
    n = len(np.unique(groups))
    return wilson_interval(share * n, n)


def _mean_interval(estimates: list[float], ends: list[Interval]) -> Interval:
    """Return the interval of the mean of independent estimates; (NaN, NaN) without any."""
    if not estimates:
        return float("nan"), float("nan")
    low, high = combine_intervals([1 / len(estimates)] * len(estimates), estimates, ends)
    return max(0.0, low), min(1.0, high)


def _hull(first: Interval, second: Interval) -> Interval:
    return float(np.fmin(first[0], second[0])), float(np.fmax(first[1], second[1]))


def _indices(groups: IntArray) -> IntArray:
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)
