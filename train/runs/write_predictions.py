"""What every finished run writes of what it says: thresholds, predictions, and how often they are right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from fototeca.core.files import write_text
from fototeca.curate.manifest import Manifest
from fototeca.train.runs.registry import FloatArray, Run, write_predictions_csv
from fototeca.train.training.data import encode_labels
from fototeca.train.training.losses import choose_thresholds
from fototeca.vision.intervals import accuracy_interval, group_index


def write_predictions(run: Run, manifest: Manifest, said: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Write what a run says, probabilities (N, C) of train and val; multi-label, first the thresholds chosen on validation.

    Returns `<split>_images` and `<split>_accuracy`, and `val_interval`, in which a near-duplicate counts for less than one image:
    part of `done.json`.
    """
    if manifest.task == "multi":
        wanted = encode_labels(manifest.split("val"), manifest.categories, True).numpy() > 0.5
        found = dict(zip(manifest.categories, map(float, choose_thresholds(said["val"], wanted)), strict=True))
        write_text(run.folder / "thresholds.json", json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    facts: dict[str, Any] = {}
    for split, probabilities in said.items():
        rows = manifest.split(split)
        labels = [row.label for row in rows]
        write_predictions_csv(run, split, [row.image_id for row in rows], labels, probabilities)
        predicted = run.predictions(split).predicted
        facts[f"{split}_images"] = len(rows)
        right = np.array([label == name for label, name in zip(labels, predicted, strict=True)])
        facts[f"{split}_accuracy"] = float(np.mean(right))
        if split == "val":
            facts["val_interval"] = list(accuracy_interval(right, group_index([row.group for row in rows])))
    return facts
