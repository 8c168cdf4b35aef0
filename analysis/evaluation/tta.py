"""Test-time augmentation: the mean of the probabilities over views of one image, with what it gains and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from fototeca.analysis.evaluation.compare import mcnemar_test, paired_difference
from fototeca.analysis.evaluation.metrics import FloatArray
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.images import read_stored_image
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow
from fototeca.train.runs import LoadedModel, load_model

ZOOM = 0.85
"""The zoomed views show this share of each side."""

BATCH = 32
"""Images decoded at once, at most."""

PIXELS = 25_000_000
"""Pixels of them, which the views make four times as many: 0.3 GB."""


def tta_views(image: Image.Image) -> list[Image.Image]:
    """The image, its mirror image, and both zoomed in on the centre."""
    width, height = image.size
    dx, dy = round(width * (1 - ZOOM) / 2), round(height * (1 - ZOOM) / 2)
    zoomed = image.crop((dx, dy, width - dx, height - dy))
    return [image, ImageOps.mirror(image), zoomed, ImageOps.mirror(zoomed)]


def tta_probabilities(model: LoadedModel, images: list[Image.Image]) -> FloatArray:
    """(N, C): the mean over the views of each image."""
    sides = [tta_views(image) for image in images]
    said = np.asarray(model.probabilities([view for side in sides for view in side]), dtype=np.float64)
    return np.asarray(said.reshape(len(images), len(sides[0]), -1).mean(axis=1))


def batch_rows(rows: Sequence[ManifestRow]) -> Iterator[Sequence[ManifestRow]]:
    """The rows in order, as many at once as may be decoded together."""
    start, pixels = 0, 0
    for place, row in enumerate(rows):
        size = row.width * row.height
        if place > start and (place - start == BATCH or pixels + size > PIXELS):
            yield rows[start:place]
            start, pixels = place, 0
        pixels += size
    yield rows[start:]


def measure_tta_gain(workspace: Workspace, results: SplitPredictions) -> dict[str, Any]:
    """Accuracy with the views beside that without: difference, its interval, the exact McNemar p, and the seconds of both."""
    model = load_model(workspace, results.run)
    parts, started = [], time.perf_counter()
    with tqdm(total=len(results), desc="views", unit="img", disable=None) as bar:
        for rows in batch_rows(results.rows):
            parts.append(tta_probabilities(model, [read_stored_image(workspace, row) for row in rows]))
            bar.update(len(rows))
    seconds = time.perf_counter() - started
    augmented = results.with_probabilities(np.concatenate(parts))
    difference = paired_difference(augmented.correct, results.correct, results.groups)
    return {
        "views": len(tta_views(Image.new("RGB", (8, 8)))),
        "accuracy": float(augmented.correct.mean()),
        "gain": difference["difference"],
        "gain_interval": difference["interval"],
        "p": mcnemar_test(augmented.correct, results.correct, results.groups)["p"],
        "seconds_per_image": seconds / len(results),
        "seconds_per_image_alone": measure_seconds_per_image(workspace, model, results),
    }


def measure_seconds_per_image(workspace: Workspace, model: LoadedModel, results: SplitPredictions) -> float:
    """How long a model takes to read an image and to answer, over at most a batch of images and after a first one."""
    rows = next(batch_rows(results.rows))
    model.probabilities([read_stored_image(workspace, rows[0])])
    started = time.perf_counter()
    model.probabilities([read_stored_image(workspace, row) for row in rows])
    return (time.perf_counter() - started) / len(rows)
