"""Bootstrap intervals that resample duplicate groups as a whole.

Images of one duplicate group are not independent observations: they enter and leave a resample together.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from fototeca.analysis.evaluation.metrics import BoolArray, FloatArray, IntArray
from fototeca.analysis.evaluation.results import Interval
from fototeca.vision.intervals import CONFIDENCE_LEVEL

NUM_RESAMPLES = 2000
"""Bootstrap resamples; the percentiles are then accurate to about a tenth of the interval's half-width."""

NUM_RANKED_RESAMPLES = 400
"""Resamples for metrics that rank all images in each of them."""

_MAX_CELLS = 1_000_000
"""Numbers in each table of a block of resamples: 8 MB."""

SEED = 20190722
"""Seed of every bootstrap: equal predictions give equal intervals."""


def draw_resamples(groups: IntArray, count: int = NUM_RESAMPLES) -> npt.NDArray[np.int64]:
    """Return (count, N): how often each image occurs in each resample, with whole groups drawn with replacement."""
    size = int(groups.max()) + 1
    draws = np.random.default_rng(SEED).multinomial(size, np.full(size, 1 / size), size=count)
    return draws[:, groups]


def percentile_interval(values: FloatArray) -> Interval:
    """Return the central 95% of the values, NaN ignored; (NaN, NaN) if all are NaN."""
    numbers = values[~np.isnan(values)]
    if not len(numbers):
        return float("nan"), float("nan")
    low, high = np.quantile(numbers, [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    return float(low), float(high)


def bootstrap_average_precision(true: BoolArray, probabilities: FloatArray, groups: IntArray) -> dict[str, Interval]:
    """Return intervals of average precision: `macro` (mean over the categories that occur) and `micro` (all cells)."""
    weights, size = draw_resamples(groups, NUM_RANKED_RESAMPLES).astype(np.float64), true.shape[1]
    rows = np.arange(len(true))
    per_class = [_average_precisions(true[:, c], probabilities[:, c], weights, rows) for c in range(size)]
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # a resample without any category
        macro = np.nanmean(np.stack(per_class, axis=1), axis=1)
    micro = _average_precisions(true.ravel(), probabilities.ravel(), weights, np.repeat(rows, size))
    return {"macro": percentile_interval(macro), "micro": percentile_interval(micro)}


def _average_precisions(true: BoolArray, scores: FloatArray, weights: FloatArray, rows: IntArray) -> FloatArray:
    """Return (R,) average precision in each resample (R, N) of (M,) scores of the images `rows`; NaN without a positive."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # tied scores pass the threshold together
    values, block = np.empty(len(weights)), max(1, _MAX_CELLS // len(scores))
    for start in range(0, len(weights), block):
        drawn = weights[start : start + block, rows[order]]
        num_predicted, hits = drawn.cumsum(axis=1)[:, ends], (drawn * true[order]).cumsum(axis=1)[:, ends]
        precision = np.divide(hits, num_predicted, out=np.zeros(hits.shape), where=num_predicted > 0)
        areas, num_true = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1), hits[:, -1]
        values[start : start + block] = np.divide(areas, num_true, out=np.full(len(areas), np.nan), where=num_true > 0)
    return values


def bootstrap_macro_f1(true: BoolArray, predicted: BoolArray, groups: IntArray) -> Interval:
    """Return the interval of macro F1. `true`, `predicted`: (N, C); `groups`: (N,)."""
    weights = draw_resamples(groups).astype(np.float64)
    hits, num_true, num_predicted = (weights @ part.astype(np.float64) for part in (true & predicted, true, predicted))
    total = num_true + num_predicted
    f1 = np.divide(2 * hits, total, out=np.zeros(hits.shape), where=total > 0)
    return percentile_interval(f1.sum(axis=1) / np.maximum((total > 0).sum(axis=1), 1))
