"""What a run said about one split, joined with the manifest's rows: the input of every figure and table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fototeca.analysis.evaluation.bootstrap import bootstrap_average_precision
from fototeca.analysis.evaluation.metrics import BoolArray, FloatArray, IntArray, exact_matches, indicator_matrix
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow
from fototeca.train.runs import Predictions, Run, check_members, check_trained_on, decide_labels, load_run_manifest, read_run
from fototeca.vision.intervals import group_index


@dataclass(frozen=True)
class SplitPredictions:
    """One run on one split; every sequence is in the order of `rows`, N images and C categories."""

    run: Run
    split: str
    categories: tuple[str, ...]
    multi: bool
    rows: tuple[ManifestRow, ...]
    labels: tuple[str, ...]
    """What is true, as the run's predictions file says it."""
    predicted_labels: tuple[str, ...]
    """What the run said."""
    probabilities: FloatArray
    """(N, C)."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def true(self) -> BoolArray:
        """(N, C)."""
        return indicator_matrix(self.labels, self.categories)

    @cached_property
    def predicted(self) -> BoolArray:
        """(N, C)."""
        return indicator_matrix(self.predicted_labels, self.categories)

    @cached_property
    def correct(self) -> BoolArray:
        """(N,)."""
        return exact_matches(self.true, self.predicted)

    @cached_property
    def groups(self) -> IntArray:
        """(N,) the number of each image's near-duplicate group."""
        return group_index([row.group for row in self.rows])

    @cached_property
    def confidence(self) -> FloatArray:
        """(N,) the probability of what was said; multi-label: of the least sure of the categories' yes and no."""
        if self.multi:
            return np.asarray(np.where(self.predicted, self.probabilities, 1 - self.probabilities).min(axis=1))
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def average_precision_intervals(self) -> dict[str, tuple[float, float]]:
        """Those of `bootstrap_average_precision`, which take seconds where there are many images and categories."""
        return bootstrap_average_precision(self.true, self.probabilities, self.groups)

    def stored(self, workspace: Workspace) -> SplitPredictions:
        """The images whose files are there. FototecaError when none is."""
        there = [index for index, row in enumerate(self.rows) if (workspace.root / row.path).is_file()]
        if not there:
            raise FototecaError(f"none of the {len(self)} {self.split} images is in the store", "restore data/images")
        return self if len(there) == len(self) else self.take(there)

    def take(self, places: Sequence[int]) -> SplitPredictions:
        """The images at some places, in that order."""
        return replace(
            self,
            rows=tuple(self.rows[index] for index in places),
            labels=tuple(self.labels[index] for index in places),
            predicted_labels=tuple(self.predicted_labels[index] for index in places),
            probabilities=self.probabilities[list(places)],
        )

    def with_probabilities(self, probabilities: FloatArray) -> SplitPredictions:
        """The same images, judged by other probabilities. FototecaError when they are no numbers."""
        check_finite(self.run, self.split, probabilities)
        return replace(self, probabilities=probabilities, predicted_labels=tuple(decide_labels(self.run, probabilities)))


def read_split_predictions(workspace: Workspace, run: Run, split: str, manifest: Manifest | None = None) -> SplitPredictions:
    """A run's predictions on a split. FototecaError when there are none, they do not fit the manifest, or a member of an ensemble
    was trained again since."""
    check_members(workspace, run)
    manifest = manifest or load_run_manifest(workspace, run)
    return join_split_predictions(run, split, manifest, run.predictions(split))


def join_split_predictions(run: Run, split: str, manifest: Manifest, said: Predictions) -> SplitPredictions:
    """Predictions joined with their rows; FototecaError when they are not of exactly this split, or are no numbers."""
    by_id = {row.image_id: row for row in manifest.split(split)}
    _check_images(run, split, manifest, said, by_id)
    probabilities = np.asarray(said.probabilities, dtype=np.float64)
    check_finite(run, split, probabilities)
    return SplitPredictions(
        run=run,
        split=split,
        categories=tuple(run.categories),
        multi=run.task == "multi",
        rows=tuple(by_id[image_id] for image_id in said.image_ids),
        labels=tuple(said.labels),
        predicted_labels=tuple(said.predicted),
        probabilities=probabilities,
    )


def check_finite(run: Run, split: str, values: npt.NDArray[np.floating[Any]]) -> None:
    """FototecaError where a model answers (N, …) with what is no number."""
    if not np.isfinite(values).all():
        broken = int((~np.isfinite(values)).any(axis=1).sum())
        raise FototecaError(
            f"run {run.id}: {broken} of {len(values)} {split} predictions are not numbers (the model diverged)",
            "train it again with a lower --lr",
        )


def _check_images(run: Run, split: str, manifest: Manifest, said: Predictions, by_id: dict[str, ManifestRow]) -> None:
    """FototecaError unless the run learned from this very manifest, and says something of every image of the split, once."""
    check_trained_on(run, manifest)
    if not by_id:
        raise FototecaError(f"{manifest.version} has no {split} images", "freeze a version with more images")
    again = "delete the run's folder and train it again" if split != "test" else f"delete {run.id}/predictions-test.csv"
    strange = [image_id for image_id in said.image_ids if image_id not in by_id]
    if strange:
        raise FototecaError(f"run {run.id}: {len(strange)} {split} predictions are of images that are not in it", again)
    if sorted(said.image_ids) != sorted(by_id):
        n, wanted = len(set(said.image_ids)), len(by_id)
        what = f"are of {n} of {wanted} images" if n < wanted else "name an image twice"
        raise FototecaError(f"run {run.id}: its {split} predictions {what}", again)
    if any(label != by_id[image_id].label for image_id, label in zip(said.image_ids, said.labels, strict=True)):
        raise FototecaError(f"run {run.id}: its {split} predictions have other labels than {manifest.version}", again)


def find_run(workspace: Workspace, run_id: str) -> Run:
    """A finished run. FototecaError when there is none of that id, or it is not finished."""
    run = read_run(workspace, run_id)
    if not run.done:
        raise FototecaError(f"run {run.id} is not finished", "give its train command again: it goes on where it stopped")
    return run
