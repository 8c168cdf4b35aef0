"""What is minimised and what is counted: losses, accuracy, and the thresholds of multi-label classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

Floats = npt.NDArray[np.float32]


def compute_loss(
    logits: torch.Tensor, wanted: torch.Tensor, *, multi: bool, weights: torch.Tensor | None = None, smoothing: float = 0.0
) -> torch.Tensor:
    """Mean cross-entropy of logits (N, C) against classes (N,) or shares (N, C); multi-label: of every yes and no.

    `weights` (C,) are torch's own `weight` (single-label) and `pos_weight` (multi-label).
    """
    if multi:
        wanted = wanted * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weights)
    return F.cross_entropy(logits, wanted, weight=weights, label_smoothing=smoothing)


def num_correct(logits: torch.Tensor, labels: torch.Tensor) -> int:
    """How many rows are wholly right; multi-label: every class on the right side of one half."""
    if labels.dim() == 2:
        return int(((logits > 0) == (labels > 0.5)).all(dim=1).sum())
    return int((logits.argmax(dim=1) == labels).sum())


def choose_thresholds(probabilities: Floats, labels: npt.NDArray[np.bool_]) -> Floats:
    """(C,) per class the probability that gives the best F1 on (N, C) validation; one half where a class is never there.

    Lipton et al. 2014: the best threshold is among the scores; the middle between two neighbours is taken.
    """
    chosen = np.full(labels.shape[1], 0.5, dtype=np.float32)
    for c in np.flatnonzero(labels.any(axis=0)):
        order = np.argsort(-probabilities[:, c])
        scores, hits = probabilities[order, c], labels[order, c].cumsum()
        below = np.append(scores[1:], 0)  # a cut after each score says yes to it and to all before
        cuts = ((scores + below) / 2).astype(np.float32)
        cuts = np.where(cuts > below, cuts, scores)  # the middle of two neighbouring floats is one of them
        apart = np.append(scores[1:] < scores[:-1], True)
        f1 = np.where(apart, 2 * hits / (np.arange(1, len(scores) + 1) + hits[-1]), -1)
        best = np.flatnonzero(f1 == f1.max())
        chosen[c] = cuts[best[np.abs(cuts[best] - 0.5).argmin()]]  # of equally good ones the least extreme
    return chosen


def evaluate(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Loss and accuracy on validation; multi-label with thresholds chosen there, as a finished run is judged."""
    loss = float(compute_loss(logits, labels, multi=labels.dim() == 2))
    if labels.dim() == 1:
        return loss, num_correct(logits, labels) / len(labels)
    probabilities, true = torch.sigmoid(logits).numpy(), labels.numpy() > 0.5
    said = probabilities >= choose_thresholds(probabilities, true)
    return loss, float((said == true).all(axis=1).mean())
