"""The `logistic` and `svm` heads, solved by scikit-learn over a path of strengths."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy.typing as npt
from tqdm import tqdm

from fototeca.train.heads.fitted import (
    PROGRESS,
    FeatureSet,
    FittedHead,
    as_tensor,
    choose_best,
    evaluate_array,
    evaluate_train,
    make_candidates,
)
from fototeca.train.heads.linear_solvers import solve_all
from fototeca.train.heads.standardize import Scaler
from fototeca.vision.feature_math import DoubleArray, FloatArray

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""scikit-learn's C on standardized features; `svm` omits the last one, which takes it longest."""

MAX_ACCURACY_LOSS = 0.002
"""Validation accuracy below the best so far at which the path ends: stronger fits are slower each time."""

MARGIN_SCALES = (0.1, 30.0)
"""Bounds of the factor from SVM margins to logits."""


def fit_logistic(train: FeatureSet, val: FeatureSet, num_classes: int, seed: int, weights: DoubleArray | None) -> FittedHead:
    """Fit multinomial logistic regression; multi-label, one binary problem for each class."""
    from sklearn.linear_model import LogisticRegression

    def solve(strength: float, x: FloatArray, y: npt.NDArray[Any], weight: Any) -> Any:  # noqa: ANN401  (scikit-learn)
        return LogisticRegression(C=strength, max_iter=400, class_weight=weight).fit(x, y)

    return _fit_path(train, val, num_classes, solve, weights, STRENGTHS)


def fit_svm(train: FeatureSet, val: FeatureSet, num_classes: int, seed: int, weights: DoubleArray | None) -> FittedHead:
    """Fit one-vs-rest linear SVMs (DeCAF; Razavian et al. 2014), several in parallel, since liblinear releases the GIL.

    Margins become logits by one factor with the lowest loss on validation.
    """
    from scipy.optimize import minimize_scalar
    from sklearn.svm import LinearSVC

    def solve(strength: float, x: FloatArray, y: npt.NDArray[Any], weight: Any) -> Any:  # noqa: ANN401  (scikit-learn)
        return LinearSVC(C=strength, random_state=seed, class_weight=weight, dual=True, tol=1e-2).fit(x, y)

    head = _fit_path(train, val, num_classes, solve, weights, STRENGTHS[:-1], one_vs_rest=True)
    margins = head.logits(val.features)

    def loss(log_scale: float) -> float:
        return evaluate_train(as_tensor(margins * math.exp(log_scale)), val.labels)[0]

    scale = math.exp(minimize_scalar(loss, bounds=[math.log(bound) for bound in MARGIN_SCALES], method="bounded").x)
    assert head.weight is not None and head.bias is not None
    head.weight, head.bias = head.weight * scale, head.bias * scale
    return head


def _fit_path(
    train: FeatureSet,
    val: FeatureSet,
    num_classes: int,
    solve: Callable[..., Any],
    weights: DoubleArray | None,
    strengths: Sequence[float],
    *,
    one_vs_rest: bool = False,
) -> FittedHead:
    """Solve from weak to strong until validation accuracy falls, and return the best fit."""
    scaler = Scaler.fit(train.features)
    x, y = scaler.transform(train.features), train.labels.numpy()
    heads: list[FittedHead] = []
    scores: list[tuple[float, float]] = []
    for strength in tqdm(strengths, desc="head", unit="strength", **PROGRESS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a solver that ends before convergence is evaluated like any other
            weight, bias = solve_all(partial(solve, strength), x, y, num_classes, weights, one_vs_rest=one_vs_rest)
        heads.append(FittedHead(*scaler.fold(weight, bias)))
        scores.append(evaluate_array(heads[-1].logits(val.features), val.labels))
        if scores[-1][1] < max(accuracy for _, accuracy in scores) - MAX_ACCURACY_LOSS:
            break
    chosen = choose_best(scores)
    heads[chosen].candidates = make_candidates(strengths[: len(scores)], scores, chosen)
    return heads[chosen]
