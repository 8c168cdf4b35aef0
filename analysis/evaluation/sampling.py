"""Choose images to show: the most confident ones, or a random sample."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fototeca.analysis.evaluation.predictions import SplitPredictions


def pick_most_confident(results: SplitPredictions, *, correct: bool, number: int) -> list[int]:
    """Return the indices of the most confident correct or wrong predictions, most confident first.

    The first two of each label come before all others, so that many labels are shown.
    """
    candidates = np.flatnonzero(results.correct == correct)
    order = candidates[np.argsort(-results.confidence[candidates], kind="stable")]
    counts: Counter[str] = Counter()
    first: list[int] = []
    rest: list[int] = []
    for index in order:
        counts[results.labels[index]] += 1
        (first if counts[results.labels[index]] <= 2 else rest).append(int(index))
    return (first + rest)[:number]


def draw_random(results: SplitPredictions, *, correct: bool, number: int, seed: int) -> list[int]:
    """Return the indices of randomly chosen correct or wrong predictions; the same for the same seed."""
    candidates = np.flatnonzero(results.correct == correct)
    return [int(index) for index in np.random.default_rng(seed).permutation(candidates)[:number]]
