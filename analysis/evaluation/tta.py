"""Test-time augmentation: mean probabilities over several views of an image, with gain and cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from fototeca.analysis.evaluation.compare import mcnemar_test, paired_difference
from fototeca.analysis.evaluation.metrics import FloatArray
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.evaluation.results import TtaGain
from fototeca.analysis.images import read_stored_image
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow
from fototeca.train.runs import LoadedModel, load_model

ZOOM = 0.85
"""Share of each side that the zoomed views show."""

MAX_BATCH_SIZE = 32
"""Images decoded at once, at most."""

MAX_BATCH_PIXELS = 25_000_000
"""Pixels decoded at once; four views of them take 0.3 GB."""


def tta_views(image: Image.Image, *, mirror: bool = True) -> list[Image.Image]:
    """Return four views: the image, its mirror image, and both zoomed in on the center; without `mirror` the two upright ones."""
    width, height = image.size
    dx, dy = round(width * (1 - ZOOM) / 2), round(height * (1 - ZOOM) / 2)
    zoomed = image.crop((dx, dy, width - dx, height - dy))
    if not mirror:
        return [image, zoomed]
    return [image, ImageOps.mirror(image), zoomed, ImageOps.mirror(zoomed)]


def tta_probabilities(model: LoadedModel, images: list[Image.Image]) -> FloatArray:
    """Return (N, C) mean probabilities over the views of each image."""
    views = [tta_views(image, mirror=model.mirror) for image in images]
    probabilities = model.probabilities([view for views_of_image in views for view in views_of_image])
    return np.asarray(np.asarray(probabilities, dtype=np.float64).reshape(len(images), len(views[0]), -1).mean(axis=1))


def batch_rows(rows: Sequence[ManifestRow]) -> Iterator[Sequence[ManifestRow]]:
    """Yield the rows in order, in batches of at most MAX_BATCH_SIZE images and MAX_BATCH_PIXELS pixels."""
    start, pixels = 0, 0
    for index, row in enumerate(rows):
        size = row.width * row.height
        if index > start and (index - start == MAX_BATCH_SIZE or pixels + size > MAX_BATCH_PIXELS):
            yield rows[start:index]
            start, pixels = index, 0
        pixels += size
    yield rows[start:]


def measure_tta_gain(workspace: Workspace, results: SplitPredictions) -> TtaGain:
    """Predict again with test-time augmentation and compare with `results`: accuracy, paired test, and seconds of both.

    It is to be used unless it lowers the accuracy of `results`, which should be on validation.
    """
    model = load_model(workspace, results.run)
    parts, started = [], time.perf_counter()
    with tqdm(total=len(results), desc="views", unit="img", disable=None) as bar:
        for rows in batch_rows(results.rows):
            parts.append(tta_probabilities(model, [read_stored_image(workspace, row) for row in rows]))
            bar.update(len(rows))
    seconds = time.perf_counter() - started
    augmented = results.with_probabilities(np.concatenate(parts))
    gain = paired_difference(augmented.correct, results.correct, results.groups)
    return TtaGain(
        used=gain.difference >= 0,
        views=len(tta_views(Image.new("RGB", (8, 8)), mirror=model.mirror)),
        accuracy=float(augmented.correct.mean()),
        gain=gain.difference,
        gain_interval=gain.interval,
        p=mcnemar_test(augmented.correct, results.correct, results.groups).p,
        seconds_per_image=seconds / len(results),
        seconds_per_image_alone=measure_seconds_per_image(workspace, model, results),
    )


def measure_seconds_per_image(workspace: Workspace, model: LoadedModel, results: SplitPredictions) -> float:
    """Return the mean seconds to read and predict an image, over at most one batch, after a warm-up image."""
    rows = next(batch_rows(results.rows))
    model.probabilities([read_stored_image(workspace, rows[0])])
    started = time.perf_counter()
    model.probabilities([read_stored_image(workspace, row) for row in rows])
    return (time.perf_counter() - started) / len(rows)
