"""Predictions of a run on one split, joined with the manifest's rows: the input of every metric, figure and table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fototeca.analysis.evaluation.metrics import BoolArray, FloatArray, IntArray, exact_matches, indicator_matrix
from fototeca.analysis.evaluation.score_intervals import average_precision_intervals
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow
from fototeca.train.runs import Predictions, Run, check_members, check_trained_on, decide_labels, load_run_manifest, read_run
from fototeca.vision.intervals import group_index


@dataclass(frozen=True)
class SplitPredictions:
    """Predictions of one run on one split, for N images and C categories; all sequences are in the order of `rows`."""

    run: Run
    split: str
    categories: tuple[str, ...]
    multi: bool
    rows: tuple[ManifestRow, ...]
    labels: tuple[str, ...]
    """True labels, from the run's predictions file."""
    predicted_labels: tuple[str, ...]
    """Labels that the run predicts; several categories are joined by `|`, and none is an empty string."""
    probabilities: FloatArray
    """(N, C)."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def true(self) -> BoolArray:
        """Indicator matrix (N, C) of the true labels."""
        return indicator_matrix(self.labels, self.categories)

    @cached_property
    def predicted(self) -> BoolArray:
        """Indicator matrix (N, C) of the predicted labels."""
        return indicator_matrix(self.predicted_labels, self.categories)

    @cached_property
    def correct(self) -> BoolArray:
        """(N,) True where the predicted label is exactly the true one."""
        return exact_matches(self.true, self.predicted)

    @cached_property
    def groups(self) -> IntArray:
        """(N,) duplicate group index of each image."""
        return group_index([row.group for row in self.rows])

    @cached_property
    def confidence(self) -> FloatArray:
        """(N,) probability of the predicted label; multi-label: of the least certain of the binary decisions."""
        if self.multi:
            return np.asarray(np.where(self.predicted, self.probabilities, 1 - self.probabilities).min(axis=1))
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def average_precision_intervals(self) -> dict[str, tuple[float, float]]:
        """Intervals of macro and micro average precision, cached: they take seconds with many images and categories."""
        return average_precision_intervals(self.true, self.probabilities, self.groups)

    def stored(self, workspace: Workspace) -> SplitPredictions:
        """Return the predictions for images whose files exist. FototecaError if there are none."""
        present = [index for index, row in enumerate(self.rows) if (workspace.root / row.path).is_file()]
        if not present:
            raise FototecaError(f"none of the {len(self)} {self.split} images is in the store", "restore data/images")
        return self if len(present) == len(self) else self.take(present)

    def take(self, indices: Sequence[int]) -> SplitPredictions:
        """Return the predictions at the indices, in their order."""
        return replace(
            self,
            rows=tuple(self.rows[index] for index in indices),
            labels=tuple(self.labels[index] for index in indices),
            predicted_labels=tuple(self.predicted_labels[index] for index in indices),
            probabilities=self.probabilities[list(indices)],
        )

    def with_probabilities(self, probabilities: FloatArray) -> SplitPredictions:
        """Return the same images with other probabilities (N, C). FototecaError if some are not finite."""
        check_finite(self.run, self.split, probabilities)
        return replace(self, probabilities=probabilities, predicted_labels=tuple(decide_labels(self.run, probabilities)))


def read_split_predictions(workspace: Workspace, run: Run, split: str, manifest: Manifest | None = None) -> SplitPredictions:
    """Read a run's predictions on a split.

    FototecaError if there are none, they do not match the manifest, or a member of the ensemble has been trained again since.
    """
    check_members(workspace, run)
    manifest = manifest or load_run_manifest(workspace, run)
    return join_split_predictions(run, split, manifest, run.predictions(split))


def join_split_predictions(run: Run, split: str, manifest: Manifest, predictions: Predictions) -> SplitPredictions:
    """Join predictions with their manifest rows. FototecaError if they do not cover exactly this split or are not finite."""
    by_id = {row.image_id: row for row in manifest.split(split)}
    _check_images(run, split, manifest, predictions, by_id)
    probabilities = np.asarray(predictions.probabilities, dtype=np.float64)
    check_finite(run, split, probabilities)
    return SplitPredictions(
        run=run,
        split=split,
        categories=tuple(run.categories),
        multi=run.task == "multi",
        rows=tuple(by_id[image_id] for image_id in predictions.image_ids),
        labels=tuple(predictions.labels),
        predicted_labels=tuple(predictions.predicted),
        probabilities=probabilities,
    )


def check_finite(run: Run, split: str, values: npt.NDArray[np.floating[Any]]) -> None:
    """FototecaError if outputs (N, …) of a model are not all finite."""
    if not np.isfinite(values).all():
        broken = int((~np.isfinite(values)).any(axis=1).sum())
        raise FototecaError(
            f"run {run.id}: {broken} of {len(values)} {split} predictions are not numbers (the model diverged)",
            "train it again with a lower --lr",
        )


def _check_images(run: Run, split: str, manifest: Manifest, predictions: Predictions, by_id: dict[str, ManifestRow]) -> None:
    """FototecaError unless the run was trained on this manifest and has one prediction per image of the split."""
    check_trained_on(run, manifest)
    if not by_id:
        raise FototecaError(f"{manifest.version} has no {split} images", "freeze a version with more images")
    hint = "delete the run's folder and train it again" if split != "test" else f"delete {run.id}/predictions-test.csv"
    unknown = [image_id for image_id in predictions.image_ids if image_id not in by_id]
    if unknown:
        raise FototecaError(f"run {run.id}: {len(unknown)} {split} predictions are of images that are not in it", hint)
    if sorted(predictions.image_ids) != sorted(by_id):
        n, wanted = len(predictions.image_ids), len(by_id)
        raise FototecaError(f"run {run.id}: its {split} predictions are of {n} of {wanted} images", hint)
    if any(label != by_id[image_id].label for image_id, label in zip(predictions.image_ids, predictions.labels, strict=True)):
        raise FototecaError(f"run {run.id}: its {split} predictions have other labels than {manifest.version}", hint)


def find_run(workspace: Workspace, run_id: str) -> Run:
    """Return a finished run. FototecaError if there is no run of that id or it is not finished."""
    run = read_run(workspace, run_id)
    if not run.done:
        raise FototecaError(f"run {run.id} is not finished", "run its train command again to resume it")
    return run
