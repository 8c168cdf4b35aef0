"""Section of the report with the training curves: all runs in one chart each for loss and accuracy, then a card for each run."""

from __future__ import annotations

from functools import partial

from markupsafe import Markup

from fototeca.analysis.plots.figures import column_pairs, curve_figures_of
from fototeca.analysis.plots.run_lines import RunLine, line_color, runs_chart
from fototeca.analysis.plots.svg import line
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.ensemble_gains import members_text
from fototeca.analysis.report.experiments import compared_by_run
from fototeca.analysis.report.html import columns, details, heading, join, legend, note, paragraph
from fototeca.analysis.run_settings import setting_text, shown_settings
from fototeca.train.runs import Run

MAX_OPEN = 12
"""Cards shown unfolded."""


def render_curves(context: ReportContext) -> Markup:
    """Return loss and accuracy of all runs, then settings, accuracies and curves of each."""
    texts = context.texts
    if not context.ranked_runs:
        missing = note(texts("curves.no_runs"), "missing")
        return missing + context.hint(f"fototeca train sweep --manifest {context.manifest.version}")
    parts = [context.render_part(partial(_all_curves, context)), heading(texts("curves.cards"))]
    for index, run in enumerate(context.ranked_runs):
        content = context.render_part(partial(_run_card, context, run))
        parts.append(details(context.run_cell(run.id), content, is_open=index < MAX_OPEN))
    return join(parts)


def _all_curves(context: ReportContext) -> Markup:
    """Return the charts of all runs with epochs, with one legend; those with a single epoch have no line."""
    texts, losses, accuracies = context.texts, list[RunLine](), list[RunLine]()
    for run in context.ranked_runs:
        epochs = run.epochs()
        if len(epochs) > 1:
            for lines, measure in ((losses, "loss"), (accuracies, "accuracy")):
                train, val = (column_pairs(epochs, "epoch", f"{side}_{measure}") for side in ("train", "val"))
                lines.append(RunLine(run.id, context.run_name(run.id), train, val))
    if not losses:
        return paragraph(texts("curves.no_epochs"))
    charts = []
    for name, lines in (("loss", losses), ("accuracy", accuracies)):
        alt = texts(f"curves.all_{name}_alt", n=len(lines))
        axes = texts("axis.epoch"), texts(f"axis.{name}")
        chart = runs_chart(f"all-{name}", lines, axes, alt, texts, percent=name == "accuracy")
        charts.append(context.add_figure(chart, texts(f"curves.all_{name}"), "data/runs"))
    entries = [(Markup(line(0, 6, 12, 6, line_color(index), 4)), context.run_cell(row.run)) for index, row in enumerate(losses)]
    return join([columns(charts), legend(entries), paragraph(texts("curves.augmented"), "source")])


def _run_card(context: ReportContext, run: Run) -> Markup:
    """Return what the run reached, its settings and its curves."""
    texts, metrics = context.texts, run.metrics
    compared = compared_by_run(context)[run.id]
    results = [
        (texts("experiments.val"), texts.percent(compared["accuracy"])),
        (texts("experiments.train"), texts.percent(metrics.train_accuracy)),
        (texts("experiments.parameters"), texts.number(metrics.parameters)),
        (texts("experiments.seconds"), texts.number(metrics.seconds, 1)),
    ]
    if members := members_text(context, run):
        results.append((texts("curves.members"), members))
    if metrics.best_epoch:
        results.append((texts("experiments.best_epoch"), texts.number(metrics.best_epoch)))
    settings = [(texts(f"setting.{name}"), setting_text(texts, run, name)) for name in shown_settings(run)]
    facts = context.add_facts(f"run-{run.id}", [*results, *settings], f"data/runs/{run.id}/config.json")
    return join([facts, _curves(context, run)])


def _curves(context: ReportContext, run: Run) -> Markup:
    """Return loss per iteration and accuracy per epoch, or the reason why they are missing."""
    texts, drawings = context.texts, curve_figures_of(run, context.texts, context.run_name(run.id))
    if not drawings:
        return paragraph(texts("curves.none"))
    figures = []
    for drawing in drawings:
        kind = drawing.name.partition("-")[0]
        source = "steps.csv" if kind == "steps" else "epochs.csv"
        figures.append(context.add_figure(drawing, texts(f"curves.{kind}.caption"), f"data/runs/{run.id}/{source}"))
    has_epochs = any(drawing.name.startswith("epochs") for drawing in drawings)
    return columns(figures) + (Markup("") if has_epochs else paragraph(texts("curves.one_epoch")))
