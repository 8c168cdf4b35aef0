"""Arithmetic on feature arrays, and the array types that the package shares. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]


def concatenate_features(parts: Sequence[FloatArray]) -> FloatArray:
    """Concatenate features (N, D) of several models to (N, ΣD) of unit length, each model with the same weight."""
    units = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in parts]
    return np.asarray(np.concatenate(units, axis=1) / len(units) ** 0.5, dtype=np.float32)


def nearest_by_cosine(
    features: FloatArray, count: int, codes: npt.NDArray[np.int64], block: int = 1024
) -> tuple[npt.NDArray[np.int64], DoubleArray]:
    """Return the `count` nearest rows of another code by cosine, nearest first, and their similarities, (N, count) each.

    `features`: (N, D). `codes`: (N,), rows with equal codes are not neighbors. `block`: rows of the
    similarity matrix held at once. Missing neighbors are -1 with a similarity of -inf. With N rows at most N - 1 columns.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    count = min(count, len(features) - 1)
    nearest = np.full((len(features), count), -1, dtype=np.int64)
    similarities = np.full((len(features), count), -np.inf)
    for start in range(0, len(features), block):
        part = slice(start, start + block)
        similar = unit[part] @ unit.T
        similar[codes[part, None] == codes[None, :]] = -np.inf
        columns = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(similar, columns, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        columns, values = np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
        nearest[part] = np.where(np.isfinite(values), columns, -1)
        similarities[part] = values
    return nearest, similarities
