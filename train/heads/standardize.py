"""Standardization of features, and its inverse on linear weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fototeca.train.heads.tree_arrays import BLOCK_ROWS
from fototeca.vision.feature_math import DoubleArray, FloatArray


@dataclass(frozen=True)
class Scaler:
    """Subtracts the training split's mean and divides by its standard deviation, in float32 as the features."""

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def fit(cls, features: FloatArray) -> Scaler:
        """Measure (N, D) in float64, BLOCK_ROWS at a time; a constant feature is not scaled."""
        mean = features.mean(axis=0, dtype=np.float64)
        starts = range(0, len(features), BLOCK_ROWS)
        squares = sum(((features[start : start + BLOCK_ROWS] - mean) ** 2).sum(axis=0) for start in starts)
        deviation = np.sqrt(squares / len(features))
        return cls(mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32))

    def transform(self, features: FloatArray) -> FloatArray:
        """Return (N, D) standardized."""
        scaled = features - self.mean
        scaled /= self.deviation
        return scaled

    def fold(self, weight: DoubleArray, bias: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return weights (C, D) and biases (C,) over raw features that equal the given ones over standardized features."""
        raw = weight / self.deviation.astype(np.float64)
        return raw, bias - raw @ self.mean.astype(np.float64)
