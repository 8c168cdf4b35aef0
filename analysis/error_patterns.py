"""Summarize the errors of a run: confused categories, sources, near-duplicate groups and image quality."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from fototeca.analysis.evaluation.metrics import class_scores
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.evaluation.quality_shift import quality_shift
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace

MAX_LISTED = 20
"""Confused pairs and near-duplicate groups listed."""

NUM_HARDEST = 5


@dataclass(frozen=True)
class ConfusedPair(Result):
    """Number of images of category `true` predicted as `predicted`."""

    true: str
    predicted: str
    n: int


@dataclass(frozen=True)
class ErrorCount(Result):
    """Number of images and of errors among them."""

    n: int
    errors: int


@dataclass(frozen=True)
class GroupErrors(Result):
    """Number of images of a near-duplicate group and of errors among them."""

    group: str
    n: int
    errors: int


@dataclass(frozen=True)
class QualityDifference(Result):
    """Mean of a quality measure over right and wrong predictions, the distance of both distributions, and its p-value."""

    right: float
    wrong: float
    distance: float
    p: float


@dataclass(frozen=True)
class ErrorGroups(Result):
    """Errors by confused pair (most frequent first), by source, and by near-duplicate group of at least two images.

    `hardest` are the categories with the lowest recall, lowest first.
    """

    confused_pairs: list[ConfusedPair]
    by_source: dict[str, ErrorCount]
    by_group: list[GroupErrors]
    hardest: list[str]


def error_groups(results: SplitPredictions) -> ErrorGroups:
    """Count errors by confused pair, by source and by near-duplicate group."""
    wrong = np.flatnonzero(~results.correct)
    pairs = Counter((results.labels[index], results.predicted_labels[index]) for index in wrong)
    by_source = Counter(row.source for row in results.rows)
    errors_by_source = Counter(results.rows[index].source for index in wrong)
    sizes = Counter(row.group for row in results.rows if row.group)
    errors_by_group = Counter(group for index in wrong if sizes[group := results.rows[index].group] > 1)
    recall = class_scores(results.true, results.predicted).recall
    by_recall = [c for c in np.argsort(recall, kind="stable") if results.true[:, c].any()]
    return ErrorGroups(
        confused_pairs=[ConfusedPair(true, predicted, n) for (true, predicted), n in pairs.most_common(MAX_LISTED)],
        by_source={name: ErrorCount(n, errors_by_source[name]) for name, n in by_source.most_common()},
        by_group=[GroupErrors(name, sizes[name], n) for name, n in errors_by_group.most_common(MAX_LISTED)],
        hardest=[results.categories[c] for c in by_recall[:NUM_HARDEST]],
    )


def errors_by_quality(workspace: Workspace, results: SplitPredictions) -> dict[str, QualityDifference]:
    """Compare right and wrong predictions by each measure of image quality; empty where quality was not measured."""
    right = [row for row, is_correct in zip(results.rows, results.correct, strict=True) if is_correct]
    wrong = [row for row, is_correct in zip(results.rows, results.correct, strict=True) if not is_correct]
    return {
        name: QualityDifference(shift.first, shift.second, shift.distance, shift.p)
        for name, shift in quality_shift(workspace, right, wrong).items()
    }
