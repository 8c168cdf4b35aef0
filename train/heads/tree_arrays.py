"""Boosted trees as plain arrays: what scikit-learn has grown, kept in a file that no one has to trust, and read without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BLOCK = 4096
"""Rows of features that are worked on at once: in float64 all of them would take twice their memory again."""


def by_blocks(work: Callable[[npt.NDArray[np.float32]], Floats], features: npt.NDArray[np.float32]) -> Floats:
    """What `work` makes of (N, D), BLOCK rows at a time."""
    return np.concatenate([work(features[start : start + BLOCK]) for start in range(0, len(features), BLOCK)])


@dataclass(frozen=True)
class Boosting:
    """Trees over projected features. T trees of at most M nodes; node 0 is the root; a leaf is its own child."""

    mean: Floats
    """(D,) subtracted first."""
    components: Floats
    """(P, D) principal directions: trees grow on P numbers instead of D."""
    output: Integers
    """(T,) the class each tree adds to."""
    feature: Integers
    """(T, M)."""
    threshold: Floats
    """(T, M): at most this goes left."""
    left: Integers
    """(T, M)."""
    right: Integers
    """(T, M)."""
    value: Floats
    """(T, M) what a leaf adds, shrinkage included."""
    baseline: Floats
    """(C,)."""

    def decision(self, features: npt.NDArray[np.float32]) -> Floats:
        """(N, C) logits of (N, D) features."""
        x = by_blocks(lambda rows: (rows - self.mean) @ self.components.T, features)
        scores = np.tile(self.baseline, (len(x), 1))
        rows = np.arange(len(x))
        for tree, output in enumerate(self.output):
            node = np.zeros(len(x), dtype=np.int64)
            while True:
                goes_left = x[rows, self.feature[tree][node]] <= self.threshold[tree][node]
                following = np.where(goes_left, self.left[tree][node], self.right[tree][node])
                if np.array_equal(following, node):
                    break
                node = following
            scores[:, output] += self.value[tree][node]
        return scores

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """By name, as they are saved."""
        return {f"boosting.{name}": value for name, value in self.__dict__.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Boosting:
        """The inverse of `arrays`; other names are passed over."""
        return cls(**{name.removeprefix("boosting."): value for name, value in arrays.items() if name.startswith("boosting.")})


def from_sklearn(
    models: Sequence[tuple[Any, Sequence[int]]], rounds: range, mean: Floats, components: Floats, certain: Floats
) -> Boosting:
    """Fitted HistGradientBoostingClassifiers, each with the classes it tells apart, or the one it says yes or no to, as arrays.

    Of the trees those of some rounds; what they start from comes with the first. `certain` (C,): the logits of classes that no
    model tells.
    """
    trees, outputs, baseline = [], [], certain.copy()
    for model, classes in models:
        first = np.ravel(model._baseline_prediction)
        binary = len(classes) > len(first)  # of two classes scikit-learn tells the second: half of it to each side is the same
        signs = ((0, -0.5), (1, 0.5))
        baseline[list(classes)] = [sign * first[0] for _, sign in signs] if binary else first
        for grown in model._predictors[rounds.start : rounds.stop]:
            for number, tree in enumerate(grown):
                for place, sign in signs if binary else ((number, 1.0),):
                    trees.append((tree.nodes, sign))
                    outputs.append(classes[place])
    size = max((len(nodes) for nodes, _ in trees), default=1)
    packed = {name: np.zeros((len(trees), size), dtype=kind) for name, kind in _FIELDS.items()}
    for row, (nodes, sign) in enumerate(trees):
        leaf = nodes["is_leaf"].astype(bool)
        own = np.arange(len(nodes))
        packed["feature"][row, : len(nodes)] = np.where(leaf, 0, nodes["feature_idx"])
        packed["threshold"][row, : len(nodes)] = np.where(leaf, 0, nodes["num_threshold"])
        packed["left"][row, : len(nodes)] = np.where(leaf, own, nodes["left"])
        packed["right"][row, : len(nodes)] = np.where(leaf, own, nodes["right"])
        packed["value"][row, : len(nodes)] = np.where(leaf, nodes["value"] * sign, 0)
    start = np.zeros_like(baseline) if rounds.start else baseline
    return Boosting(mean, components, np.array(outputs, dtype=np.int64), **packed, baseline=start)


_FIELDS = {"feature": np.int64, "threshold": np.float64, "left": np.int64, "right": np.int64, "value": np.float64}
