"""Choose images to show: the most confident ones, or a random sample."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fototeca.analysis.evaluation.predictions import SplitPredictions


def pick_most_confident(results: SplitPredictions, *, correct: bool, number: int) -> list[int]:
    """The surest right or wrong images, at most two of a class so that many classes are seen, surest first."""
    wanted = np.flatnonzero(results.correct == correct)
    order = wanted[np.argsort(-results.confidence[wanted], kind="stable")]
    taken: Counter[str] = Counter()
    first: list[int] = []
    rest: list[int] = []
    for index in order:
        taken[results.labels[index]] += 1
        (first if taken[results.labels[index]] <= 2 else rest).append(int(index))
    return (first + rest)[:number]


def draw_random(results: SplitPredictions, *, correct: bool, number: int, seed: int) -> list[int]:
    """Right or wrong images at random, the same for the same seed."""
    wanted = np.flatnonzero(results.correct == correct)
    return [int(index) for index in np.random.default_rng(seed).permutation(wanted)[:number]]
