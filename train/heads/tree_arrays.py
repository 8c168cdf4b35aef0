"""Boosted trees as plain arrays, which are saved without pickle and evaluated without scikit-learn.

The trees of HistGradientBoostingClassifier have no public interface, so `from_sklearn` reads `_predictors` and
`_baseline_prediction`; tests compare its logits with scikit-learn's `decision_function`. GradientBoostingClassifier has public
trees, but its exact splits took eight times as long (19.0 s instead of 2.3 s for 1,000 × 64 features of 10 classes, 60 rounds).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fototeca.vision.feature_math import DoubleArray, FloatArray

IndexArray = npt.NDArray[np.int64]

BLOCK_ROWS = 4096
"""Rows of features that are converted to float64 at a time; all of them would take twice their memory again."""


def map_blocks(function: Callable[[FloatArray], DoubleArray], features: FloatArray) -> DoubleArray:
    """Apply `function` to (N, D), BLOCK_ROWS at a time, and concatenate the results."""
    starts = range(0, len(features), BLOCK_ROWS)
    return np.concatenate([function(features[start : start + BLOCK_ROWS]) for start in starts])


@dataclass(frozen=True)
class BoostedTrees:
    """T trees of at most M nodes over projected features. Node 0 is the root; a leaf is its own child."""

    mean: DoubleArray
    """(D,) subtracted first."""
    components: DoubleArray
    """(P, D) principal directions: trees split on P numbers instead of D."""
    output: IndexArray
    """(T,) class to which each tree adds."""
    feature: IndexArray
    """(T, M)."""
    threshold: DoubleArray
    """(T, M): values up to it go left."""
    left: IndexArray
    """(T, M)."""
    right: IndexArray
    """(T, M)."""
    value: DoubleArray
    """(T, M) value of a leaf, shrinkage included."""
    baseline: DoubleArray
    """(C,)."""

    def decision(self, features: FloatArray) -> DoubleArray:
        """Return logits (N, C) of features (N, D)."""
        x = map_blocks(lambda rows: (rows - self.mean) @ self.components.T, features)
        scores = np.tile(self.baseline, (len(x), 1))
        rows = np.arange(len(x))
        for tree, output in enumerate(self.output):
            node = np.zeros(len(x), dtype=np.int64)
            while True:
                goes_left = x[rows, self.feature[tree][node]] <= self.threshold[tree][node]
                child = np.where(goes_left, self.left[tree][node], self.right[tree][node])
                if np.array_equal(child, node):
                    break
                node = child
            scores[:, output] += self.value[tree][node]
        return scores

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name, as they are saved."""
        return {f"boosting.{name}": value for name, value in self.__dict__.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> BoostedTrees:
        """Inverse of `arrays`; arrays with other names are ignored."""
        return cls(**{name.removeprefix("boosting."): value for name, value in arrays.items() if name.startswith("boosting.")})


def from_sklearn(
    models: Sequence[tuple[Any, Sequence[int]]],
    rounds: range,
    mean: DoubleArray,
    components: DoubleArray,
    untrained_logits: DoubleArray,
) -> BoostedTrees:
    """Convert some boosting rounds of fitted HistGradientBoostingClassifiers to arrays.

    Args:
        models: each model with the classes that it separates, or the single class of a binary one.
        rounds: rounds to convert; the models' baselines are included if it starts at 0.
        mean: (D,) of the projection.
        components: (P, D) of the projection.
        untrained_logits: (C,) baseline of the classes of no model.
    """
    trees, outputs, baseline = [], [], untrained_logits.copy()
    for model, classes in models:
        first = np.ravel(model._baseline_prediction)
        is_binary = len(classes) > len(first)  # scikit-learn has one output for two classes; ∓ one half of it is equivalent
        signs = ((0, -0.5), (1, 0.5))
        baseline[list(classes)] = [sign * first[0] for _, sign in signs] if is_binary else first
        for round_trees in model._predictors[rounds.start : rounds.stop]:
            for number, tree in enumerate(round_trees):
                for place, sign in signs if is_binary else ((number, 1.0),):
                    trees.append((tree.nodes, sign))
                    outputs.append(classes[place])
    size = max((len(nodes) for nodes, _ in trees), default=1)
    packed = {name: np.zeros((len(trees), size), dtype=dtype) for name, dtype in _NODE_DTYPES.items()}
    for row, (nodes, sign) in enumerate(trees):
        is_leaf = nodes["is_leaf"].astype(bool)
        own = np.arange(len(nodes))
        packed["feature"][row, : len(nodes)] = np.where(is_leaf, 0, nodes["feature_idx"])
        packed["threshold"][row, : len(nodes)] = np.where(is_leaf, 0, nodes["num_threshold"])
        packed["left"][row, : len(nodes)] = np.where(is_leaf, own, nodes["left"])
        packed["right"][row, : len(nodes)] = np.where(is_leaf, own, nodes["right"])
        packed["value"][row, : len(nodes)] = np.where(is_leaf, nodes["value"] * sign, 0)
    start = np.zeros_like(baseline) if rounds.start else baseline
    return BoostedTrees(mean, components, np.array(outputs, dtype=np.int64), **packed, baseline=start)


_NODE_DTYPES = {"feature": np.int64, "threshold": np.float64, "left": np.int64, "right": np.int64, "value": np.float64}
