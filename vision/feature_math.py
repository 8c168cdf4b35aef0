"""Arithmetic on features, for whoever asks several models at once. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def side_by_side(parts: Sequence[Floats]) -> Floats:
    """(N, ΣD) of several models' features (N, D): each made unit length first, so that all count alike, as does the whole."""
    units = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in parts]
    return np.asarray(np.concatenate(units, axis=1) / len(units) ** 0.5, dtype=np.float32)
