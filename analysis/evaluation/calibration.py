"""Temperature scaling of probabilities (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np

from fototeca.analysis.evaluation.metrics import EPSILON, BoolArray, FloatArray

LOG_TEMPERATURE_STD = 0.5
"""Prior standard deviation of the logarithm of the temperature: two of three networks are off by a factor below 1.65."""

TEMPERATURE_BOUNDS = (0.05, 20.0)

NO_ERRORS = "validation has no errors to fit a temperature on"
"""Reason why there is no temperature, if every validation image is predicted correctly."""

_MAX_PROBABILITY = 1 - 2**-24
"""Largest probability that is left below 1: probabilities are stored in 32 bits, which round to 1 from here on."""


def scale_probabilities(probabilities: FloatArray, temperature: float, multi: bool = False) -> FloatArray:
    """Return probabilities (N, C) after dividing their logits by `temperature`; log-probabilities serve as logits."""
    from scipy.special import expit, logit, softmax

    clipped = np.clip(probabilities, EPSILON, _MAX_PROBABILITY)
    if multi:
        return np.asarray(expit(logit(clipped) / temperature))
    return np.asarray(softmax(np.log(clipped) / temperature, axis=1))


def fit_temperature(true: BoolArray, probabilities: FloatArray, multi: bool = False) -> float:
    """Fit the temperature, within TEMPERATURE_BOUNDS, to labels and probabilities (N, C). Fit on validation, never on test.

    Minimizes the mean log loss plus a Gaussian prior on log T, which matters when there are few images. The loss is convex in
    1/T, so it has a single minimum in log T too.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = scale_probabilities(probabilities, float(np.exp(log_temperature)), multi)
        clipped = np.clip(scaled, EPSILON, 1 - EPSILON)
        prior = (log_temperature / LOG_TEMPERATURE_STD) ** 2 / 2 / len(true)
        if multi:
            return float(-(np.log(clipped) * true + np.log1p(-clipped) * ~true).mean()) + prior
        return float(-np.log(clipped[true]).mean()) + prior

    low, high = np.log(TEMPERATURE_BOUNDS)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-9}).x))
