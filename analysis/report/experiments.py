"""Section of the report on the experiments: results of all runs, what was varied and what came of it, significant differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from markupsafe import Markup

from fototeca.analysis.evaluation.compare import PairedDifference, paired_difference
from fototeca.analysis.plots.bars import intervals_chart
from fototeca.analysis.plots.parallel import ParallelAxis, parallel_chart
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import details, join, note, paragraph
from fototeca.analysis.run_settings import setting_text, shown_settings
from fototeca.analysis.tabular import FormattedNumber
from fototeca.train.runs import Run

MANY_RUNS = 10
"""Runs above which what was varied is also drawn as parallel coordinates."""

MAX_COLUMNS = 6
"""Varied settings up to which each has a column of its own."""

NO_VALUE = "–"
"""Value of a setting without effect on a run."""

MAX_CHANGES = 12
"""Rows of the table of single changes; those with the largest differences."""


@dataclass(frozen=True)
class _Change:
    """Two runs that differ in one setting, and what the change from `before` to `after` did to the accuracy."""

    setting: str
    before: Run
    after: Run
    effect: PairedDifference


def render_experiments(context: ReportContext) -> Markup:
    """Return the user's words, the table of all runs, their accuracies with intervals, and what each setting did."""
    texts, words = context.texts, context.own_words.render("experiments")
    if not context.ranked_runs:
        missing = note(texts("experiments.none", version=context.manifest.version), "missing")
        sweep = context.hint(f"fototeca train sweep --manifest {context.manifest.version}")
        return join([words, missing, sweep, _excluded_runs(context)])
    varied = varied_settings(context.ranked_runs)
    settings = {run.id: _setting_texts(context, run, varied) for run in context.ranked_runs}
    return join(
        [
            words,
            paragraph(texts("experiments.intro", n=len(context.ranked_runs))),
            _comparison(context),
            _runs_table(context),
            _excluded_runs(context),
            _parallel(context, varied, settings) if len(context.ranked_runs) > MANY_RUNS else "",
            _varied_table(context, varied, settings),
            _changes_table(context, varied, settings),
            _differences_table(context),
        ]
    )


def varied_settings(runs: Sequence[Run]) -> list[str]:
    """Return the settings that are not equal in all runs; the seed last, since it is no choice."""
    shown = {run.id: {name: run.config.get(name) for name in shown_settings(run)} for run in runs}
    names = dict.fromkeys(name for values in shown.values() for name in values)
    differing = [name for name in names if len({repr(values.get(name)) for values in shown.values()}) > 1]
    return sorted(differing, key=lambda name: name == "seed")


def _setting_texts(context: ReportContext, run: Run, varied: Sequence[str]) -> dict[str, str]:
    shown = shown_settings(run)
    return {name: setting_text(context.texts, run, name) if name in shown else NO_VALUE for name in varied}


def _excluded_runs(context: ReportContext) -> Markup:
    """Return a note with the runs left out and their reasons."""
    excluded = "; ".join(f"{run}: {reason}" for run, reason in context.run_errors.items())
    return note(context.texts("experiments.excluded", runs=excluded), "warn") if excluded else Markup("")


def compared_by_run(context: ReportContext) -> dict[str, dict[str, Any]]:
    """Return accuracy and interval on validation by run id."""
    return {row["run"]: row for row in (context.comparison or {"runs": []})["runs"]}


def _runs_table(context: ReportContext) -> Markup:
    texts, compared = context.texts, compared_by_run(context)
    columns = ("run", "val", "interval", "train", "parameters", "seconds", "speed")
    body = []
    for run in context.ranked_runs:
        metrics = run.metrics
        body.append(
            [
                context.run_cell(run.id),
                texts.percent(compared[run.id]["accuracy"]),
                texts.interval(compared[run.id]["accuracy_interval"]),
                texts.percent(metrics.train_accuracy),
                texts.number(metrics.parameters),
                texts.number(metrics.seconds, 1),
                texts.number(metrics.images_per_second or None, 0),
            ]
        )
    head, caption = [texts(f"experiments.{name}") for name in columns], texts("experiments.table")
    numeric = tuple(range(1, len(columns)))
    return context.add_table("models", head, body, caption=caption, numeric=numeric, strong=(0,), source="data/runs")


def _comparison(context: ReportContext) -> Markup:
    """Return accuracies with intervals, and which runs are tied with the best."""
    texts, comparison = context.texts, context.comparison
    if comparison is None or len(comparison["runs"]) < 2:
        return note(texts("comparison.single_run"), "missing")
    best, tied = comparison["best"], comparison["tied_with_best"]
    rows = [(row["run"], row["accuracy"], *row["accuracy_interval"]) for row in comparison["runs"]]
    name = context.run_name(best)
    alt = texts("comparison.alt", best=name, accuracy=texts.percent(rows[0][1]), n=len(tied) - 1)
    names = {row[0]: context.run_name(row[0]) for row in rows}
    chart = intervals_chart("comparison", rows, names, texts("axis.accuracy"), alt, texts, strong=tied)
    verdict = {1: "comparison.best_alone", 2: "comparison.tied_one"}.get(len(tied), "comparison.tied")
    return join(
        [
            note(texts(verdict, best=name, n=len(tied) - 1), "good" if len(tied) == 1 else "info"),
            context.add_figure(chart, texts("comparison.caption", n=comparison["n"]), "data/runs"),
        ]
    )


