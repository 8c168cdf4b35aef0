"""`evaluate`: every figure of a run on one split, with how sure it is. Test is looked at once; every look is written down."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fototeca.analysis.evaluation.bootstrap import bootstrap_macro
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
from fototeca.analysis.evaluation.test_access_log import close_access, open_access, read_accesses
from fototeca.analysis.evaluation.tta import measure_tta_gain
from fototeca.analysis.images import read_stored_image
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow, image_path
from fototeca.train.runs import BATCH_SIZE, Run, load_model, load_run_manifest, write_predictions_csv
from fototeca.vision.intervals import accuracy_interval, design_effect, wilson_interval
from fototeca.vision.threads import image_threads

TOP_K = (1, 2, 3, 5)
"""For which k top-k accuracy is given, as far as there are more categories than k."""


def evaluate_run(workspace: Workspace, run_id: str, split: str, *, tta: bool = False) -> dict[str, Any]:
    """The figures of a run on `val` or `test`. With `tta` also those of test-time augmentation, under `"tta"`.

    A look at test is written to the ledger before the model is asked, and again with what came out; that of `tta` is one more. A
    second look at the same run gives the stored result again. What would make the figures void is refused before the look.
    """
    run = find_run(workspace, run_id)
    manifest = load_run_manifest(workspace, run)
    val = read_split_predictions(workspace, run, "val", manifest)
    temperature = fit_run_temperature(val)
    if split == "val":
        return {**compute_metrics(val, temperature), **({"tta": measure_tta_gain(workspace, val)} if tta else {})}
    if not manifest.split("test"):
        raise FototecaError(f"{manifest.version} has no test images", "freeze a version with more images")
    asked = (run.folder / "predictions-test.csv").exists()
    paths = [] if asked else _readable(workspace, manifest.split("test"))
    look = open_access(workspace, manifest.version, run.id, "evaluate")
    if not asked:
        predict_test(workspace, run, manifest.split("test"), paths)
    results = read_split_predictions(workspace, run, split, manifest)
    facts = compute_metrics(results, temperature)
    close_access(workspace, look, len(results), facts["accuracy"])
    if tta:
        look = open_access(workspace, manifest.version, run.id, "evaluate --tta")
        facts["tta"] = measure_tta_gain(workspace, results)
        close_access(workspace, look, len(results), facts["tta"]["accuracy"])
    facts["looks"] = len(read_accesses(workspace, manifest.version))
    return facts


def _readable(workspace: Workspace, rows: Sequence[ManifestRow]) -> list[Path]:
    """The files of rows. FototecaError when one is gone or cannot be decoded."""
    with image_threads(os.cpu_count() or 1) as pool:
        checked = pool.map(lambda row: read_stored_image(workspace, row) and None, rows)
        list(tqdm(checked, desc="reading", total=len(rows), unit="img", disable=None))
    return [image_path(workspace, row) for row in rows]


def predict_test(workspace: Workspace, run: Run, rows: Sequence[ManifestRow], paths: Sequence[Path]) -> None:
    """Write `predictions-test.csv`: the model runs on the test images once and never again."""
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
    """What a run said on `val`, or on `test` when `evaluate` asked it; the second is a look of the command `purpose`.

    FototecaError when it was not looked at on test yet.
    """
    manifest = manifest or load_run_manifest(workspace, run)
    if split == "val":
        return read_split_predictions(workspace, run, split, manifest)
    if not (run.folder / "predictions-test.csv").exists():
        raise FototecaError(f"run {run.id} was not looked at on test", f"run: fototeca analysis evaluate {run.id} --split test")
    look = open_access(workspace, manifest.version, run.id, purpose)
    results = read_split_predictions(workspace, run, split, manifest)
    close_access(workspace, look, len(results), float(results.correct.mean()))
    return results


def fit_run_temperature(results: SplitPredictions) -> float | None:
    """The temperature that the results, of validation, ask for.

    None when every logit there is on its side, which for several labels is that of one half: every temperature below 1 then fits
    better than the one before, so that there is nothing to learn how sure is too sure from.
    """
    apart = ((results.probabilities > 0.5) == results.true) if results.multi else results.correct
    return None if apart.all() else fit_temperature(results.true, results.probabilities, results.multi)


def compute_metrics(results: SplitPredictions, temperature: float | None) -> dict[str, Any]:
    """Every figure as plain JSON values; without a `temperature` those after calibration are those before."""
    scores = class_scores(results.true, results.predicted)
    present, seen = scores.n > 0, results.true.any(axis=0) | results.predicted.any(axis=0)
    right = results.correct
    intervals = bootstrap_macro(results.true, results.predicted, results.groups)
    if results.multi:  # a mean recall alone would not count what was said and is not there
        del intervals["balanced_accuracy"]
        intervals |= {f"average_precision_{name}": ends for name, ends in results.average_precision_intervals.items()}
    facts: dict[str, Any] = {
        "run": results.run.id,
        "split": results.split,
        "n": len(results),
        "accuracy": float(right.mean()),
        "accuracy_interval": list(accuracy_interval(right, results.groups)),
        "wilson_interval": list(wilson_interval(float(right.sum()), len(right))),
        "design_effect": design_effect(right, results.groups),
        "macro_precision": macro_mean(scores.precision, seen),
        "macro_recall": macro_mean(scores.recall, seen),
        "macro_f1": macro_mean(scores.f1, seen),
        "bootstrap": {name: list(ends) for name, ends in intervals.items()},
        "absent": [name for name, there in zip(results.categories, present, strict=True) if not there],
        "per_class": {
            name: {
                "precision": float(scores.precision[c]),
                "recall": float(scores.recall[c]),
                "recall_interval": list(recall_interval(results, c)),
                "f1": float(scores.f1[c]),
                "n": int(scores.n[c]),
            }
            for c, name in enumerate(results.categories)
        },
        "calibration": compute_calibration(results, temperature),
    }
    facts.update(_multi_figures(results) if results.multi else _single_figures(results, scores))
    return facts


def _single_figures(results: SplitPredictions, scores: ClassScores) -> dict[str, Any]:
    matrix = confusion_matrix(results.true, results.predicted)
    size = len(results.categories)
    return {
        "balanced_accuracy": macro_mean(scores.recall, scores.n > 0),
        "log_loss": log_loss(results.true, results.probabilities),
        "brier": brier_score(results.true, results.probabilities),
        "top_k": {str(k): top_k_accuracy(results.true, results.probabilities, k) for k in TOP_K if k == 1 or k < size},
        "confusion": {
            "categories": list(results.categories),
            "counts": matrix.tolist(),
            "fractions": np.round(row_fractions(matrix), 6).tolist(),
        },
    }


def _multi_figures(results: SplitPredictions) -> dict[str, Any]:
    each, mean, micro = average_precisions(results.true, results.probabilities)
    hits = int((results.true & results.predicted).sum())
    total = int(results.true.sum() + results.predicted.sum())
    return {
        "log_loss": binary_log_loss(results.true, results.probabilities),
        "micro_f1": 2 * hits / total if total else 0.0,
        "confusion_per_class": {
            name: dict(zip(CONFUSION_CELLS, cells, strict=True))
            for name, cells in zip(results.categories, binary_confusion_cells(results.true, results.predicted), strict=True)
        },
        "average_precision": {
            "macro": mean,
            "micro": micro,
            "per_class": {name: None if np.isnan(each[c]) else float(each[c]) for c, name in enumerate(results.categories)},
        },
    }


def recall_interval(results: SplitPredictions, c: int) -> tuple[float, float]:
    """The interval of the recall of category number `c`; near-duplicates count for less than one image each."""
    there = np.flatnonzero(results.true[:, c])
    return accuracy_interval(results.predicted[there, c], np.unique(results.groups[there], return_inverse=True)[1])


def compute_run_reliability(results: SplitPredictions, temperature: float | None = None) -> Reliability:
    """The reliability of what was said, after scaling. Multi-label: of every category's probability (N·C of them), against how
    often it is there, whichever threshold makes it a yes."""
    scaled = scale_probabilities(results.probabilities, temperature or 1.0, results.multi)
    if results.multi:
        return compute_reliability(scaled.ravel(), results.true.ravel())
    return compute_reliability(scaled.max(axis=1), results.true[np.arange(len(scaled)), scaled.argmax(axis=1)])


def compute_calibration(results: SplitPredictions, temperature: float | None) -> dict[str, Any]:
    """Expected calibration error before and after the temperature fitted on validation (None: there is none), both diagrams."""
    before, after = compute_run_reliability(results), compute_run_reliability(results, temperature)
    return {
        "temperature": temperature,
        "ece": before.error,
        "ece_scaled": after.error,
        "bins": _bins(before),
        "bins_scaled": _bins(after),
    }


def _bins(diagram: Reliability) -> list[dict[str, float]]:
    return [
        {"confidence": float(diagram.confidence[b]), "accuracy": float(diagram.accuracy[b]), "n": int(diagram.count[b])}
        for b in np.flatnonzero(diagram.count)
    ]
