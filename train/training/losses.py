"""Losses, accuracy and multi-label thresholds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from fototeca.vision.feature_math import FloatArray


def compute_loss(
    logits: torch.Tensor, labels: torch.Tensor, *, multi: bool, weights: torch.Tensor | None = None, smoothing: float = 0.0
) -> torch.Tensor:
    """Return the mean cross-entropy of logits (N, C) against classes (N,) or fractions (N, C); multi-label, the binary one.

    `weights` (C,) multiply the loss of images of a class (single-label, divided by the sum of the images' weights) or of
    positives (multi-label). They weigh by the true class only: torch's `weight` and `pos_weight` also multiply the mass that
    `smoothing` gives to other classes, so that with rare classes the best prediction is a wrong one.
    """
    if weights is None or not smoothing:
        if multi:
            return F.binary_cross_entropy_with_logits(logits, labels * (1 - smoothing) + smoothing / 2, pos_weight=weights)
        return F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    if multi:
        positive, negative = (
            F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target), reduction="none")
            for target in (1 - smoothing / 2, smoothing / 2)
        )
        return (labels * weights * positive + (1 - labels) * negative).mean()
    log_probabilities = logits.log_softmax(dim=1)
    by_class = -(1 - smoothing) * log_probabilities - smoothing * log_probabilities.mean(dim=1, keepdim=True)  # if c is true
    if labels.dim() == 2:  # mixed images: each part counts with the weight of its class, as in torch's cross-entropy
        return (labels * weights * by_class).sum() / len(labels)
    image_weights = weights[labels]
    return (image_weights * by_class.gather(1, labels[:, None])[:, 0]).sum() / image_weights.sum()


def num_correct(logits: torch.Tensor, labels: torch.Tensor) -> int:
    """Count the images predicted correctly; multi-label, those with every class on the correct side of probability 0.5."""
    if labels.dim() == 2:
        return int(((logits > 0) == (labels > 0.5)).all(dim=1).sum())
    return int((logits.argmax(dim=1) == labels).sum())


def choose_thresholds(probabilities: FloatArray, labels: npt.NDArray[np.bool_]) -> FloatArray:
    """Return (C,) the threshold of each class with the best F1 on validation (N, C); 0.5 for a class without positives.

    The best threshold is among the scores (Lipton et al. 2014); the midpoint between two neighboring scores is used.
    """
    thresholds = np.full(labels.shape[1], 0.5, dtype=np.float32)
    for c in np.flatnonzero(labels.any(axis=0)):
        order = np.argsort(-probabilities[:, c])
        scores, true_positives = probabilities[order, c], labels[order, c].cumsum()
        below = np.append(scores[1:], 0)  # a cut after each score predicts it and all before it as positive
        cuts = ((scores + below) / 2).astype(np.float32)
        cuts = np.where(cuts > below, cuts, scores)  # the midpoint of two adjacent floats is one of them
        is_distinct = np.append(scores[1:] < scores[:-1], True)
        f1 = np.where(is_distinct, 2 * true_positives / (np.arange(1, len(scores) + 1) + true_positives[-1]), -1)
        best = np.flatnonzero(f1 == f1.max())
        thresholds[c] = cuts[best[np.abs(cuts[best] - 0.5).argmin()]]  # among ties, the threshold closest to 0.5
    return thresholds


def evaluate(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Return loss and accuracy on validation; multi-label with thresholds chosen there, as for a finished run."""
    loss = float(compute_loss(logits, labels, multi=labels.dim() == 2))
    if labels.dim() == 1:
        return loss, num_correct(logits, labels) / len(labels)
    probabilities, truth = torch.sigmoid(logits).numpy(), labels.numpy() > 0.5
    predictions = probabilities >= choose_thresholds(probabilities, truth)
    return loss, float((predictions == truth).all(axis=1).mean())
