"""Arithmetic on feature vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def concatenate_features(parts: Sequence[Floats]) -> Floats:
    """Concatenate features (N, D) of several models to (N, ΣD) of unit length, each model with the same weight."""
    units = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in parts]
    return np.asarray(np.concatenate(units, axis=1) / len(units) ** 0.5, dtype=np.float32)
