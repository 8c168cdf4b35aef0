"""Describe the colors of images and their layout, to propose pairs that may show one scene. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fototeca.vision.feature_math import FloatArray

_CELLS = 8
"""Cells per side of the layout."""

_LAYOUT_WEIGHT = 0.7
"""Weight of the layout against the histogram of colors."""

_LEVELS = (4, 8, 8)
"""Bins of luma and of the two color differences."""


def describe_layout(thumbnails: NDArray[np.uint8]) -> FloatArray:
    """Return descriptors (N, D) of unit length for thumbnails (N, S, S, 3) in RGB; S is a multiple of 8.

    A descriptor joins the square roots of a histogram of luma and color differences with the mean colors of 8 × 8 cells, less
    the mean of the image. It needs no weights, so it is equal on every machine.
    """
    count, side = len(thumbnails), thumbnails.shape[1]
    values = thumbnails.astype(np.float32)
    cells = values.reshape(count, _CELLS, side // _CELLS, _CELLS, side // _CELLS, 3).mean(axis=(2, 4)).reshape(count, -1)
    layout = _unit(cells - values.mean(axis=(1, 2, 3))[:, None])
    parts = [_unit(np.sqrt(_histograms(values))), _LAYOUT_WEIGHT * layout]
    return _unit(np.concatenate(parts, axis=1))


def _histograms(values: FloatArray) -> FloatArray:
    """Return histograms (N, bins) of luma, red minus luma and blue minus luma of images (N, S, S, 3)."""
    luma = values @ np.array([0.299, 0.587, 0.114], np.float32)
    channels = (luma, (values[..., 0] - luma) * 0.713 + 128, (values[..., 2] - luma) * 0.564 + 128)
    index = np.zeros(luma.shape, np.int64)
    for channel, levels in zip(channels, _LEVELS, strict=True):
        index = index * levels + np.clip(channel * levels / 256, 0, levels - 1).astype(np.int64)
    bins = int(np.prod(_LEVELS))
    index += np.arange(len(values))[:, None, None] * bins
    return np.bincount(index.ravel(), minlength=len(values) * bins).reshape(len(values), bins).astype(np.float32)


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)
