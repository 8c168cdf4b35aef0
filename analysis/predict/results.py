"""Predictions as typed results, as CSV, and as stored for the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fototeca.analysis.cache import DATA_URI
from fototeca.analysis.evaluation.results import SparseResult
from fototeca.analysis.tabular import csv_text
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


@dataclass(frozen=True)
class StoredImage(Result):
    """A prediction and a thumbnail of its image as a data URI, empty if none was made."""

    prediction: Prediction
    thumbnail: str


def predictions_csv(predictions: Sequence[Prediction], categories: Sequence[str]) -> str:
    """Return a row for each prediction: PREDICTION_COLUMNS and the probability of each category."""
    rows = []
    for prediction in predictions:
        near = prediction.near_duplicate
        cells = {
            **prediction.to_json(),
            "near_duplicate": near.image_id if near else None,
            "near_duplicate_split": near.split if near else None,
        }
        values = (*map(cells.get, PREDICTION_COLUMNS), *map(prediction.probabilities.get, categories))
        rows.append([_cell(value) for value in values])
    return csv_text((*PREDICTION_COLUMNS, *(f"p:{name}" for name in categories)), rows)


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


def store_predictions(workspace: Workspace, run: Run, images: Sequence[StoredImage]) -> None:
    """Store predictions with thumbnails for the report, since the images themselves may be moved or deleted.

    Counts cover all `n` readable images; `images` are those with a thumbnail, `failed` the unreadable ones. Earlier predictions
    are kept if no image is readable.
    """
    predictions = [image.prediction for image in images]
    readable = [prediction for prediction in predictions if not prediction.reason]
    if not readable and stored_predictions_path(workspace, run).is_file():
        return
    document = {
        "run": run.id,
        "trained": run.digest,
        "n": len(readable),
        "unknown": sum(prediction.unknown for prediction in readable),
        "near": sum(prediction.near_duplicate is not None for prediction in readable),
        "false_alarm_rate": next((prediction.false_alarm_rate for prediction in readable), None),
        "calibrated": all(prediction.calibrated for prediction in readable),
        "uncalibrated": next((prediction.uncalibrated for prediction in readable), None),
        "images": [
            {**image.prediction.to_json(), "thumbnail": image.thumbnail}
            for image in images
            if not image.prediction.reason and image.thumbnail
        ],
        "failed": [{"path": prediction.path, "reason": prediction.reason} for prediction in predictions if prediction.reason],
    }
    write_text(stored_predictions_path(workspace, run), json.dumps(document, ensure_ascii=False) + "\n")
