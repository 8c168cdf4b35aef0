"""`evaluate`: metrics of a run on one split, with intervals. Every access to test is logged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from tqdm import tqdm

from fototeca.analysis.evaluation.calibration import fit_temperature, scale_probabilities
from fototeca.analysis.evaluation.metrics import (
    CONFUSION_CELLS,
    ClassScores,
    Reliability,
    average_precisions,
    binary_confusion_cells,
    binary_log_loss,
    brier_score,
    class_scores,
    compute_reliability,
    confusion_matrix,
    log_loss,
    macro_mean,
    row_fractions,
    top_k_accuracy,
)
from fototeca.analysis.evaluation.predictions import SplitPredictions, find_run, read_split_predictions
from fototeca.analysis.evaluation.results import (
    AveragePrecision,
    Calibration,
    CalibrationBin,
    ClassMetrics,
    Confusion,
    Evaluation,
    TtaGain,
)
from fototeca.analysis.evaluation.score_intervals import balanced_accuracy_interval, macro_f1_interval, recall_interval
from fototeca.analysis.evaluation.test_access_log import close_access, open_access, read_accesses
from fototeca.analysis.evaluation.tta import measure_tta_gain
from fototeca.analysis.images import read_stored_image
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow, image_path
from fototeca.train.runs import BATCH_SIZE, Run, load_model, load_run_manifest, write_predictions_csv
from fototeca.vision.intervals import accuracy_interval, design_effect, wilson_interval
from fototeca.vision.threads import image_threads

TOP_K = (1, 2, 3, 5)
"""Values of k for top-k accuracy, as far as there are more categories than k."""


def evaluate_run(workspace: Workspace, run_id: str, split: str, *, tta: bool = False) -> Evaluation:
    """Evaluate a run on `val` or `test`; with `tta` also with test-time augmentation.

    An access to test is logged before the model runs and again with its result; that of `tta` is one more, made
    only if it does not lower the accuracy on validation. The model runs on test
    once: a second evaluation reads the stored predictions. FototecaError, before the access, for anything that would invalidate
    the metrics: a changed manifest, missing images, an unfinished run.
    """
    run = find_run(workspace, run_id)
    manifest = load_run_manifest(workspace, run)
    val = read_split_predictions(workspace, run, "val", manifest)
    temperature = fit_run_temperature(val)
    if split == "val":
        evaluation = compute_metrics(val, temperature)
        return replace(evaluation, tta=_measure_tta_on_val(workspace, val)) if tta else evaluation
    if not manifest.split("test"):
        raise FototecaError(f"{manifest.version} has no test images", "freeze a version with more images")
    is_predicted = (run.folder / "predictions-test.csv").exists()
    paths = [] if is_predicted else _check_readable(workspace, manifest.split("test"))
    access = open_access(workspace, manifest.version, run.id, "evaluate")
    if not is_predicted:
        predict_test(workspace, run, manifest.split("test"), paths)
    results = read_split_predictions(workspace, run, split, manifest)
    evaluation = compute_metrics(results, temperature)
    close_access(workspace, access, len(results), evaluation.accuracy)
    if tta:
        gain = _measure_tta_on_val(workspace, val)
        if gain.used:
            access = open_access(workspace, manifest.version, run.id, "evaluate --tta")
            gain = replace(measure_tta_gain(workspace, results), used=True)
            close_access(workspace, access, len(results), gain.accuracy)
        evaluation = replace(evaluation, tta=gain)
    return replace(evaluation, test_accesses=len(read_accesses(workspace, manifest.version)))


def _measure_tta_on_val(workspace: Workspace, val: SplitPredictions) -> TtaGain:
    """Return the gain of test-time augmentation on validation; says so where it is a loss."""
    gain = measure_tta_gain(workspace, val)
    if not gain.used:
        message = f"test-time augmentation lowers the accuracy on validation by {-gain.gain:.1%}, so it is not used"
        notify(message + ("" if gain.views == 2 else "; if mirrored images are of another class, write mirror = false"))
    return gain


def _check_readable(workspace: Workspace, rows: Sequence[ManifestRow]) -> list[Path]:
    """Return the files of rows. FototecaError if one is missing or cannot be decoded."""
    with image_threads(os.cpu_count() or 1) as pool:
        checked = pool.map(lambda row: read_stored_image(workspace, row) and None, rows)
        list(tqdm(checked, desc="reading", total=len(rows), unit="img", disable=None))
    return [image_path(workspace, row) for row in rows]


def predict_test(workspace: Workspace, run: Run, rows: Sequence[ManifestRow], paths: Sequence[Path]) -> None:
    """Run the model on the test images and write `predictions-test.csv`; it never runs on them again."""
    model = load_model(workspace, run)
    parts = []
    with tqdm(total=len(rows), desc="test", unit="img", disable=None) as bar:
        for start in range(0, len(rows), BATCH_SIZE):
            parts.append(model.probabilities(paths[start : start + BATCH_SIZE]))
            bar.update(len(parts[-1]))
    write_predictions_csv(run, "test", [row.image_id for row in rows], [row.label for row in rows], np.concatenate(parts))


def access_predictions(
    workspace: Workspace, run: Run, split: str, purpose: str, manifest: Manifest | None = None
) -> SplitPredictions:
    """Return the predictions of a run on `val`, or those that `evaluate` stored on `test`, logged as an access of `purpose`.

    FototecaError if the run has not been evaluated on test.
    """
    manifest = manifest or load_run_manifest(workspace, run)
    if split == "val":
        return read_split_predictions(workspace, run, split, manifest)
    if not (run.folder / "predictions-test.csv").exists():
        raise FototecaError(
            f"run {run.id} has not been evaluated on test", f"run: fototeca analysis evaluate {quote(run.id)} --split test"
        )
    access = open_access(workspace, manifest.version, run.id, purpose)
    results = read_split_predictions(workspace, run, split, manifest)
    close_access(workspace, access, len(results), float(results.correct.mean()))
    return results


def fit_run_temperature(results: SplitPredictions) -> float | None:
    """Fit the temperature to predictions on validation.

    None if every prediction is correct (multi-label: every probability is on the right side of one half): each lower temperature
    would then fit better, and there is no minimum.
    """
    separated = ((results.probabilities > 0.5) == results.true) if results.multi else results.correct
    return None if separated.all() else fit_temperature(results.true, results.probabilities, results.multi)


def compute_metrics(results: SplitPredictions, temperature: float | None) -> Evaluation:
    """Compute all metrics of predictions; without a `temperature` the scaled calibration equals the plain one."""
    scores = class_scores(results.true, results.predicted)
    occurs = results.true.any(axis=0) | results.predicted.any(axis=0)
    intervals = {"macro_f1": macro_f1_interval(results.true, results.predicted, results.groups)}
    if results.multi:  # mean recall alone would ignore wrongly predicted labels
        intervals |= {f"average_precision_{name}": ends for name, ends in results.average_precision_intervals.items()}
    else:
        intervals["balanced_accuracy"] = balanced_accuracy_interval(results.true, results.predicted, results.groups)
    return Evaluation(
        run=results.run.id,
        split=results.split,
        n=len(results),
        accuracy=float(results.correct.mean()),
        accuracy_interval=accuracy_interval(results.correct, results.groups),
        wilson_interval=wilson_interval(float(results.correct.sum()), len(results)),
        design_effect=design_effect(results.correct, results.groups),
        macro_precision=macro_mean(scores.precision, occurs),
        macro_recall=macro_mean(scores.recall, occurs),
        macro_f1=macro_mean(scores.f1, occurs),
        intervals=intervals,
        absent=tuple(name for name, n in zip(results.categories, scores.n, strict=True) if n == 0),
        per_class=_class_metrics(results, scores),
        calibration=compute_calibration(results, temperature),
        **(_multi_label_metrics(results) if results.multi else _single_label_metrics(results, scores)),
    )


def _class_metrics(results: SplitPredictions, scores: ClassScores) -> dict[str, ClassMetrics]:
    return {
        name: ClassMetrics(
            precision=float(scores.precision[c]),
            recall=float(scores.recall[c]),
            recall_interval=recall_interval(results.true[:, c], results.predicted[:, c], results.groups),
            f1=float(scores.f1[c]),
            n=int(scores.n[c]),
        )
        for c, name in enumerate(results.categories)
    }


def _single_label_metrics(results: SplitPredictions, scores: ClassScores) -> dict[str, Any]:
    """Return the fields of `Evaluation` that only single-label tasks have."""
    matrix = confusion_matrix(results.true, results.predicted)
    size = len(results.categories)
    return {
        "balanced_accuracy": macro_mean(scores.recall, scores.n > 0),
        "log_loss": log_loss(results.true, results.probabilities),
        "brier": brier_score(results.true, results.probabilities),
        "top_k": {str(k): top_k_accuracy(results.true, results.probabilities, k) for k in TOP_K if k == 1 or k < size},
        "confusion": Confusion(
            categories=tuple(results.categories),
            counts=matrix.tolist(),
            fractions=np.round(row_fractions(matrix), 6).tolist(),
        ),
    }


def _multi_label_metrics(results: SplitPredictions) -> dict[str, Any]:
    """Return the fields of `Evaluation` that only multi-label tasks have."""
    each, mean, micro = average_precisions(results.true, results.probabilities)
    hits = int((results.true & results.predicted).sum())
    total = int(results.true.sum() + results.predicted.sum())
    cells = binary_confusion_cells(results.true, results.predicted)
    per_class = {name: None if np.isnan(value) else float(value) for name, value in zip(results.categories, each, strict=True)}
    return {
        "log_loss": binary_log_loss(results.true, results.probabilities),
        "micro_f1": 2 * hits / total if total else 0.0,
        "confusion_per_class": {
            name: dict(zip(CONFUSION_CELLS, counts, strict=True)) for name, counts in zip(results.categories, cells, strict=True)
        },
        "average_precision": AveragePrecision(mean, micro, per_class),
    }


def compute_run_reliability(results: SplitPredictions, temperature: float | None = None) -> Reliability:
    """Return the reliability diagram of predictions after temperature scaling.

    Single-label: the probability of the predicted category against accuracy. Multi-label: all N·C probabilities against how often
    the category applies, independent of the decision threshold.
    """
    scaled = scale_probabilities(results.probabilities, temperature or 1.0, results.multi)
    if results.multi:
        return compute_reliability(scaled.ravel(), results.true.ravel())
    return compute_reliability(scaled.max(axis=1), results.true[np.arange(len(scaled)), scaled.argmax(axis=1)])


def compute_calibration(results: SplitPredictions, temperature: float | None) -> Calibration:
    """Return calibration error and diagram before and after scaling; `temperature` is fitted on validation, or None."""
    before, after = compute_run_reliability(results), compute_run_reliability(results, temperature)
    return Calibration(
        temperature=temperature, ece=before.error, ece_scaled=after.error, bins=_bins(before), bins_scaled=_bins(after)
    )


def _bins(diagram: Reliability) -> tuple[CalibrationBin, ...]:
    return tuple(
        CalibrationBin(float(diagram.confidence[b]), float(diagram.accuracy[b]), int(diagram.count[b]))
        for b in np.flatnonzero(diagram.count)
    )
