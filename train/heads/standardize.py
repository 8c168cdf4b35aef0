"""Standardised features, and weights over them brought back to raw ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fototeca.train.heads.tree_arrays import BLOCK

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaler:
    """Features minus their mean over their deviation, both of the training split; in float32, as the features are."""

    mean: npt.NDArray[np.float32]
    deviation: npt.NDArray[np.float32]

    @classmethod
    def of(cls, features: npt.NDArray[np.float32]) -> Scaler:
        """Measured on (N, D) in float64, some rows at a time; a feature that never changes keeps its scale."""
        mean = features.mean(axis=0, dtype=np.float64)
        squares = sum(((features[at : at + BLOCK] - mean) ** 2).sum(axis=0) for at in range(0, len(features), BLOCK))
        deviation = np.sqrt(squares / len(features))
        return cls(mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32))

    def __call__(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, D) standardised."""
        scaled = features - self.mean
        scaled /= self.deviation
        return scaled

    def fold(self, weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """Weights over standardised features as weights over raw ones."""
        raw = weight / self.deviation.astype(np.float64)
        return raw, bias - raw @ self.mean.astype(np.float64)
