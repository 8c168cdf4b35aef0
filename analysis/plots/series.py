"""Reduce and smooth the points of a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Points = Sequence[tuple[float, float]]

SMOOTHING_SHARE = 0.06
"""Window of the running mean, as a share of a line's points."""

MAX_POINTS = 400
"""Points drawn per line, at most."""


def thin_points(points: Points) -> Points:
    """Return at most MAX_POINTS points, means of neighboring ones."""
    if len(points) <= MAX_POINTS:
        return points
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in np.array_split(np.asarray(points), MAX_POINTS)]


def smooth_points(points: Points) -> Points:
    """Return the running mean over SMOOTHING_SHARE of the points."""
    width = max(1, round(len(points) * SMOOTHING_SHARE))
    values = np.array([y for _, y in points])
    kernel = np.ones(width)
    sums = np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
    return [(x, float(y)) for (x, _), y in zip(points, sums[: len(points)], strict=True)]
