"""Section of the report that analyzes two models on validation: confusion, examples, attribution, features, metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from markupsafe import Markup

from fototeca.analysis.error_patterns import error_groups
from fototeca.analysis.evaluation.evaluate import compute_metrics, fit_run_temperature
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.report.attributions import render_attributions
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.embedding import render_embedding
from fototeca.analysis.report.examples import render_error_patterns, render_examples
from fototeca.analysis.report.html import details, heading, join, note, paragraph, tabs
from fototeca.analysis.report.metrics_tables import (
    classes_table,
    confusion_matrices,
    metrics_table,
    render_calibration,
    yes_no_table,
)
from fototeca.train.runs import Run

NUM_CONFUSIONS = 8
"""Rows of the table of most frequent confusions."""

PARTS = ("confusion", "examples", "attribution", "features", "metrics")
"""Parts of an analysis in order; their titles are the texts `PART.title`."""

_COMMANDS = {
    "confusion": "confusion",
    "examples": "examples",
    "attribution": "explain",
    "features": "embed",
    "metrics": "evaluate",
}
"""Command of `fototeca analysis` that makes a part."""


def render_model_analysis(context: ReportContext) -> Markup:
    """Return the analysis of the best model and of another one, one of them shown at a time."""
    texts, runs = context.texts, context.analyzed_runs
    if not runs:
        return _render_missing(context)
    parts = [paragraph(texts("model_analysis.intro")), context.own_words.render("errors")]
    panels = [(context.run_name(run.id), _render_run(context, run, is_first=run is runs[0])) for run in runs]
    parts.append(tabs("analysis", panels))
    if len(runs) < 2:
        parts.append(note(texts("model_analysis.single"), "missing"))
    return join(parts)


def _render_missing(context: ReportContext) -> Markup:
    """Return the titles of all parts, what they lack, and the commands that make them."""
    texts, parts = context.texts, [note(context.texts("model_analysis.none"), "missing")]
    for part in PARTS:
        parts += [heading(texts(f"{part}.title"), name=part), paragraph(texts("model_analysis.none"))]
        parts.append(context.hint(f"fototeca analysis {_COMMANDS[part]} RUN"))
    return join(parts)


def _render_run(context: ReportContext, run: Run, *, is_first: bool) -> Markup:
    """Return all parts of the analysis of one run. `is_first`: its headings have the ids that the contents link to."""
    results = context.validation[run.id]
    renderers: dict[str, Callable[[], Markup]] = {
        "confusion": partial(_render_confusion, context, results),
        "examples": partial(render_examples, context, results),
        "attribution": partial(render_attributions, context, results),
        "features": partial(render_embedding, context, run),
        "metrics": partial(_render_metrics, context, results),
    }
    content = [heading(join([context.texts(f"model_analysis.{'best' if is_first else 'other'}"), " ", context.run_cell(run.id)]))]
    for part, render in renderers.items():
        content += [heading(context.texts(f"{part}.title"), 4, part if is_first else ""), context.render_part(render)]
    return join(content)


def _render_metrics(context: ReportContext, results: SplitPredictions) -> Markup:
    """Return overall metrics, calibration, metrics by category and what the errors have in common, on validation."""
    run, texts = results.run, context.texts
    splits = [compute_metrics(results, fit_run_temperature(results)).to_json()]
    by_category = [classes_table(context, f"classes-{run.id}", splits)]
    return join(
        [
            metrics_table(context, f"metrics-{run.id}", splits),
            render_calibration(context, f"reliability-{run.id}", results, splits[0]),
            details(texts("class.table_val"), join(by_category)),
            details(texts("errors.title"), context.render_part(partial(render_error_patterns, context, results))),
        ]
    )


def _render_confusion(context: ReportContext, results: SplitPredictions) -> Markup:
    """Return the confusion matrix, or one for each category of a multi-label run, and the most frequent confusions."""
    texts, name = context.texts, f"confusion-{results.run.id}"
    source = f"data/runs/{results.run.id}/predictions-val.csv"
    if results.multi:
        content = yes_no_table(context, name, results)
    else:
        content = confusion_matrices(context, name, results, texts("confusion.caption", n=len(results)))
    return join([content, _confused_pairs(context, results, source)])


def _confused_pairs(context: ReportContext, results: SplitPredictions, source: str) -> Markup:
    texts = context.texts
    pairs = error_groups(results).confused_pairs[:NUM_CONFUSIONS]
    if not pairs:
        return paragraph(texts("confusion.no_errors"))
    body = [[context.label_text(pair.true), context.label_text(pair.predicted), texts.number(pair.n)] for pair in pairs]
    head, caption = [texts("axis.true"), texts("axis.predicted"), texts("confusion.errors")], texts("confusion.pairs")
    return context.add_table(f"confused-{results.run.id}", head, body, caption=caption, numeric=(2,), source=source)
