"""Explain the difference between validation and test accuracy: each possible cause with its size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from fototeca.analysis.evaluation.bootstrap import draw_resamples
from fototeca.analysis.evaluation.compare import align_predictions, holm_correction
from fototeca.analysis.evaluation.evaluate import compute_run_reliability
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.evaluation.quality_shift import QualityShift, quality_shift
from fototeca.analysis.evaluation.results import Interval, SparseResult
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest
from fototeca.vision.intervals import CONFIDENCE_LEVEL, design_effect

SEED = 1
"""Seed of the permutations of the shift tests."""

NUM_PERMUTATIONS = 999


@dataclass(frozen=True)
class SamplingError(Result):
    """Difference of two accuracies that chance alone explains: standard error, interval of the difference, two-sided p."""

    standard_error: float
    interval: Interval
    p: float


@dataclass(frozen=True)
class SelectionEffect(Result):
    """Optimism of having chosen the best of several runs on validation."""

    candidates: int
    chosen: bool
    """True if the run is the best on validation."""
    optimism: float
    """Expected excess of its validation accuracy; 0 for a run that was not chosen."""


@dataclass(frozen=True)
class ClassMixEffect(Result):
    """Effect of different label frequencies in validation and test."""

    effect: float
    """Change of validation accuracy if its labels were as frequent as in test."""
    unseen: float
    """Share of test images whose label does not occur in validation."""
    distance: float
    """Total variation distance of the label distributions, 0 to 1."""


@dataclass(frozen=True)
class CategoryShift(SparseResult):
    """Total variation distance (0 to 1) of two samples of names, its permutation p, and both counts."""

    distance: float
    p: float
    before: dict[str, int]
    after: dict[str, int]
    p_holm: float | None = None
    """p after Holm's correction for all shift tests."""


@dataclass(frozen=True)
class UnseenSources(Result):
    """Images from sources without training images, and test accuracy on these and on all others (None without images)."""

    names: tuple[str, ...]
    val: int
    test: int
    test_accuracy: float | None
    test_accuracy_elsewhere: float | None


@dataclass(frozen=True)
class CalibrationShift(Result):
    """Calibration error and mean confidence on both splits; lower confidence on test indicates harder images."""

    val_ece: float
    test_ece: float
    ece_difference: float
    val_confidence: float
    test_confidence: float


@dataclass(frozen=True)
class GeneralizationGap(Result):
    """Test accuracy minus validation accuracy, and what may account for it."""

    difference: float
    sampling: SamplingError
    selection: SelectionEffect
    class_mix: ClassMixEffect
    groups_across_splits: int | None
    """None if duplicates were never searched for."""
    shift_tests: int
    """Number of p-values that Holm's correction covers."""
    sources: CategoryShift
    unseen_sources: UnseenSources
    quality: dict[str, QualityShift]
    """By quality measure; empty if nothing was measured."""
    calibration: CalibrationShift


def explain_generalization_gap(
    workspace: Workspace,
    manifest: Manifest,
    val: SplitPredictions,
    test: SplitPredictions,
    rivals: Sequence[SplitPredictions],
) -> GeneralizationGap:
    """Return the difference of test and validation accuracy of a run and its possible causes.

    `rivals` are the validation predictions of all runs among which the best one was chosen, on the images of `val`.
    """
    sources = compute_category_shift([row.source for row in val.rows], [row.source for row in test.rows])
    quality = quality_shift(workspace, val.rows, test.rows)
    corrected = holm_correction([sources.p, *(shift.p for shift in quality.values())])
    return GeneralizationGap(
        difference=float(test.correct.mean() - val.correct.mean()),
        sampling=sampling_error(val, test),
        selection=selection_effect(val, rivals),
        class_mix=class_mix_effect(val, test),
        groups_across_splits=count_groups_across_splits(manifest),
        shift_tests=len(corrected),
        sources=replace(sources, p_holm=corrected[0]),
        unseen_sources=count_unseen_sources(manifest, val, test),
        quality={name: replace(shift, p_holm=p) for (name, shift), p in zip(quality.items(), corrected[1:], strict=True)},
        calibration=compute_calibration_shift(val, test),
    )


def sampling_error(val: SplitPredictions, test: SplitPredictions) -> SamplingError:
    """Return the standard error of the accuracy difference, with duplicate groups accounted for by the design effect."""
    variance = 0.0
    for results in (val, test):
        n = len(results) / design_effect(results.correct, results.groups)
        p = (float(results.correct.mean()) * n + 2) / (n + 4)  # Agresti and Caffo's correction: 100% has an error too
        variance += p * (1 - p) / (n + 4)
    difference, error = float(test.correct.mean() - val.correct.mean()), float(np.sqrt(variance))
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE_LEVEL / 2)
    return SamplingError(
        standard_error=error,
        interval=(difference - z * error, difference + z * error),
        p=2 * (1 - NormalDist().cdf(abs(difference) / error)) if error else 1.0,
    )


