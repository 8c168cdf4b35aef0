"""Metrics of one run in the report: on validation alone, or on validation and test side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from fototeca.analysis.evaluation.evaluate import compute_run_reliability
from fototeca.analysis.evaluation.metrics import CONFUSION_CELLS, binary_confusion_cells
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.plots.charts import reliability_chart
from fototeca.analysis.plots.confusion import MAX_FULL
from fototeca.analysis.plots.figures import confusion_figures_of
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import heading, join, paragraph

Metrics = dict[str, Any]
"""Result of `compute_metrics` on one split."""

FRACTIONS = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall")
NUMBERS = ("macro_f1", "log_loss", "brier")
"""Metrics of the table, shown as percentages and as numbers."""


def metrics_table(context: ReportContext, name: str, splits: Sequence[Metrics]) -> Markup:
    """Return overall metrics with one column for each split; `name` is the name of the CSV."""
    texts = context.texts
    body: list[list[str]] = []
    for key in (*FRACTIONS, *NUMBERS):
        show = texts.percent if key in FRACTIONS else texts.number
        if key in splits[0]:
            body.append([texts(f"metric.{key}"), *(show(split[key]) for split in splits)])
        body += _interval_row(context, key, splits)
    if "average_precision" in splits[0]:
        body.append([texts("metric.micro_f1"), *(texts.number(split["micro_f1"]) for split in splits)])
        for key in ("macro", "micro"):
            body.append([texts(f"metric.ap_{key}"), *(texts.number(split["average_precision"][key]) for split in splits)])
            body += _interval_row(context, f"average_precision_{key}", splits)
    else:
        body += [
            [texts("metric.top_k", k=k), *(texts.percent(split["top_k"][k]) for split in splits)]
            for k in splits[0]["top_k"]
            if k != "1"
        ]
    body.append([texts("metric.ece"), *(texts.percent(split["calibration"]["ece"]) for split in splits)])
    if splits[0]["calibration"]["temperature"] is not None:
        body.append([texts("metric.ece_scaled"), *(texts.percent(split["calibration"]["ece_scaled"]) for split in splits)])
    body.append([texts("metric.images"), *(texts.number(split["n"]) for split in splits)])
    head = [texts("metric.name"), *(texts(f"split.{split['split']}") for split in splits)]
    caption = texts("test.table" if len(splits) > 1 else "metrics.table")
    source = predictions_file(splits[-1])
    return context.add_table(name, head, body, caption=caption, numeric=tuple(range(1, len(head))), source=source)


def _interval_row(context: ReportContext, key: str, splits: Sequence[Metrics]) -> list[list[str]]:
    """Return a metric's interval: no row for metrics without one."""
    texts = context.texts
    if key == "accuracy":
        return [[texts("metric.interval"), *(texts.interval(split["accuracy_interval"]) for split in splits)]]
    if key not in splits[0]["intervals"]:
        return []
    show = texts.interval if key in FRACTIONS else texts.between
    return [[texts("metric.other_interval"), *(show(split["intervals"][key]) for split in splits)]]


def classes_table(context: ReportContext, name: str, splits: Sequence[Metrics]) -> Markup:
    """Return precision, recall and F1 by category on the last split, and F1 on the splits before it."""
    texts, (*previous, main) = context.texts, splits
    head = [texts(f"class.{key}") for key in ("name", "n", "precision", "recall", "interval", "f1")]
    head += [texts("class.val_f1") for _ in previous]
    body = [
        [
            category,
            texts.number(row["n"]),
            texts.percent(row["precision"]),
            texts.percent(row["recall"]),
            texts.interval(row["recall_interval"]) if row["n"] else "–",
            texts.number(row["f1"], 2),
            *(texts.number(split["per_class"][category]["f1"], 2) for split in previous),
        ]
        for category, row in main["per_class"].items()
    ]
    if "average_precision" in main:
        head += [texts("class.ap"), *(texts("class.val_ap") for _ in previous)]
        for row in body:
            row += [texts.number(split["average_precision"]["per_class"][row[0]], 2) for split in (main, *previous)]
    caption, numeric = texts(f"class.table_{main['split']}"), tuple(range(1, len(head)))
    return context.add_table(name, head, body, caption=caption, numeric=numeric, source=predictions_file(main))


def yes_no_table(context: ReportContext, name: str, results: SplitPredictions) -> Markup:
    """Return the confusion of a multi-label run: one two-by-two matrix for each category, as a row."""
    texts = context.texts
    head = [texts("class.name"), *(texts(f"confusion.{cell}") for cell in CONFUSION_CELLS)]
    cells = binary_confusion_cells(results.true, results.predicted)
    body = [[category, *(texts.number(count) for count in row)] for category, row in zip(results.categories, cells, strict=True)]
    caption = texts("confusion.per_category", n=len(results))
    source = predictions_file({"run": results.run.id, "split": results.split})
    content = context.add_table(name, head, body, caption=caption, numeric=tuple(range(1, len(head))), source=source)
    return join([paragraph(texts("confusion.multi")), content])


def confusion_matrices(context: ReportContext, name: str, results: SplitPredictions, caption: str) -> Markup:
    """Return the confusion matrix of a single-label run; of many categories an overview and the most confused ones."""
    texts = context.texts
    source = predictions_file({"run": results.run.id, "split": results.split})
    figures = confusion_figures_of(name, results, texts, context.run_name(results.run.id))
    if len(results.categories) <= MAX_FULL:
        captions = [caption]
    else:
        captions = [f"{texts('confusion.caption_overview')} {caption}", f"{texts('confusion.caption_most')} {caption}"]
    return join([context.add_figure(drawing, words, source) for drawing, words in zip(figures, captions, strict=False)])


def render_calibration(context: ReportContext, name: str, results: SplitPredictions, metrics: Metrics) -> Markup:
    """Return the reliability diagram, before and after temperature scaling where a temperature could be fitted."""
    texts, calibration = context.texts, metrics["calibration"]
    temperature, split = calibration["temperature"], texts(f"split.{results.split}")
    before = texts.percent(calibration["ece"])
    series = {texts("calibration.before"): compute_run_reliability(results)}
    if temperature is None:
        alt, caption = texts("calibration.alt_unscaled", split=split, before=before), texts("calibration.none")
    else:
        after = texts.percent(calibration["ece_scaled"])
        series[texts("calibration.after")] = compute_run_reliability(results, temperature)
        alt = texts("calibration.alt", split=split, before=before, after=after)
        caption = texts("calibration.caption", temperature=texts.number(temperature, 2), before=before, after=after)
    chart = reliability_chart(name, series, (texts("axis.confidence"), texts("axis.accuracy")), alt, texts)
    return join([heading(texts("calibration.title"), 5), context.add_figure(chart, caption, predictions_file(metrics))])


def predictions_file(metrics: Metrics) -> str:
    """Return the predictions file that metrics were computed from, relative to the workspace."""
    return f"data/runs/{metrics['run']}/predictions-{metrics['split']}.csv"
