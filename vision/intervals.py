"""Confidence intervals of proportions over images grouped by duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

CONFIDENCE_LEVEL = 0.95
"""Confidence level of every interval."""


def group_index(groups: Sequence[str]) -> Integers:
    """Return the index (N,) of each image's group; an image without a group is a group of its own."""
    names = [group or f"\0{position}" for position, group in enumerate(groups)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def wilson_interval(hits: float, n: float) -> tuple[float, float]:
    """Return Wilson's score interval of `hits` / `n` (Wilson 1927); (0, 1) if `n` is 0."""
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE_LEVEL / 2)
    p = hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return max(0.0, min(middle - half, p)), min(1.0, max(middle + half, p))


def design_effect(values: Booleans | Floats, groups: Integers) -> float:
    """Return the variance of a mean over clustered images over that of independent images, at least 1 (Kish 1965).

    Equal values tell nothing about the dependence within groups: each group then counts as one image.

    Args:
        values: (N,) value of each image, for example whether its prediction is correct.
        groups: (N,) group index of each image.
    """
    n = len(values)
    count = int(groups.max()) + 1 if n else 0
    spread = float(np.var(values)) if n else 0.0
    if count < 2 or count == n or not spread:
        return n / count if count else 1.0
    residual = np.bincount(groups, weights=values - np.mean(values), minlength=count)
    variance = count / (count - 1) * float((residual**2).sum()) / n**2
    return max(1.0, variance / (spread / n))


def accuracy_interval(correct: Booleans, groups: Integers) -> tuple[float, float]:
    """Return Wilson's interval with the effective number of images; arguments as in `design_effect`."""
    n = len(correct) / design_effect(correct, groups)
    return wilson_interval(float(np.mean(correct)) * n if len(correct) else 0.0, n)


def combine_intervals(
    weights: Sequence[float], estimates: Sequence[float], intervals: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Return the interval of a weighted sum of independent estimates from their intervals (MOVER; Zou and Donner 2008).

    Unlike a bootstrap, it keeps the width of Wilson's intervals where all estimates are 0 or 1.
    """
    total, below, above = 0.0, 0.0, 0.0
    for weight, estimate, ends in zip(weights, estimates, intervals, strict=True):
        low, high = ends if weight >= 0 else ends[::-1]
        total += weight * estimate
        below += (weight * (estimate - low)) ** 2
        above += (weight * (high - estimate)) ** 2
    return total - float(np.sqrt(below)), total + float(np.sqrt(above))


def paired_interval(a: Booleans, b: Booleans, groups: Integers) -> tuple[float, float]:
    """Return the interval of the accuracy of `a` minus that of `b` on the same images (Newcombe 1998, method 10).

    `a`, `b`: (N,) whether each prediction is correct. `groups`: (N,) group index; the number of images is divided by the design
    effect of the differences.
    """
    differences = a.astype(np.float64) - b.astype(np.float64)
    n = len(a) / design_effect(differences, groups)
    p, q = float(a.mean()), float(b.mean())
    (low_p, high_p), (low_q, high_q) = wilson_interval(p * n, n), wilson_interval(q * n, n)
    correlation = _paired_correlation(a, b, n)
    difference = float(differences.mean())
    below = (p - low_p) ** 2 - 2 * correlation * (p - low_p) * (high_q - q) + (high_q - q) ** 2
    above = (high_p - p) ** 2 - 2 * correlation * (high_p - p) * (q - low_q) + (q - low_q) ** 2
    return difference - float(np.sqrt(max(0.0, below))), difference + float(np.sqrt(max(0.0, above)))


def _paired_correlation(a: Booleans, b: Booleans, n: float) -> float:
    """Return Newcombe's phi of two sets of predictions, 0 where one of them is all right or all wrong."""
    both, neither = float((a & b).mean()), float((~a & ~b).mean())
    excess = both * neither - float((a & ~b).mean()) * float((~a & b).mean())
    if excess > 0:
        excess = max(0.0, excess - 0.5 / n)
    p, q = float(a.mean()), float(b.mean())
    scale = float(np.sqrt(p * (1 - p) * q * (1 - q)))
    return excess / scale if scale else 0.0
