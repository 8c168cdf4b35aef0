"""Solved heads equal scikit-learn's solution of the whole problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from fototeca.train.heads.linear_solvers import CERTAIN_LOGIT, solve_all

Array = npt.NDArray[Any]
ImageDataset = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
Weights = dict[int, float] | None


def svm(x: Array, y: Array, weight: Weights) -> LinearSVC:
    """Solve to convergence, so that different solvers agree."""
    return LinearSVC(C=0.01, dual=False, tol=1e-8, max_iter=10_000, class_weight=weight).fit(x, y)


def logistic(x: Array, y: Array, weight: Weights) -> LogisticRegression:
    """Solve to convergence, so that different solvers agree."""
    return LogisticRegression(C=0.1, tol=1e-8, max_iter=1000, class_weight=weight).fit(x, y)


@pytest.fixture
def images() -> ImageDataset:
    """Return features of 120 images of classes 0, 1 and 3."""
    rng = np.random.default_rng(0)
    y = rng.choice([0, 1, 3], 120)
    return (rng.normal(size=(120, 8)) + np.eye(8)[y]).astype(np.float32), y


@pytest.mark.parametrize("weights", [None, np.array([0.5, 1.5, 1.0, 2.0])], ids=["plain", "weighted"])
@pytest.mark.parametrize(("solve", "one_vs_rest"), [(svm, True), (svm, False), (logistic, False)])
def test_multi_class_solution_equals_scikit_learn(
    images: ImageDataset, solve: Callable[..., Any], one_vs_rest: bool, weights: npt.NDArray[np.float64] | None
) -> None:
    """One-vs-rest and joint; a class without images is never predicted."""
    x, y = images
    weight, bias = solve_all(solve, x, y, 4, weights, one_vs_rest=one_vs_rest)
    whole = solve(x, y, None if weights is None else {c: float(weights[c]) for c in (0, 1, 3)})
    seen = [0, 1, 3]
    np.testing.assert_allclose(weight[seen], whole.coef_, atol=1e-4)
    np.testing.assert_allclose(bias[seen], whole.intercept_, atol=1e-4)
    assert not weight[2].any() and bias[2] == -CERTAIN_LOGIT


@pytest.mark.parametrize("one_vs_rest", [False, True])
def test_two_class_difference_equals_scikit_learn(images: ImageDataset, one_vs_rest: bool) -> None:
    """scikit-learn returns one row for two classes."""
    x, y = images[0], (images[1] > 0).astype(int)
    weight, bias = solve_all(svm, x, y, 2, None, one_vs_rest=one_vs_rest)
    whole = svm(x, y, None)
    np.testing.assert_allclose(weight[1] - weight[0], whole.coef_[0], atol=1e-6)
    np.testing.assert_allclose(bias[1] - bias[0], whole.intercept_[0], atol=1e-6)


@pytest.mark.parametrize("one_vs_rest", [False, True])
def test_multi_label_columns_are_binary_problems(images: ImageDataset, one_vs_rest: bool) -> None:
    """A label of all images is always predicted, a label of none never."""
    x, y = images
    targets = np.stack([y == 0, np.ones(len(y)), np.zeros(len(y)), x[:, 0] > 0], axis=1).astype(np.float32)
    weight, bias = solve_all(svm, x, targets, 4, None, one_vs_rest=one_vs_rest)
    for c in (0, 3):
        np.testing.assert_allclose(weight[c], svm(x, targets[:, c].astype(int), None).coef_[0], atol=1e-6)
    assert not weight[1:3].any() and bias[1] == CERTAIN_LOGIT and bias[2] == -CERTAIN_LOGIT
