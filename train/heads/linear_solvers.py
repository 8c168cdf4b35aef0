"""Linear classifiers that scikit-learn solves: one problem of all classes, or one of each class against the rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

SMALL = 20_000_000
"""Numbers in the training features up to which one thread is faster than several that wait for one another; and how many numbers
problems that are solved side by side may have together, for liblinear keeps 16 bytes of each."""

CERTAIN = 20.0
"""The logit, or minus it, of a class that all training images are of, or none."""


def solve_all(
    solve: Callable[..., Any], x: Features, y: npt.NDArray[Any], classes: int, weights: Floats | None, *, apart: bool
) -> tuple[Floats, Floats]:
    """Weights (C, D) and biases (C,) of `solve(x, y, class_weight)`, which gives a fitted model of scikit-learn.

    Targets are classes (N,), or multi-label (N, C), where each class is a problem of its own. With `apart` so is each of more
    than two classes, and several are solved at once. Classes never seen get a low bias.
    """
    seen = np.unique(y)
    if y.ndim == 2 or (apart and len(seen) > 2):
        at_once = max(1, min(os.cpu_count() or 1, SMALL // x.size)) if apart else 1
        return _each_against_the_rest(solve, x, y if y.ndim == 2 else y[:, None] == np.arange(classes), weights, at_once)
    model = solve(x, y, None if weights is None else {c: float(weights[c]) for c in seen})
    # scikit-learn gives one row for two classes; half of it to each side is the same softmax
    sides = np.array([[-0.5], [0.5]]) if len(seen) == 2 else np.ones((1, 1))
    weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, -CERTAIN)
    weight[seen], bias[seen] = sides * model.coef_, sides[:, 0] * model.intercept_
    return weight, bias


def _each_against_the_rest(
    solve: Callable[..., Any], x: Features, y: npt.NDArray[Any], weights: Floats | None, at_once: int
) -> tuple[Floats, Floats]:
    """The same of targets (N, C), 1 or 0. A class that all images are of gets a high bias."""
    varied = [c for c in range(y.shape[1]) if 0 < y[:, c].sum() < len(y)]

    def one(c: int) -> Any:  # noqa: ANN401  (scikit-learn)
        return solve(x, y[:, c].astype(int), None if weights is None else {0: 1.0, 1: float(weights[c])})

    with ThreadPoolExecutor(at_once) as pool:
        models = list(pool.map(one, varied))
    weight, bias = np.zeros((y.shape[1], x.shape[1])), np.where(y.any(axis=0), CERTAIN, -CERTAIN)
    for c, model in zip(varied, models, strict=True):
        weight[c], bias[c] = model.coef_[0], model.intercept_[0]
    return weight, bias
