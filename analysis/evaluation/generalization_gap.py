"""Why the test figure is not the validation figure: each possible reason with its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from fototeca.analysis.evaluation.bootstrap import draw_resamples
from fototeca.analysis.evaluation.compare import align_predictions, holm_correction
from fototeca.analysis.evaluation.evaluate import compute_run_reliability
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.evaluation.quality_shift import quality_shift
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest
from fototeca.vision.intervals import CONFIDENCE_LEVEL, design_effect

SEED = 1
"""Of the permutations of the shift tests."""


def explain_generalization_gap(
    workspace: Workspace, manifest: Manifest, val: SplitPredictions, test: SplitPredictions, rivals: Sequence[SplitPredictions]
) -> dict[str, Any]:
    """The difference of two accuracies (test minus validation) and what may account for it. Each shift has its p, and that of
    Holm's correction for all `shift_tests` of them.

    `rivals`: the validation results of every run that the choice of the best was made from, on the images of `val`.
    """
    sources = compute_category_shift([row.source for row in val.rows], [row.source for row in test.rows])
    quality = quality_shift(workspace, val.rows, test.rows)
    shifts = [sources, *quality.values()]
    for shift, corrected in zip(shifts, holm_correction([shift["p"] for shift in shifts]), strict=True):
        shift["p_holm"] = corrected
    return {
        "difference": float(test.correct.mean() - val.correct.mean()),
        "sampling": sampling_error(val, test),
        "selection": selection_effect(val, rivals),
        "class_mix": class_mix_effect(val, test),
        "groups_across_splits": count_groups_across_splits(manifest),
        "shift_tests": len(shifts),
        "sources": sources,
        "unseen_sources": count_unseen_sources(manifest, val, test),
        "quality": quality,
        "calibration": calibration_shift(val, test),
    }


def sampling_error(val: SplitPredictions, test: SplitPredictions) -> dict[str, Any]:
    """How large a difference chance alone makes: its standard error (groups counted), an interval, and a two-sided p."""
    variance = 0.0
    for results in (val, test):
        n = len(results) / design_effect(results.correct, results.groups)
        p = (float(results.correct.mean()) * n + 2) / (n + 4)  # Agresti and Caffo's correction, so that 100% has an error too
        variance += p * (1 - p) / (n + 4)
    difference, error = float(test.correct.mean() - val.correct.mean()), float(np.sqrt(variance))
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE_LEVEL / 2)
    return {
        "standard_error": error,
        "interval": [difference - z * error, difference + z * error],
        "p": 2 * (1 - NormalDist().cdf(abs(difference) / error)) if error else 1.0,
    }


def selection_effect(val: SplitPredictions, rivals: Sequence[SplitPredictions]) -> dict[str, Any]:
    """The optimism of having chosen the best of K on validation.

    Each resample chooses its own best of the K; how far that winner's accuracy lies above what it has on all of validation,
    on average, is what the choice alone adds (a bootstrap estimate, as in Tibshirani and Tibshirani 2009). To a run that is not
    the best it adds nothing.
    """
    weights = draw_resamples(val.groups).astype(np.float64)
    right = np.stack([align_predictions(results, val).correct for results in rivals], axis=1).astype(np.float64)
    drawn = weights @ right / weights.sum(axis=1, keepdims=True)
    winner = drawn.argmax(axis=1)
    rows = np.arange(len(drawn))
    accuracy, leader = right.mean(axis=0), int(right.mean(axis=0).argmax())
    noise = drawn[:, leader] - accuracy[leader]  # what the resamples themselves are off by, which no choice has made
    optimism = float((drawn[rows, winner] - accuracy[winner] - noise).mean())
    best = bool(val.correct.mean() >= accuracy.max())
    return {"candidates": len(rivals), "chosen": best, "optimism": optimism if best else 0.0}


def class_mix_effect(val: SplitPredictions, test: SplitPredictions) -> dict[str, Any]:
    """What the difference in shares of labels explains: validation's accuracy if its labels were as frequent as in test.

    A label is what an image carries, in a multi-label task all its categories together. Of test's images only those count whose
    label validation has; `unseen` is the share of the others, of which validation cannot tell.
    """
    accuracy = {label: float(val.correct[np.array(val.labels) == label].mean()) for label in set(val.labels)}
    expected = [accuracy[label] for label in test.labels if label in accuracy]
    counts = [Counter(results.labels) for results in (val, test)]
    apart = (abs(counts[0][label] / len(val) - counts[1][label] / len(test)) for label in {*val.labels, *test.labels})
    return {
        "effect": float(np.mean(expected) - val.correct.mean()) if expected else 0.0,
        "unseen": 1 - len(expected) / len(test),
        "distance": sum(apart) / 2,
    }


def count_groups_across_splits(manifest: Manifest) -> int | None:
    """Near-duplicate groups with images in more than one split: none, unless something went wrong; None: never looked for."""
    if manifest.threshold is None:
        return None
    splits: dict[str, set[str]] = {}
    for row in manifest.rows:
        if row.group:
            splits.setdefault(row.group, set()).add(row.split)
    return sum(len(found) > 1 for found in splits.values())


def compute_category_shift(before: Sequence[str], after: Sequence[str]) -> dict[str, Any]:
    """How far two mixes of names lie apart (total variation, 0 to 1), and how often chance parts them as far."""
    names = sorted({*before, *after})
    index = {name: number for number, name in enumerate(names)}
    codes = np.array([index[name] for name in (*before, *after)])
    cut = len(before)

    def distance(order: np.ndarray) -> float:
        left = np.bincount(order[:cut], minlength=len(names)) / cut
        right = np.bincount(order[cut:], minlength=len(names)) / (len(order) - cut)
        return float(np.abs(left - right).sum() / 2)

    observed, generator = distance(codes), np.random.default_rng(SEED)
    chance = [distance(generator.permutation(codes)) for _ in range(999)]
    p = (1 + sum(value >= observed - 1e-12 for value in chance)) / 1000
    return {"distance": observed, "p": p, "before": dict(Counter(before)), "after": dict(Counter(after))}


def count_unseen_sources(manifest: Manifest, val: SplitPredictions, test: SplitPredictions) -> dict[str, Any]:
    """The images of each split from sources that training has none of, and the share of test that is right there and elsewhere
    (None where there are none)."""
    known = {row.source for row in manifest.split("train")}
    strange = [np.array([row.source not in known for row in results.rows], dtype=np.bool_) for results in (val, test)]
    there, elsewhere = test.correct[strange[1]], test.correct[~strange[1]]
    return {
        "names": sorted({row.source for results in (val, test) for row in results.rows} - known),
        "val": int(strange[0].sum()),
        "test": int(strange[1].sum()),
        "test_accuracy": float(there.mean()) if len(there) else None,
        "test_accuracy_elsewhere": float(elsewhere.mean()) if len(elsewhere) else None,
    }


def calibration_shift(val: SplitPredictions, test: SplitPredictions) -> dict[str, float]:
    """Calibration error and mean confidence on both splits: a model less sure on test has met harder images."""
    errors = compute_run_reliability(val).error, compute_run_reliability(test).error
    return {
        "val_ece": errors[0],
        "test_ece": errors[1],
        "ece_difference": errors[1] - errors[0],
        "val_confidence": float(val.confidence.mean()),
        "test_confidence": float(test.confidence.mean()),
    }
