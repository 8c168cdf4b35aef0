"""How sure a share of images is, where near-duplicates are no observations of their own. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

CONFIDENCE_LEVEL = 0.95
"""The confidence of every interval."""


def group_index(groups: Sequence[str]) -> Integers:
    """(N,) the number of each image's group; an image without a group is its own."""
    names = [group or f"\0{position}" for position, group in enumerate(groups)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def wilson_interval(hits: float, n: float) -> tuple[float, float]:
    """Wilson's score interval for a fraction (Wilson 1927); (0, 1) when there is nothing to count."""
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE_LEVEL / 2)
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
    """Wilson's interval on the effective number of images. `right` and `groups` are (N,)."""
    n = len(right) / design_effect(right, groups)
    return wilson_interval(float(np.mean(right)) * n if len(right) else 0.0, n)
