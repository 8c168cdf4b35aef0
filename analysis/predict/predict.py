"""`predict`: classify new images with a run's own preprocessing, calibrated, with duplicate and out-of-distribution warnings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from tqdm import tqdm

from fototeca.analysis.attribution import check_method, network_of
from fototeca.analysis.attribution.check_results import CheckResults, read_method_results
from fototeca.analysis.attribution.explain import draw_maps
from fototeca.analysis.evaluation.calibration import NO_ERRORS, scale_probabilities
from fototeca.analysis.evaluation.evaluate import fit_run_temperature
from fototeca.analysis.evaluation.metrics import FloatArray
from fototeca.analysis.evaluation.predictions import check_finite, find_run, read_split_predictions
from fototeca.analysis.evaluation.test_access_log import PREDICT, TestAccess, close_access, open_access
from fototeca.analysis.features.ood import OODDetector, fit_ood_detector
from fototeca.analysis.file_names import read_file_names
from fototeca.analysis.predict.inputs import InputImage, is_url, list_images, open_images, read_ahead
from fototeca.analysis.predict.results import (
    NearDuplicate,
    Prediction,
    PredictionTable,
    StoredPredictions,
)
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.files import atomic_write
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates import KnownDuplicate, KnownImages, NewImage
from fototeca.curate.manifest import Manifest, ManifestRow
from fototeca.train.runs import LoadedModel, Run, decide_labels, load_model, load_run_manifest

MAX_THUMBNAILS = 48
"""Thumbnails stored for the report."""


def predict_paths(
    workspace: Workspace,
    run_id: str,
    paths: Sequence[str],
    *,
    csv_path: Path | None = None,
    methods: Sequence[str] = (),
    output: Path | None = None,
    allow_loopback: bool = False,
) -> list[Prediction]:
    """Classify files, folders (recursively) and http(s) URLs; see `stream_predictions`, which does not hold all predictions."""
    stream = stream_predictions(
        workspace, run_id, paths, csv_path=csv_path, methods=methods, output=output, allow_loopback=allow_loopback
    )
    return list(stream)


def stream_predictions(
    workspace: Workspace,
    run_id: str,
    paths: Sequence[str],
    *,
    csv_path: Path | None = None,
    methods: Sequence[str] = (),
    output: Path | None = None,
    allow_loopback: bool = False,
) -> Iterator[Prediction]:
    """Classify files, folders (recursively) and http(s) URLs one batch after another, and store the predictions for the report.

    The CSV and the stored predictions are complete when the last prediction has been taken. Probabilities are scaled by the
    temperature fitted on validation. An image that cannot be fetched or read has a `reason`. With attribution `methods`, the maps
    of each image are written to `output` as one PNG. Images of the test split and duplicates of them are logged as an access to
    test. FototecaError for a missing path, an unknown or unsuitable method, or a manifest changed since training.
    """
    for method in methods:
        check_method(method)
    run = find_run(workspace, run_id)
    names = list_images(paths, passed_over := PassedOver())
    for line in passed_over.text():
        notify(f"fototeca: passed over: {line}")
    predictor = Predictor.open(workspace, run, methods, output)
    batches = read_ahead(workspace, names, MAX_THUMBNAILS, allow_loopback=allow_loopback)
    stored = StoredPredictions(workspace, run)
    with atomic_write(csv_path) if csv_path else nullcontext() as file:
        table = PredictionTable(file, run.categories) if file else None
        for prediction, thumbnail in predictor.predict(batches, len(names)):
            stored.add(prediction, thumbnail)
            if table:
                table.add(prediction)
            yield prediction
        if table:
            table.finish()
    stored.write()


def predict_images(workspace: Workspace, run_id: str, images: Sequence[Image.Image | Path | str]) -> list[Prediction]:
    """Classify images in memory and image files, with the same calibration, warnings and test access log as `predict_paths`.

    Nothing is stored for the report. A file that cannot be read has a `reason`. FototecaError if the run is not finished or its
    manifest has changed since training.

    Example:
        >>> predict_images(Workspace.find(), "resnet18-finetune-v001-91c0aa", ["photo.jpg"])[0].label
        'pug'
    """
    predictor = Predictor.open(workspace, find_run(workspace, run_id), (), None)
    return [prediction for prediction, _ in predictor.predict(open_images(images), len(images))]


@dataclass
class Predictor:
    """A run with everything its predictions need; `folder` receives the maps, one PNG per image."""

    workspace: Workspace
    run: Run
    manifest: Manifest
    model: LoadedModel
    temperature: float | None
    uncalibrated: str | None
    detector: OODDetector | None
    methods: Sequence[str]
    folder: Path
    method_results: Mapping[str, CheckResults]
    num_written: int = 0

    @classmethod
    def open(cls, workspace: Workspace, run: Run, methods: Sequence[str], output: Path | None) -> Predictor:
        """Load the model, fit its temperature on validation and its detector on training images."""
        manifest = load_run_manifest(workspace, run)
        temperature, uncalibrated = _fit_temperature(workspace, run, manifest)
        model = load_model(workspace, run)
        if methods:
            network_of(model, methods[0])
        return cls(
            workspace=workspace,
            run=run,
            manifest=manifest,
            model=model,
            temperature=temperature,
            uncalibrated=uncalibrated,
            detector=fit_ood_detector(workspace, run, manifest),
            methods=methods,
            folder=output or workspace.reports / "predict" / run.id,
            method_results=read_method_results(workspace, run),
        )

    def predict(self, batches: Iterable[Sequence[InputImage]], total: int | None) -> Iterator[tuple[Prediction, str]]:
        """Predict batches of images in order; yield each prediction and the image's thumbnail.

        `total`: number of images of the progress bar; None shows no bar.

        An access to test is logged before the model sees one of its images, and for a duplicate of one before its prediction is
        returned.
        """
        test_ids = {row.image_id for row in self.manifest.split("test")}
        access: TestAccess | None = None
        num_test = 0
        known = KnownImages(self.workspace, self.manifest.rows)
        rows = {row.image_id: row for row in self.manifest.rows}
        file_names = read_file_names(self.workspace)
        with tqdm(total=total, desc="predict", unit="img", disable=True if total is None else None) as bar:
            for batch in batches:
                if access is None and any(item.digest in test_ids for item in batch):
                    access = open_access(self.workspace, self.run.manifest_version, self.run.id, PREDICT)
                predictions = self._predict_batch(batch)
                new = [NewImage(item.image, item.signature) if item.image and item.signature else None for item in batch]
                duplicates = known.find_duplicates(new)
                marked = [
                    _mark_duplicate(item, prediction, duplicate, rows, file_names)
                    for item, prediction, duplicate in zip(batch, predictions, duplicates, strict=True)
                ]
                num_test += sum(one.near_duplicate is not None and one.near_duplicate.split == "test" for one in marked)
                if num_test and access is None:
                    access = open_access(self.workspace, self.run.manifest_version, self.run.id, PREDICT)
                bar.update(len(batch))
                yield from ((prediction, item.thumbnail) for prediction, item in zip(marked, batch, strict=True))
        self._log_access(access, num_test)

    def _predict_batch(self, batch: Sequence[InputImage]) -> list[Prediction]:
        images = [item.image for item in batch if item.image]
        outputs = iter(self._compute_outputs(images) if images else [])
        return [
            self._build_prediction(item.name, item.image, next(outputs))
            if item.image
            else Prediction.failed(item.name, item.reason)
            for item in batch
        ]

    def _compute_outputs(self, images: list[Image.Image]) -> list[_Output]:
        probabilities, features = self.model.predict(images)
        check_finite(self.run, "new", probabilities)
        scores: list[float | None] = self.detector.scores(features).tolist() if self.detector else [None] * len(images)
        scaled = scale_probabilities(
            np.asarray(probabilities, dtype=np.float64), self.temperature or 1.0, self.run.task == "multi"
        )
        targets = [int(target) for target in probabilities.argmax(axis=1)]
        return [
            _Output(label, row, score, target)
            for label, row, score, target in zip(decide_labels(self.run, probabilities), scaled, scores, targets, strict=True)
        ]

    def _build_prediction(self, name: str, image: Image.Image, output: _Output) -> Prediction:
        threshold = self.detector.threshold if self.detector else None
        largest = float(output.probabilities.max())
        prediction = Prediction(
            path=name,
            label=output.label,
            probability=largest,
            probabilities=dict(zip(self.run.categories, map(float, output.probabilities), strict=True)),
            near_duplicate=None,
            unknown=output.ood_score is not None and threshold is not None and output.ood_score > threshold,
            ood_score=output.ood_score,
            unknown_threshold=threshold,
            false_alarm_rate=self.detector.false_alarm_rate if self.detector else None,
            calibrated=self.temperature is not None,
            uncalibrated=self.uncalibrated,
            reason=None,
        )
        if not self.methods:
            return prediction
        top = self.run.categories[int(output.probabilities.argmax())]
        caption = f"predicted {output.label or 'none'}{'' if top == output.label else f'; {top}'}, {largest:.0%}"
        return replace(prediction, maps=self._write_maps(name, image, output.target, caption))

    def _write_maps(self, name: str, image: Image.Image, target: int, caption: str) -> str:
        """Write one PNG, the preprocessed image and a map with its check badge per method; return its path."""
        tensor = self.model.preprocessing(image)
        drawn = draw_maps(self.model, tensor, target, self.methods, checked=True, method_results=self.method_results)
        self.num_written += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = Path(urlsplit(name).path if is_url(name) else name).stem[:60]
        path = self.folder / f"{self.num_written:04}-{stem}.png"  # names may repeat
        drawn.contact_sheet([path.stem[5:33], caption]).save(path)
        return str(path)

    def _log_access(self, access: TestAccess | None, count: int) -> None:
        """Log how many test images, duplicates included, were predicted.

        Their accuracy is not logged, since they are a selected few.
        """
        if access is None or not count:
            return
        version = self.run.manifest_version
        close_access(self.workspace, access, count, None)
        images = "1 image belongs" if count == 1 else f"{count} images belong"
        notify(f"fototeca: {images} to {version}'s test split; this access is logged in data/runs/test_access.csv")


def _mark_duplicate(
    item: InputImage,
    prediction: Prediction,
    duplicate: KnownDuplicate | None,
    rows: Mapping[str, ManifestRow],
    file_names: Mapping[str, str],
) -> Prediction:
    """Set `near_duplicate`. A file of the dataset itself is found by its digest, even if the stored file is lost."""
    image_id, distance = (duplicate.image_id, duplicate.distance) if duplicate else ("", 0)
    if item.digest in rows:
        image_id, distance = item.digest, 0
    if not image_id:
        return prediction
    split = rows[image_id].split
    near = NearDuplicate(image_id, split, distance, file_names.get(image_id, ""))
    # A duplicate of a training image is known, however isolated that image is.
    return replace(prediction, near_duplicate=near, unknown=prediction.unknown and split != "train")


@dataclass(frozen=True)
class _Output:
    """Model output for one image: label, calibrated probabilities (C,), OOD score, and the index of the top category."""

    label: str
    probabilities: FloatArray
    ood_score: float | None
    target: int


def _fit_temperature(workspace: Workspace, run: Run, manifest: Manifest) -> tuple[float | None, str | None]:
    """Return the temperature, or None and the reason; lost validation predictions do not prevent predicting."""
    try:
        temperature = fit_run_temperature(read_split_predictions(workspace, run, "val", manifest))
    except FototecaError as error:
        return None, error.message
    return temperature, NO_ERRORS if temperature is None else None