def selection_effect(val: SplitPredictions, rivals: Sequence[SplitPredictions]) -> SelectionEffect:
    """Estimate the optimism of choosing the best of K runs on validation, by bootstrap (Tibshirani and Tibshirani 2009).

    In each resample the best run is chosen again; the optimism is the mean excess of its resampled accuracy over its accuracy on
    all of validation. It is 0 for a run that is not the best.
    """
    weights = draw_resamples(val.groups).astype(np.float64)
    correct = np.stack([align_predictions(results, val).correct for results in rivals], axis=1).astype(np.float64)
    resampled = weights @ correct / weights.sum(axis=1, keepdims=True)
    winner = resampled.argmax(axis=1)
    rows = np.arange(len(resampled))
    accuracy, leader = correct.mean(axis=0), int(correct.mean(axis=0).argmax())
    noise = resampled[:, leader] - accuracy[leader]  # deviation of the resample itself, without any choice
    optimism = float((resampled[rows, winner] - accuracy[winner] - noise).mean())
    is_best = bool(val.correct.mean() >= accuracy.max())
    return SelectionEffect(candidates=len(rivals), chosen=is_best, optimism=optimism if is_best else 0.0)


def class_mix_effect(val: SplitPredictions, test: SplitPredictions) -> ClassMixEffect:
    """Return the change of validation accuracy if its labels were as frequent as in test.

    In a multi-label task a label is the whole set of an image's categories. Test images whose label does not occur in validation
    are left out of the effect and counted in `unseen`.
    """
    accuracy = {label: float(val.correct[np.array(val.labels) == label].mean()) for label in set(val.labels)}
    expected = [accuracy[label] for label in test.labels if label in accuracy]
    counts = [Counter(results.labels) for results in (val, test)]
    differences = (abs(counts[0][label] / len(val) - counts[1][label] / len(test)) for label in {*val.labels, *test.labels})
    return ClassMixEffect(
        effect=float(np.mean(expected) - val.correct.mean()) if expected else 0.0,
        unseen=1 - len(expected) / len(test),
        distance=sum(differences) / 2,
    )


def count_groups_across_splits(manifest: Manifest) -> int | None:
    """Count duplicate groups with images in more than one split (0 unless splits leak); None if never searched for."""
    if manifest.threshold is None:
        return None
    splits: dict[str, set[str]] = {}
    for row in manifest.rows:
        if row.group:
            splits.setdefault(row.group, set()).add(row.split)
    return sum(len(group_splits) > 1 for group_splits in splits.values())


def compute_category_shift(before: Sequence[str], after: Sequence[str]) -> CategoryShift:
    """Return the total variation distance of two samples of names, with a permutation test of NUM_PERMUTATIONS draws."""
    names = sorted({*before, *after})
    index = {name: number for number, name in enumerate(names)}
    codes = np.array([index[name] for name in (*before, *after)])
    cut = len(before)

    def distance(order: npt.NDArray[np.int64]) -> float:
        left = np.bincount(order[:cut], minlength=len(names)) / cut
        right = np.bincount(order[cut:], minlength=len(names)) / (len(order) - cut)
        return float(np.abs(left - right).sum() / 2)

    observed, generator = distance(codes), np.random.default_rng(SEED)
    permuted = [distance(generator.permutation(codes)) for _ in range(NUM_PERMUTATIONS)]
    p = (1 + sum(value >= observed - 1e-12 for value in permuted)) / (NUM_PERMUTATIONS + 1)
    return CategoryShift(distance=observed, p=p, before=dict(Counter(before)), after=dict(Counter(after)))


def count_unseen_sources(manifest: Manifest, val: SplitPredictions, test: SplitPredictions) -> UnseenSources:
    """Count images of each split from sources without training images, and compare test accuracy on them and elsewhere."""
    train_sources = {row.source for row in manifest.split("train")}
    is_unseen = [np.array([row.source not in train_sources for row in results.rows], dtype=np.bool_) for results in (val, test)]
    unseen, elsewhere = test.correct[is_unseen[1]], test.correct[~is_unseen[1]]
    return UnseenSources(
        names=tuple(sorted({row.source for results in (val, test) for row in results.rows} - train_sources)),
        val=int(is_unseen[0].sum()),
        test=int(is_unseen[1].sum()),
        test_accuracy=float(unseen.mean()) if len(unseen) else None,
        test_accuracy_elsewhere=float(elsewhere.mean()) if len(elsewhere) else None,
    )


def compute_calibration_shift(val: SplitPredictions, test: SplitPredictions) -> CalibrationShift:
    """Return calibration error and mean confidence on both splits."""
    errors = compute_run_reliability(val).error, compute_run_reliability(test).error
    return CalibrationShift(
        val_ece=errors[0],
        test_ece=errors[1],
        ece_difference=errors[1] - errors[0],
        val_confidence=float(val.confidence.mean()),
        test_confidence=float(test.confidence.mean()),
    )
