"""The report's new images: what `predict` last said of images from outside the dataset."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from fototeca.analysis.cache import read_json_or_none
from fototeca.analysis.evaluation.calibration import NO_ERRORS
from fototeca.analysis.predict.predict import stored_predictions_path
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import Tile, Words, join, link, note, paragraph, tag, tiles
from fototeca.analysis.tabular import Table

NEAR = ("image_id", "split", "distance")
"""What is told of the image of the dataset that a new image is a near-duplicate of."""


def new_images(story: ReportContext) -> Markup:
    """The last predictions on images from outside the dataset, with those that could not be had."""
    words, document = story.words, _stored(story)
    if document is None:
        best = story.ranked[0].id if story.ranked else "RUN"
        return join([note(words("new.none"), "missing"), tag("pre", f"fototeca analysis predict {best} photo.jpg")])
    images, failed, rate = document["images"], document["failed"], document["false_alarm_rate"]
    counts = {name: document[name] for name in ("n", "unknown", "near")}
    story.numbers.append(Table("new-images-counts", ("name", "value"), tuple({**counts, "false_alarm_rate": rate}.items())))
    parts = [paragraph(story.lead(words("new.intro", run=document["run"], **counts), "new-images-counts"))]
    if counts["n"] > len(images):
        parts.append(paragraph(words("new.first", n=len(images))))
    if rate is not None:
        alarms = words("new.false_alarms", rate=words.percent(rate))
        parts.append(paragraph(story.lead(alarms, "new-images-counts", len(counts))))
    if not document["calibrated"]:
        learned = document["uncalibrated"] == NO_ERRORS
        parts.append(paragraph(words("calibration.none" if learned else "calibration.unread")))
    parts += [tiles([_tile(story, fact, row) for row, fact in enumerate(images)]), _numbers(story, document)]
    if failed:
        head = [words("new.image"), words("new.reason")]
        rows = [[fact["path"], fact["reason"]] for fact in failed]
        parts.append(story.table("new-images-failed", head, rows, caption=words("new.failed", n=len(failed))))
    return join(parts)


def _stored(story: ReportContext) -> dict[str, Any] | None:
    """Of the best run that was asked since it was trained; a damaged file counts as none."""
    for run in story.ranked:
        document = read_json_or_none(stored_predictions_path(story.workspace, run))
        if isinstance(document, dict) and document.get("trained") == run.digest:
            return document
    return None


def _numbers(story: ReportContext, document: dict[str, Any]) -> Markup:
    """What stands under the images, in a file beside the page, and the file that `predict` kept."""
    rows = tuple(
        (*map(fact.get, ("path", "label", "probability", "strangeness")), bool(fact.get("unknown")), *map(near.get, NEAR))
        for fact in document["images"]
        for near in [fact.get("near_duplicate") or {}]
    )
    columns = ("path", "label", "probability", "strangeness", "unknown", *(f"near_duplicate_{name}" for name in NEAR))
    story.numbers.append(Table("new-images", columns, rows))
    stored = story.file(f"data/reports/new-images/{document['run']}.json")
    return paragraph(join([link(story.words("figure.data"), story.row("new-images", 0)), " · ", stored]), "source")


def _tile(story: ReportContext, fact: dict[str, Any], row: int) -> Tile:
    words = story.words
    name = fact["path"].replace("\\", "/").rpartition("/")[2]
    label = story.label(fact["label"])
    surest = max(fact["probabilities"], key=fact["probabilities"].get)
    sure = words.percent(fact["probability"], 0)
    shown = f"{label} · {sure}" if surest == fact["label"] else f"{label} ({surest} · {sure})"
    said = link(shown, story.row("new-images", row))
    lines: list[Words] = [said, name]
    if fact.get("unknown"):
        lines.append(words("new.unknown"))
    if near := fact.get("near_duplicate"):
        lines.append(words("new.near", split=words(f"split.{near['split']}")))
    return Tile(
        fact.get("thumbnail", ""), words("new.alt", name=name, label=label), tuple(lines), "warn" if len(lines) > 2 else ""
    )
