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
