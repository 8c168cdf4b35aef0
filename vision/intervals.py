"""Confidence intervals of proportions over images grouped by duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

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


def design_effect(correct: Booleans, groups: Integers) -> float:
    """Return the variance of the accuracy with clustered images over the binomial variance, at least 1 (Kish 1965).

    Args:
        correct: (N,) whether each prediction is correct.
        groups: (N,) group index of each image.
    """
    n, mean = len(correct), float(np.mean(correct)) if len(correct) else 0.0
    count = int(groups.max()) + 1 if n else 0
    if count < 2 or count == n or mean in (0.0, 1.0):
        return n / count if count else 1.0
    residual = np.bincount(groups, weights=correct - mean, minlength=count)
    variance = count / (count - 1) * float((residual**2).sum()) / n**2
    return max(1.0, variance / (mean * (1 - mean) / n))


def accuracy_interval(correct: Booleans, groups: Integers) -> tuple[float, float]:
    """Return Wilson's interval with the effective number of images; arguments as in `design_effect`."""
    n = len(correct) / design_effect(correct, groups)
    return wilson_interval(float(np.mean(correct)) * n if len(correct) else 0.0, n)
