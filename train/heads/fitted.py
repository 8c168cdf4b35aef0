"""Features to fit on, and a fitted head with its curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fototeca.core.results import Result
from fototeca.train.heads.tree_arrays import BoostedTrees, map_blocks
from fototeca.train.training.losses import compute_loss, evaluate, num_correct
from fototeca.vision.feature_math import DoubleArray, FloatArray

PROGRESS: dict[str, Any] = {"delay": 2.0, "leave": False, "disable": None}
"""tqdm's options: a bar after two seconds, on a terminal only."""


@dataclass(frozen=True)
class FeatureSet:
    """Features (N, D) with their labels: classes (N,), or multi-label (N, C)."""

    features: FloatArray
    labels: torch.Tensor


@dataclass(frozen=True)
class Candidate(Result):
    """One strength of regularization, evaluated on validation."""

    strength: float
    val_loss: float
    val_accuracy: float
    chosen: bool


@dataclass
class FittedHead:
    """A head, the strengths that it was chosen from, and its curves."""

    weight: DoubleArray | None = None
    """(C, D) over raw features; None for boosting."""
    bias: DoubleArray | None = None
    """(C,)."""
    boosting: BoostedTrees | None = None
    candidates: list[Candidate] = field(default_factory=list)
    steps: list[tuple[int, int, float, float]] = field(default_factory=list)
    """step, epoch, loss, learning_rate."""
    epochs: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    """epoch, train_loss, train_accuracy, val_loss, val_accuracy."""

    def logits(self, features: FloatArray) -> DoubleArray:
        """Return logits (N, C) of features (N, D)."""
        if self.boosting:
            return self.boosting.decision(features)
        assert self.weight is not None and self.bias is not None
        weight, bias = self.weight, self.bias
        return map_blocks(lambda rows: np.asarray(rows @ weight.T + bias, dtype=np.float64), features)


def evaluate_train(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Return loss and accuracy of logits (N, C) on training; multi-label with threshold 0.5."""
    return float(compute_loss(logits, labels, multi=labels.dim() == 2)), num_correct(logits, labels) / len(labels)


def evaluate_array(logits: DoubleArray, labels: torch.Tensor) -> tuple[float, float]:
    """Return loss and accuracy of logits (N, C) on validation."""
    return evaluate(as_tensor(logits), labels)


def as_tensor(logits: DoubleArray) -> torch.Tensor:
    """Return (N, C) as float32."""
    return torch.from_numpy(logits).float()


def choose_best(scores: Sequence[tuple[float, float]]) -> int:
    """Return the index of the best (loss, accuracy): the highest accuracy, then the lowest loss."""
    return max(range(len(scores)), key=lambda index: (scores[index][1], -scores[index][0]))


def make_candidates(strengths: Sequence[float], scores: Sequence[tuple[float, float]], chosen: int) -> list[Candidate]:
    """Return a candidate for each strength with its (loss, accuracy)."""
    pairs = enumerate(zip(strengths, scores, strict=True))
    return [Candidate(strength, loss, accuracy, index == chosen) for index, (strength, (loss, accuracy)) in pairs]
