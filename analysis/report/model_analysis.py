"""Section of the report that analyzes two models on validation: metrics, examples, confusion, attribution, features."""

from __future__ import annotations

from functools import partial

from markupsafe import Markup

from fototeca.analysis.error_patterns import error_groups
from fototeca.analysis.evaluation.evaluate import compute_metrics, fit_run_temperature
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.report.attributions import render_attributions
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.embedding import render_embedding
from fototeca.analysis.report.examples import render_examples
from fototeca.analysis.report.html import heading, join, note, paragraph, subsection
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


def render_model_analysis(context: ReportContext) -> Markup:
    """Return the analysis of the best single model and of another one."""
    texts, runs = context.texts, context.analyzed_runs
    if not runs:
        return note(texts("model_analysis.none"), "missing")
    parts = [paragraph(texts("model_analysis.intro")), context.own_words.render("errors")]
    if runs[0] is not context.ranked_runs[0]:
        parts.append(note(texts("model_analysis.ensemble", run=context.ranked_runs[0].id)))
    for run, key in zip(runs, ("model_analysis.best", "model_analysis.other"), strict=False):
        parts.append(subsection(join([heading(texts(key, run=run.id)), _render_run(context, run)]), "study"))
    if len(runs) < 2:
        parts.append(note(texts("model_analysis.single"), "missing"))
    return join(parts)


def _render_run(context: ReportContext, run: Run) -> Markup:
    results = context.validation[run.id]
    parts = [
        context.render_part(partial(render, context, results))
        for render in (_render_metrics, render_examples, _render_confusion, render_attributions)
    ]
    return join([*parts, context.render_part(partial(render_embedding, context, run))])


def _render_metrics(context: ReportContext, results: SplitPredictions) -> Markup:
    """Return overall metrics, metrics by category and calibration on validation."""
    run = results.run
    splits = [compute_metrics(results, fit_run_temperature(results)).to_json()]
    return join(
        [
            heading(context.texts("metrics.title"), 4),
            metrics_table(context, f"metrics-{run.id}", splits),
            classes_table(context, f"classes-{run.id}", splits),
            render_calibration(context, f"reliability-{run.id}", results, splits[0]),
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
    return join([heading(texts("confusion.title"), 4), content, _confused_pairs(context, results, source)])


def _confused_pairs(context: ReportContext, results: SplitPredictions, source: str) -> Markup:
    texts = context.texts
    pairs = error_groups(results).confused_pairs[:NUM_CONFUSIONS]
    if not pairs:
        return paragraph(texts("confusion.no_errors"))
    body = [[context.label_text(pair.true), context.label_text(pair.predicted), texts.number(pair.n)] for pair in pairs]
    head, caption = [texts("axis.true"), texts("axis.predicted"), texts("confusion.errors")], texts("confusion.pairs")
    return context.add_table(f"confused-{results.run.id}", head, body, caption=caption, numeric=(2,), source=source)
