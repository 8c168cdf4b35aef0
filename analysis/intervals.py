"""How sure a figure is: Wilson intervals, and bootstraps in which near-duplicates are drawn together.

Two shots of the same shelf are not two observations. Images of one group go in and out of a resample together, and the
Wilson interval counts them as fewer images than there are (a design effect).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from analysis.metrics import Booleans, Floats, Integers

LEVEL = 0.95
"""The confidence of every interval."""

RESAMPLES = 2000
"""Bootstrap resamples; the percentile ends are then good to about a tenth of their distance."""

FEW_RESAMPLES = 400
"""Of figures that need every image's rank in each."""

SEED = 20190722
"""Seed of every bootstrap, so that the same predictions give the same interval."""


def group_index(groups: Sequence[str]) -> Integers:
    """(N,) the number of each image's group; an image without a group is its own."""
    names = [group or f"\0{position}" for position, group in enumerate(groups)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def wilson(hits: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval for a fraction (Wilson 1927); (0, 1) when there is nothing to count."""
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p = hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return max(0.0, min(middle - half, p)), min(1.0, max(middle + half, p))


def design_effect(right: Booleans, groups: Integers) -> float:
    """By how much grouping widens an accuracy's variance: that of group sums over the binomial one, at least 1 (Kish 1965)."""
    n, mean = len(right), float(np.mean(right)) if len(right) else 0.0
    count = int(groups.max()) + 1 if n else 0
    if count < 2 or count == n or mean in (0.0, 1.0):
        return n / count if count else 1.0
    residual = np.bincount(groups, weights=right - mean, minlength=count)
    variance = count / (count - 1) * float((residual**2).sum()) / n**2
    return max(1.0, variance / (mean * (1 - mean) / n))


def accuracy_interval(right: Booleans, groups: Integers) -> tuple[float, float]:
    """Wilson's interval on the effective number of images."""
    n = len(right) / design_effect(right, groups)
    return wilson(float(np.mean(right)) * n if len(right) else 0.0, n)


def resamples(groups: Integers, count: int = RESAMPLES, seed: int = SEED) -> npt.NDArray[np.int64]:
    """(count, N) how often each image is in each resample, when whole groups are drawn with replacement."""
    size = int(groups.max()) + 1
    draws = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=count)
    return draws[:, groups]


def percentile_interval(values: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of the values that are numbers; (NaN, NaN) when none is."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_average_precision(true: Booleans, probabilities: Floats, groups: Integers) -> dict[str, tuple[float, float]]:
    """Intervals of average precision, `macro` (the mean over the categories that are there) and `micro` (all cells at once)."""
    weights = resamples(groups, FEW_RESAMPLES).astype(np.float64)
    each = np.stack([_average_precisions(true[:, c], probabilities[:, c], weights) for c in range(true.shape[1])], axis=1)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # a resample without any category
        macro = np.nanmean(each, axis=1)
    whole = _average_precisions(true.ravel(), probabilities.ravel(), np.repeat(weights, true.shape[1], axis=1))
    return {"macro": percentile_interval(macro), "micro": percentile_interval(whole)}


def _average_precisions(true: Booleans, scores: Floats, weights: Floats) -> Floats:
    """(R,) the average precision of (N,) scores in resamples (R, N); NaN in those where nothing is true."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # what ties is said yes to together
    drawn = weights[:, order]
    all_said, hits = drawn.cumsum(axis=1)[:, ends], (drawn * true[order]).cumsum(axis=1)[:, ends]
    precision = np.divide(hits, all_said, out=np.zeros(hits.shape), where=all_said > 0)
    gained = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1)
    return np.asarray(np.divide(gained, hits[:, -1], out=np.full(len(gained), np.nan), where=hits[:, -1] > 0))


def bootstrap_macro(true: Booleans, predicted: Booleans, groups: Integers) -> dict[str, tuple[float, float]]:
    """Intervals of `accuracy`, `balanced_accuracy` and `macro_f1`, all resamples at once."""
    weights = resamples(groups).astype(np.float64)
    hits, there, said = (weights @ part.astype(np.float64) for part in (true & predicted, true, predicted))
    present = there > 0
    recall = np.divide(hits, there, out=np.full(hits.shape, np.nan), where=present)
    f1 = np.divide(2 * hits, there + said, out=np.zeros(hits.shape), where=there + said > 0)
    right = (true == predicted).all(axis=1).astype(np.float64)
    seen = present | (said > 0)
    counts = np.maximum(present.sum(axis=1), 1)
    return {
        "accuracy": percentile_interval(weights @ right / weights.sum(axis=1)),
        "balanced_accuracy": percentile_interval(np.nansum(recall, axis=1) / counts),
        "macro_f1": percentile_interval((f1 * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)),
    }
