"""How sure a figure is: bootstraps in which near-duplicates are drawn together.

Two shots of the same shelf are not two observations: images of one group go in and out of a resample together.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from fototeca.analysis.evaluation.metrics import BoolArray, FloatArray, IntArray
from fototeca.vision.intervals import CONFIDENCE_LEVEL

NUM_RESAMPLES = 2000
"""Bootstrap resamples; the percentile ends are then good to about a tenth of their distance."""

NUM_RANKED_RESAMPLES = 400
"""Of figures that need every image's rank in each."""

_CELLS = 1_000_000
"""Numbers in each table of a block of resamples: 8 MB."""

SEED = 20190722
"""Seed of every bootstrap, so that the same predictions give the same interval."""


def draw_resamples(groups: IntArray, count: int = NUM_RESAMPLES) -> npt.NDArray[np.int64]:
    """(count, N) how often each image is in each resample, when whole groups are drawn with replacement."""
    size = int(groups.max()) + 1
    draws = np.random.default_rng(SEED).multinomial(size, np.full(size, 1 / size), size=count)
    return draws[:, groups]


def percentile_interval(values: FloatArray) -> tuple[float, float]:
    """The middle 95% of the values that are numbers; (NaN, NaN) when none is."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    return float(low), float(high)


def bootstrap_average_precision(true: BoolArray, probabilities: FloatArray, groups: IntArray) -> dict[str, tuple[float, float]]:
    """Intervals of average precision, `macro` (the mean over the categories that are there) and `micro` (all cells at once)."""
    weights, size = draw_resamples(groups, NUM_RANKED_RESAMPLES).astype(np.float64), true.shape[1]
    of = np.arange(len(true))
    each = np.stack([_average_precisions(true[:, c], probabilities[:, c], weights, of) for c in range(size)], axis=1)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # a resample without any category
        macro = np.nanmean(each, axis=1)
    whole = _average_precisions(true.ravel(), probabilities.ravel(), weights, np.repeat(of, size))
    return {"macro": percentile_interval(macro), "micro": percentile_interval(whole)}


def _average_precisions(true: BoolArray, scores: FloatArray, weights: FloatArray, of: IntArray) -> FloatArray:
    """(R,) the average precision of (M,) scores, of the images `of`, in resamples of images (R, N); NaN where nothing is true."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # what ties is said yes to together
    found, block = np.empty(len(weights)), max(1, _CELLS // len(scores))
    for start in range(0, len(weights), block):
        drawn = weights[start : start + block, of[order]]
        all_said, hits = drawn.cumsum(axis=1)[:, ends], (drawn * true[order]).cumsum(axis=1)[:, ends]
        precision = np.divide(hits, all_said, out=np.zeros(hits.shape), where=all_said > 0)
        gained, all_true = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1), hits[:, -1]
        found[start : start + block] = np.divide(gained, all_true, out=np.full(len(gained), np.nan), where=all_true > 0)
    return found


def bootstrap_macro(true: BoolArray, predicted: BoolArray, groups: IntArray) -> dict[str, tuple[float, float]]:
    """Intervals of `accuracy`, `balanced_accuracy` and `macro_f1`, all resamples at once."""
    weights = draw_resamples(groups).astype(np.float64)
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
