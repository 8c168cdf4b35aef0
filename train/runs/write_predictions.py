"""The files of predictions and thresholds that every finished run has, and the accuracies that follow from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from fototeca.core.files import write_text
from fototeca.curate.manifest import Manifest
from fototeca.train.runs.registry import Run, write_predictions_csv
from fototeca.train.training.data import encode_labels
from fototeca.train.training.losses import choose_thresholds
from fototeca.vision.feature_math import FloatArray
from fototeca.vision.intervals import accuracy_interval, group_index


def write_predictions(run: Run, manifest: Manifest, probabilities: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Write the predictions of train and val from probabilities (N, C); multi-label, first the thresholds chosen on validation.

    Returns the fields `<split>_images`, `<split>_accuracy` and `val_interval` of RunMetrics.
    """
    if manifest.task == "multi":
        truth = encode_labels(manifest.split("val"), manifest.categories, True).numpy() > 0.5
        thresholds = dict(zip(manifest.categories, map(float, choose_thresholds(probabilities["val"], truth)), strict=True))
        write_text(run.folder / "thresholds.json", json.dumps(thresholds, ensure_ascii=False, indent=2) + "\n")
    metrics: dict[str, Any] = {}
    for split, split_probabilities in probabilities.items():
        rows = manifest.split(split)
        labels = [row.label for row in rows]
        write_predictions_csv(run, split, [row.image_id for row in rows], labels, split_probabilities)
        predicted = run.predictions(split).predicted
        correct = np.array([label == name for label, name in zip(labels, predicted, strict=True)])
        metrics[f"{split}_images"] = len(rows)
        metrics[f"{split}_accuracy"] = float(np.mean(correct))
        if split == "val":
            metrics["val_interval"] = accuracy_interval(correct, group_index([row.group for row in rows]))
    return metrics
