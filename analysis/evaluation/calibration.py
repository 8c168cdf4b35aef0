"""Whether a probability means what it says, and the one number that mends it: the temperature (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np

from fototeca.analysis.evaluation.metrics import EPSILON, BoolArray, FloatArray

LOG_TEMPERATURE_STD = 0.5
"""How far the logarithm of the temperature is expected to lie from 0: two of three networks are off by a factor below 1.65."""

NO_ERRORS = "validation has no mistake to learn a temperature from"
"""Why there is no temperature, where every validation image is right."""

_SUREST = 1 - 2**-24
"""The largest probability that is kept below 1: what was rounded up to 1 was no surer than that, for all one knows."""

_GOLDEN = (5**0.5 - 1) / 2


def scale_probabilities(probabilities: FloatArray, temperature: float, multi: bool = False) -> FloatArray:
    """Probabilities (N, C) after dividing their logits by `temperature`; log-probabilities serve as logits."""
    kept = np.clip(probabilities, EPSILON, _SUREST)
    if multi:
        logits = (np.log(kept) - np.log1p(-kept)) / temperature
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))))
    logits = np.log(kept) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(true: BoolArray, probabilities: FloatArray, multi: bool = False) -> float:
    """The temperature, between 0.05 and 20, that fits best: golden-section search on its logarithm.

    What is minimised is the log loss and, against few images, the square of log T by its expected spread. The loss is convex in
    1/T, so it has one valley in log T too. Fit on validation, never on test.
    """

    def loss(exponent: float) -> float:
        scaled = np.clip(scale_probabilities(probabilities, float(np.exp(exponent)), multi), EPSILON, 1 - EPSILON)
        prior = (exponent / LOG_TEMPERATURE_STD) ** 2 / 2 / len(true)
        if multi:
            return float(-(np.log(scaled) * true + np.log1p(-scaled) * ~true).mean()) + prior
        return float(-np.log(scaled[true]).mean()) + prior

    low, high = float(np.log(0.05)), float(np.log(20))
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(40):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return float(np.exp((low + high) / 2))