def _varied_table(context: ReportContext, varied: Sequence[str], settings: Mapping[str, Mapping[str, str]]) -> Markup:
    """Return what was varied and the accuracy of each run; many settings in one cell. Names tell model and regime."""
    texts, compared = context.texts, compared_by_run(context)
    shown = [name for name in varied if name not in ("model", "regime")]
    if not shown:
        return Markup("")
    in_columns = len(shown) <= MAX_COLUMNS
    names = [texts(f"setting.{name}") for name in shown]
    head = [texts("experiments.run"), texts("experiments.val"), *(names if in_columns else [texts("experiments.settings")])]
    body = []
    for run in context.ranked_runs:
        values = [settings[run.id][name] for name in shown]
        pairs = "; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True) if value != NO_VALUE)
        cells = values if in_columns else [pairs]
        body.append([context.run_cell(run.id), texts.percent(compared[run.id]["accuracy"]), *cells])
    return context.add_table("experiments", head, body, caption=texts("experiments.varied"), numeric=(1,), source="data/runs")


def _parallel(context: ReportContext, varied: Sequence[str], settings: Mapping[str, Mapping[str, str]]) -> Markup:
    """Return parallel coordinates of what was varied, with the accuracy as last axis."""
    texts, runs = context.texts, context.ranked_runs
    axes = [ParallelAxis(texts(f"setting.{name}"), [settings[run.id][name] for run in runs]) for name in varied]
    accuracies = [compared_by_run(context)[run.id]["accuracy"] for run in runs]
    alt = texts("experiments.parallel_alt", n=len(runs), settings=", ".join(axis.name for axis in axes))
    names = [run.id for run in runs], [context.run_name(run.id) for run in runs]
    chart = parallel_chart("parallel", names, axes, (texts("axis.accuracy"), accuracies), alt, texts)
    return context.add_figure(chart, texts("experiments.parallel"), "data/runs", kind="wide")


def _changes_table(context: ReportContext, varied: Sequence[str], settings: Mapping[str, Mapping[str, str]]) -> Markup:
    """Return what changing a single setting did: pairs of runs that are equal in all others."""
    texts = context.texts
    changes = _single_changes(context, varied, settings)
    if not changes:
        return paragraph(texts("experiments.no_changes")) if len(context.ranked_runs) > 1 else Markup("")
    columns = ("setting", "effect", "effect_interval", "from", "to", "base")
    head = [texts(f"experiments.{name}") for name in columns]
    body = [
        [
            texts(f"setting.{change.setting}"),
            FormattedNumber(texts.points(change.effect.difference), change.effect.difference),
            texts.span(change.effect.interval),
            settings[change.before.id][change.setting],
            settings[change.after.id][change.setting],
            context.run_cell(change.before.id),
        ]
        for change in changes
    ]
    caption = texts("experiments.changes")
    return context.add_table("changes", head, body, caption=caption, numeric=(1, 2), source="data/runs")


def _single_changes(context: ReportContext, varied: Sequence[str], settings: Mapping[str, Mapping[str, str]]) -> list[_Change]:
    """Return the pairs of runs that differ in one setting, largest effects first; the better run is the changed one."""
    changes = []
    for better, worse in combinations(context.ranked_runs, 2):  # ranked: the first is the better one
        differing = [name for name in varied if settings[better.id][name] != settings[worse.id][name]]
        if len(differing) == 1:
            a, b = context.validation[better.id], context.validation[worse.id]
            changes.append(_Change(differing[0], worse, better, paired_difference(a.correct, b.correct, a.groups)))
    return sorted(changes, key=lambda change: -change.effect.difference)[:MAX_CHANGES]


def _differences_table(context: ReportContext) -> Markup:
    """Return the differences to the best run with their tests, folded."""
    texts, comparison = context.texts, context.comparison
    if comparison is None or not comparison["pairs"]:
        return Markup("")
    head = [texts(f"comparison.{name}") for name in ("other", "difference", "interval", "p", "p_holm")]
    body = [
        [
            context.run_cell(pair["b"]),
            texts.points(pair["difference"]),
            texts.span(pair["interval"]),
            texts.probability(pair["p"]),
            texts.probability(pair["p_holm"]),
        ]
        for pair in comparison["pairs"]
    ]
    caption = texts("comparison.table", best=context.run_name(comparison["best"]))
    content = context.add_table("differences", head, body, caption=caption, numeric=(1, 2, 3, 4), source="data/runs")
    return details(texts("comparison.against"), join([content, paragraph(texts("comparison.method"))]))
