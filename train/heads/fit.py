"""Fit a classifier over frozen features, with its regularization chosen on validation.

The linear heads (linear, logistic, svm) are returned as one weight matrix over the raw features, which becomes the network's own
classifier; boosting is returned as arrays of trees.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from fototeca.core.errors import FototecaError
from fototeca.train.heads.adam_head import fit_adam
from fototeca.train.heads.boosting import fit_boosting
from fototeca.train.heads.fitted import FeatureSet, FittedHead, as_tensor, evaluate_array, evaluate_train
from fototeca.train.heads.linear_heads import fit_logistic, fit_svm
from fototeca.train.heads.linear_solvers import SINGLE_THREAD_SIZE
from fototeca.vision.threads import single_thread

ADAM_SINGLE_THREAD_SIZE = 3_000_000
"""Elements of the training features above which the products of `linear`, of all strengths at once, use several threads: 2,100 ×
2,048 take 3.1 s with two threads and 5.3 s with one; scikit-learn's solvers 2.7 and 0.8 s."""


def fit_head(
    kind: str,
    train: FeatureSet,
    val: FeatureSet,
    num_classes: int,
    *,
    seed: int,
    **options: Any,  # noqa: ANN401
) -> FittedHead:
    """Fit a head of `kind` on `train`; its strength is chosen by validation accuracy, then loss. Deterministic, bit for bit.

    `options`: class weights, and those of `fit_adam`. FototecaError for features that are NaN or infinite.
    """
    if not all(np.isfinite(split.features.sum(dtype=np.float64)) for split in (train, val)):
        raise FototecaError(
            "some features are NaN or infinite",
            "the weights may be damaged or unsuitable: download them again, or use other weights",
        )
    limit = ADAM_SINGLE_THREAD_SIZE if kind == "linear" else SINGLE_THREAD_SIZE
    with single_thread() if train.features.size <= limit else nullcontext():
        if kind == "linear":
            return fit_adam(train, val, num_classes, seed=seed, **options)
        weights = options.get("weights")
        fit = {"logistic": fit_logistic, "svm": fit_svm, "boosting": fit_boosting}[kind]
        head = fit(train, val, num_classes, seed, None if weights is None else weights.numpy())
        if not head.epochs:
            _add_single_epoch(head, train, val)
        return head


def _add_single_epoch(head: FittedHead, train: FeatureSet, val: FeatureSet) -> None:
    """Give a head without iterations curves of one point."""
    train_score = evaluate_train(as_tensor(head.logits(train.features)), train.labels)
    val_score = evaluate_array(head.logits(val.features), val.labels)
    head.epochs = [(1, *train_score, *val_score)]
    head.steps = [(1, 1, train_score[0], 0.0)]
