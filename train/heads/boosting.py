"""The `boosting` head: histogram gradient boosting by scikit-learn on principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fototeca.train.heads.fitted import (
    FeatureSet,
    FittedHead,
    as_tensor,
    choose_best,
    evaluate_array,
    evaluate_train,
    make_candidates,
)
from fototeca.train.heads.linear_solvers import CERTAIN_LOGIT
from fototeca.train.heads.tree_arrays import from_sklearn, map_blocks
from fototeca.vision.feature_math import DoubleArray

COMPONENTS = 64
"""Principal components that trees split on."""

ROUNDS = 60
"""Boosting rounds."""

EVALUATION_INTERVAL = 5
"""Rounds between evaluations on validation."""

LEARNING_RATE = 0.1
"""scikit-learn's default shrinkage, as written to `steps.csv`."""


def fit_boosting(train: FeatureSet, val: FeatureSet, num_classes: int, seed: int, weights: DoubleArray | None) -> FittedHead:
    """Fit trees on the leading principal components; the number of rounds is chosen on validation.

    Multi-label: one model for each class that some training images have and some do not.
    """
    from sklearn.decomposition import PCA
    from sklearn.ensemble import HistGradientBoostingClassifier

    solver = "covariance_eigh" if len(train.features) > train.features.shape[1] else "full"  # of the smaller matrix
    projection = PCA(min(COMPONENTS, *train.features.shape), svd_solver=solver).fit(train.features.astype(np.float64))
    mean, components = projection.mean_, projection.components_
    x = map_blocks(lambda rows: (rows - mean) @ components.T, train.features)
    y = train.labels.numpy().astype(int)

    def grow(labels: npt.NDArray[Any], weight: DoubleArray | None) -> Any:  # noqa: ANN401  (scikit-learn)
        model = HistGradientBoostingClassifier(max_iter=ROUNDS, max_leaf_nodes=8, early_stopping=False, random_state=seed)
        return model.fit(x, labels, sample_weight=None if weight is None else weight[labels])

    if y.ndim == 2:
        class_weights = None if weights is None else np.stack([np.ones(num_classes), weights], axis=1)
        varied = [c for c in range(num_classes) if 0 < y[:, c].sum() < len(y)]
        models = [(grow(y[:, c], None if class_weights is None else class_weights[c]), [c]) for c in varied]
        untrained_logits = np.where(y.any(axis=0), CERTAIN_LOGIT, -CERTAIN_LOGIT)
    else:
        model = grow(y, weights)
        models, untrained_logits = [(model, list(model.classes_))], np.full(num_classes, -CERTAIN_LOGIT)
    ends = range(EVALUATION_INTERVAL, ROUNDS + 1, EVALUATION_INTERVAL)
    train_logits, val_logits = (np.zeros((len(split.features), num_classes)) for split in (train, val))
    curves = []
    for end in ends:
        trees = from_sklearn(models, range(end - EVALUATION_INTERVAL, end), mean, components, untrained_logits)
        train_logits += trees.decision(train.features)
        val_logits += trees.decision(val.features)
        curves.append((evaluate_train(as_tensor(train_logits), train.labels), evaluate_array(val_logits, val.labels)))
    val_scores = [val_score for _, val_score in curves]
    chosen = choose_best(val_scores)
    head = FittedHead(boosting=from_sklearn(models, range(ends[chosen]), mean, components, untrained_logits))
    head.candidates = make_candidates(ends, val_scores, chosen)
    head.epochs = [(end, *scores[0], *scores[1]) for end, scores in zip(ends, curves, strict=True)]
    head.steps = [(row[0], row[0], row[1], LEARNING_RATE) for row in head.epochs]
    return head
