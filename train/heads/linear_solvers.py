"""Linear classifiers solved by scikit-learn: one problem for all classes, or one-vs-rest problems."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from fototeca.vision.feature_math import DoubleArray, FloatArray

SINGLE_THREAD_SIZE = 20_000_000
"""Elements of the training features up to which one thread is faster than several; also the most elements that problems solved
in parallel may have together, since liblinear holds 16 bytes per element."""

CERTAIN_LOGIT = 20.0
"""Logit of a class that all training images have; its negative for a class that none has."""


def solve_all(
    solve: Callable[..., Any],
    x: FloatArray,
    y: npt.NDArray[Any],
    num_classes: int,
    weights: DoubleArray | None,
    *,
    one_vs_rest: bool,
) -> tuple[DoubleArray, DoubleArray]:
    """Return weights (C, D) and biases (C,) of `solve(x, y, class_weight)`, which returns a fitted scikit-learn model.

    Labels are classes (N,), or multi-label (N, C), where each class is a binary problem. With `one_vs_rest` each of more than two
    classes is one too, and several are solved in parallel. Classes without training images get the bias -CERTAIN_LOGIT.
    """
    present = np.unique(y)
    if y.ndim == 2 or (one_vs_rest and len(present) > 2):
        threads = max(1, min(os.cpu_count() or 1, SINGLE_THREAD_SIZE // x.size)) if one_vs_rest else 1
        return _solve_binary(solve, x, y if y.ndim == 2 else y[:, None] == np.arange(num_classes), weights, threads)
    model = solve(x, y, None if weights is None else {c: float(weights[c]) for c in present})
    # scikit-learn returns one row for two classes; minus and plus one half of it give the same softmax
    signs = np.array([[-0.5], [0.5]]) if len(present) == 2 else np.ones((1, 1))
    weight, bias = np.zeros((num_classes, x.shape[1])), np.full(num_classes, -CERTAIN_LOGIT)
    weight[present], bias[present] = signs * model.coef_, signs[:, 0] * model.intercept_
    return weight, bias


def _solve_binary(
    solve: Callable[..., Any], x: FloatArray, y: npt.NDArray[Any], weights: DoubleArray | None, threads: int
) -> tuple[DoubleArray, DoubleArray]:
    """Solve a binary problem for each column of labels (N, C). A class of all images gets the bias CERTAIN_LOGIT."""
    varied = [c for c in range(y.shape[1]) if 0 < y[:, c].sum() < len(y)]

    def solve_class(c: int) -> Any:  # noqa: ANN401  (scikit-learn)
        return solve(x, y[:, c].astype(int), None if weights is None else {0: 1.0, 1: float(weights[c])})

    with ThreadPoolExecutor(threads) as pool:
        models = list(pool.map(solve_class, varied))
    weight, bias = np.zeros((y.shape[1], x.shape[1])), np.where(y.any(axis=0), CERTAIN_LOGIT, -CERTAIN_LOGIT)
    for c, model in zip(varied, models, strict=True):
        weight[c], bias[c] = model.coef_[0], model.intercept_[0]
    return weight, bias
