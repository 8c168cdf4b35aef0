"""Predictions as typed results, as CSV, and as stored for the report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fototeca.analysis.cache import DATA_URI
from fototeca.analysis.evaluation.results import SparseResult
from fototeca.core.files import write_text
from fototeca.core.kinds import FILE_NAME, IMAGE_ID, SPLIT, Flag, Integer, ListOf, MapOf, Number, Optional, Record, Text
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.train.runs import Run

PREDICTION_COLUMNS = (
    "path",
    "label",
    "probability",
    "near_duplicate",
    "near_duplicate_split",
    "unknown",
    "ood_score",
    "unknown_threshold",
    "false_alarm_rate",
    "calibrated",
    "uncalibrated",
    "reason",
)
"""Columns of the CSV, before one `p:CATEGORY` with the probability of each category."""


@dataclass(frozen=True)
class NearDuplicate(Result):
    """The image of the dataset that a new image is a duplicate of; `distance` 0 means the same bytes or pixels."""

    image_id: str
    split: str
    distance: int
    file_name: str = ""
    """Original name of the dataset's image."""


@dataclass(frozen=True)
class Prediction(SparseResult):
    """Prediction of one image; an image that could not be read has a `reason`, no probabilities and None elsewhere."""

    path: str
    """File or URL as given; `image N` for an image in memory."""
    label: str | None
    """The most probable category; multi-label: those that reach their threshold, joined by `|`."""
    probability: float | None
    """Largest probability."""
    probabilities: dict[str, float]
    """Calibrated probabilities by category."""
    near_duplicate: NearDuplicate | None
    unknown: bool
    """True if `ood_score` exceeds `unknown_threshold`, unless the image is a duplicate of a training image."""
    ood_score: float | None
    """Distance to the training features, see `OODDetector.scores`; None without validation or training images."""
    unknown_threshold: float | None
    false_alarm_rate: float | None
    """Share of in-distribution images called unknown, measured on validation."""
    calibrated: bool | None
    uncalibrated: str | None
    """Reason why the probabilities are not calibrated."""
    reason: str | None
    """Reason why the image could not be fetched or read."""
    maps: str | None = None
    """Path of the PNG with the attribution maps, if some were requested."""

    @classmethod
    def failed(cls, path: str, reason: str) -> Prediction:
        """Return the prediction of an image that could not be fetched or read."""
        return cls(path, None, None, {}, None, False, None, None, None, None, None, reason)


MAX_FAILED = 200
"""Unreadable images that the report lists."""


class PredictionTable:
    """The CSV of `predict`, written while images are predicted: a row each with PREDICTION_COLUMNS and every probability."""

    def __init__(self, file: IO[bytes], categories: Sequence[str]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._categories = categories
        self._writer.writerow((*PREDICTION_COLUMNS, *(f"p:{name}" for name in categories)))

    def add(self, prediction: Prediction) -> None:
        """Write one row."""
        near = prediction.near_duplicate
        cells = {
            **prediction.to_json(),
            "near_duplicate": near.image_id if near else None,
            "near_duplicate_split": near.split if near else None,
        }
        values = (*map(cells.get, PREDICTION_COLUMNS), *map(prediction.probabilities.get, self._categories))
        self._writer.writerow([_cell(value) for value in values])

    def finish(self) -> None:
        """Write what is buffered; the file stays open."""
        self._text.flush()
        self._text.detach()


def _cell(value: object) -> object:
    return "" if value is None else f"{value:.6f}" if isinstance(value, float) else value


_FIGURE = Optional(Number())
STORED_PREDICTIONS = Record(
    {
        "run": FILE_NAME,
        "trained": Text(max_length=64),
        **dict.fromkeys(("n", "unknown", "near"), Integer()),
        "false_alarm_rate": _FIGURE,
        "calibrated": Flag(),
        "uncalibrated": Optional(Text()),
        "images": ListOf(
            Record(
                {"path": Text(), "label": Text(), "probability": Number(), "probabilities": MapOf(Text(), Number())},
                {
                    **dict.fromkeys(("ood_score", "unknown_threshold", "false_alarm_rate"), _FIGURE),
                    "unknown": Flag(),
                    "near_duplicate": Optional(
                        Record({"image_id": IMAGE_ID, "split": SPLIT, "distance": Integer()}, {"file_name": Text()})
                    ),
                    "thumbnail": DATA_URI,
                },
            )
        ),
        "failed": ListOf(Record({"path": Text(), "reason": Text()})),
    }
)
"""The form of `data/reports/new-images/RUN.json`."""


def stored_predictions_path(workspace: Workspace, run: Run) -> Path:
    """Return the path of a run's last predictions, which the report shows."""
    return workspace.reports / "new-images" / f"{run.id}.json"


class StoredPredictions:
    """The last predictions of a run for the report, with thumbnails, since the images themselves may be moved or deleted.

    Counts cover all readable images; only images with a thumbnail and the first MAX_FAILED unreadable ones are kept, so memory
    does not grow with the number of images.
    """

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self._path = stored_predictions_path(workspace, run)
        self._document: dict[str, Any] = {"run": run.id, "trained": run.digest, "n": 0, "unknown": 0, "near": 0}
        self._document |= {"false_alarm_rate": None, "calibrated": True, "uncalibrated": None}
        self._images: list[dict[str, Any]] = []
        self._failed: list[dict[str, str]] = []
        self._num_failed = 0

    def add(self, prediction: Prediction, thumbnail: str) -> None:
        """Count a prediction; `thumbnail` is the image as a data URI, empty if none was made."""
        if prediction.reason:
            self._num_failed += 1
            if len(self._failed) < MAX_FAILED:
                self._failed.append({"path": prediction.path, "reason": prediction.reason})
            return
        document = self._document
        if not document["n"]:
            document |= {"false_alarm_rate": prediction.false_alarm_rate, "calibrated": bool(prediction.calibrated)}
            document["uncalibrated"] = prediction.uncalibrated
        document["n"] += 1
        document["unknown"] += prediction.unknown
        document["near"] += prediction.near_duplicate is not None
        if thumbnail:
            self._images.append({**prediction.to_json(), "thumbnail": thumbnail})

    def write(self) -> None:
        """Write the file; an earlier one stays if no image was readable."""
        if not self._document["n"] and self._path.is_file():
            return
        document = {**self._document, "images": self._images, "failed": self._failed, "num_failed": self._num_failed}
        write_text(self._path, json.dumps(document, ensure_ascii=False) + "\n")
