"""Section of the report on new images: the last predictions of `predict` on images from outside the dataset."""

from __future__ import annotations

from shlex import quote
from typing import Any

from markupsafe import Markup

from fototeca.analysis.cache import read_json_or_none
from fototeca.analysis.evaluation.calibration import NO_ERRORS
from fototeca.analysis.predict.results import STORED_PREDICTIONS, stored_predictions_path
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import Content, Tile, join, link, note, paragraph, tiles
from fototeca.analysis.tabular import Table

NEAR_DUPLICATE_FIELDS = ("image_id", "split", "distance", "file_name")
"""Exported fields of the dataset image that a new image is a near-duplicate of."""

COUNTS = "new-images-counts"


def render_new_images(context: ReportContext) -> Markup:
    """Return the last predictions on new images, and the images that could not be read."""
    texts, document = context.texts, _read_predictions(context)
    if document is None:
        best = context.ranked_runs[0].id if context.ranked_runs else "RUN"
        return note(texts("new_images.none"), "missing") + context.hint(f"fototeca analysis predict {quote(best)} photos/")
    images, rate = document["images"], document["false_alarm_rate"]
    counts = {name: document[name] for name in ("n", "unknown", "near")}
    context.data_tables.append(Table(COUNTS, ("name", "value"), tuple({**counts, "false_alarm_rate": rate}.items())))
    parts = [
        paragraph(context.with_data_link(texts("new_images.intro", run=context.run_name(document["run"]), **counts), COUNTS))
    ]
    if counts["n"] > len(images):
        parts.append(paragraph(texts("new_images.first", n=len(images))))
    if rate is not None:
        false_alarms = texts("new_images.false_alarms", rate=texts.percent(rate))
        parts.append(paragraph(context.with_data_link(false_alarms, COUNTS, len(counts))))
    if not document["calibrated"]:
        no_errors = document["uncalibrated"] == NO_ERRORS
        parts.append(paragraph(texts("calibration.none" if no_errors else "calibration.unreadable")))
    parts += [tiles([_tile(context, prediction, row) for row, prediction in enumerate(images)]), _data_links(context, document)]
    if failed := document["failed"]:
        head = [texts("new_images.image"), texts("new_images.reason")]
        rows = [[prediction["path"], prediction["reason"]] for prediction in failed]
        parts.append(
            context.add_table("new-images-failed", head, rows, caption=texts("new_images.failed", n=document["num_failed"]))
        )
    return join(parts)


def _read_predictions(context: ReportContext) -> dict[str, Any] | None:
    """Return the stored predictions of the best run that has predictions newer than its training; damaged files are skipped."""
    for run in context.ranked_runs:
        document: dict[str, Any] | None = read_json_or_none(stored_predictions_path(context.workspace, run), STORED_PREDICTIONS)
        if document and document["trained"] == run.digest:
            return document
    return None


def _data_links(context: ReportContext, document: dict[str, Any]) -> Markup:
    """Export the predictions as CSV; return links to it and to the file written by `predict`."""
    rows = []
    for image in document["images"]:
        duplicate = image.get("near_duplicate") or {}
        prediction = map(image.get, ("path", "label", "probability", "ood_score"))
        rows.append((*prediction, bool(image.get("unknown")), *map(duplicate.get, NEAR_DUPLICATE_FIELDS)))
    duplicate_columns = (f"near_duplicate_{name}" for name in NEAR_DUPLICATE_FIELDS)
    columns = ("path", "label", "probability", "ood_score", "unknown", *duplicate_columns)
    context.data_tables.append(Table("new-images", columns, tuple(rows)))
    return paragraph(context.csv_link("new-images", f"data/reports/new-images/{document['run']}.json"), "source")


def _tile(context: ReportContext, prediction: dict[str, Any], row: int) -> Tile:
    texts = context.texts
    name = prediction["path"].replace("\\", "/").rpartition("/")[2]
    label = context.label_text(prediction["label"])
    likeliest = max(prediction["probabilities"], key=prediction["probabilities"].get)
    probability = texts.percent(prediction["probability"], 0)
    result = f"{label} · {probability}" if likeliest == prediction["label"] else f"{label} ({likeliest} · {probability})"
    lines: list[Content] = [link(result, context.row_href("new-images", row)), name]
    if prediction.get("unknown"):
        lines.append(texts("new_images.unknown"))
    if duplicate := prediction.get("near_duplicate"):
        lines.append(texts("new_images.near_duplicate", split=texts(f"split.{duplicate['split']}")))
    alt = texts("new_images.alt", name=name, label=label)
    return Tile(prediction.get("thumbnail", ""), alt, tuple(lines), "warn" if len(lines) > 2 else "")
