"""Sections of the report about the models: settings, curves and results of each run, and their comparison."""

from __future__ import annotations

from functools import partial
from typing import Any

from markupsafe import Markup

from fototeca.analysis.plots.charts import intervals_chart
from fototeca.analysis.plots.figures import curve_figures_of
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.ensemble_gains import ensemble_method, render_ensemble_gains
from fototeca.analysis.report.html import columns, details, heading, join, note, paragraph
from fototeca.train.runs import Run

SETTINGS = (
    "model",
    "regime",
    "head",
    "unfreeze",
    "weights",
    "image_size",
    "fit",
    "epochs",
    "batch_size",
    "optimizer",
    "lr",
    "weight_decay",
    "schedule",
    "layer_decay",
    "freeze_bn",
    "augment",
    "mirror",
    "augmented_copies",
    "mixup",
    "cutmix",
    "random_erasing",
    "label_smoothing",
    "balance",
    "ema",
    "clip",
    "accumulate",
    "patience",
    "snapshots",
    "precision",
    "seed",
)
"""Settings shown of a run, in order: all that distinguish one run from another."""

NEUTRAL = {"fit": "crop", "mirror": True, "layer_decay": 1.0, "accumulate": 1, "precision": "32", "balance": "none"}
"""Values, besides 0 and None, with which a setting has no effect and is not shown."""

TRANSLATED = (
    "none",
    "all",
    "half",
    "head",
    "linear",
    "logistic",
    "basic",
    "constant",
    "weights",
    "sampling",
    "letterbox",
    "squash",
)
"""Values with a text in each language; all others are names."""

STEP_SETTINGS = frozenset({"epochs", "batch_size", "optimizer", "lr", "schedule"})
"""Settings without effect on models that are fitted at once."""

NUM_OPEN = 2
"""Models shown unfolded."""


def render_models(context: ReportContext) -> Markup:
    """Return the table of all runs, and of each run its settings, accuracies and curves."""
    texts = context.texts
    if not context.ranked_runs:
        return join([note(texts("models.none", version=context.manifest.version), "missing"), _excluded_runs(context)])
    columns = ("run", "regime", "train", "val", "interval", "parameters", "seconds", "speed")
    compared = {row["run"]: row for row in (context.comparison or {"runs": []})["runs"]}
    head, caption = [texts(f"models.{name}") for name in columns], texts("models.table")
    body = [_summary_row(context, run, compared[run.id]) for run in context.ranked_runs]
    numeric = tuple(range(2, len(columns)))
    parts = [
        context.own_words.render("experiments"),
        paragraph(texts("models.intro", n=len(context.ranked_runs))),
        context.add_table("models", head, body, caption=caption, numeric=numeric, strong=(0,), source="data/runs"),
        _excluded_runs(context),
    ]
    for index, run in enumerate(context.ranked_runs):
        parts.append(details(run.id, context.render_part(partial(_run_details, context, run)), is_open=index < NUM_OPEN))
    return join(parts)


def _excluded_runs(context: ReportContext) -> Markup:
    """Return a note with the runs left out and their reasons."""
    excluded = "; ".join(f"{run}: {reason}" for run, reason in context.run_errors.items())
    return note(context.texts("models.excluded", runs=excluded), "warn") if excluded else Markup("")


def _summary_row(context: ReportContext, run: Run, compared: dict[str, Any]) -> list[Markup | str]:
    texts, metrics = context.texts, run.metrics
    return [
        run.id,
        texts(f"regime.{run.regime}"),
        texts.percent(metrics.train_accuracy),
        texts.percent(compared["accuracy"]),
        texts.interval(compared["accuracy_interval"]),
        texts.number(metrics.parameters),
        texts.number(metrics.seconds, 1),
        texts.number(metrics.images_per_second or None, 0),
    ]


def _run_details(context: ReportContext, run: Run) -> Markup:
    texts, metrics = context.texts, run.metrics
    results = [
        (texts("models.train"), texts.percent(metrics.train_accuracy)),
        (texts("models.val"), texts.percent(metrics.val_accuracy)),
        (texts("models.best_epoch"), texts.number(metrics.best_epoch)),
    ]
    settings = [
        (texts(f"setting.{name}"), _setting_text(context, run, name, run.config[name]))
        for name in _effective_settings(run)
        if _has_effect(name, run.config.get(name))
    ]
    facts = context.add_facts(f"run-{run.id}", [*results, *settings], f"data/runs/{run.id}/config.json")
    return join([facts, _curves(context, run), paragraph(context.run_file_link(run, "done.json"), "source")])


def _curves(context: ReportContext, run: Run) -> Markup:
    """Return loss per iteration and accuracy per epoch, or the reason why they are missing."""
    texts, drawings = context.texts, curve_figures_of(run, context.texts)
    if not drawings:
        return paragraph(texts("curves.none"))
    figures = []
    for drawing in drawings:
        kind = drawing.name.partition("-")[0]
        source = "steps.csv" if kind == "steps" else "epochs.csv"
        figures.append(context.add_figure(drawing, texts(f"curves.{kind}.caption"), f"data/runs/{run.id}/{source}"))
    has_epochs = any(drawing.name.startswith("epochs") for drawing in drawings)
    return columns(figures) + (Markup("") if has_epochs else paragraph(texts("curves.one_epoch")))


def _effective_settings(run: Run) -> list[str]:
    """Return the settings that affected the run: not `unfreeze` with frozen features, not STEP_SETTINGS without steps."""
    unused = {"features": {"unfreeze"}, "ensemble": {"head"}}.get(run.regime, set[str]())
    has_steps = run.config.get("head") not in ("svm", "boosting") and len(run.steps()) > 1
    return [name for name in SETTINGS if name not in (unused if has_steps else unused | STEP_SETTINGS)]


def _has_effect(name: str, value: Any) -> bool:  # noqa: ANN401 - any setting
    """Return True unless the value is the one without effect; 0 is a seed like others."""
    if name in ("seed", "mirror"):
        return value is not None and value != NEUTRAL.get(name)
    return bool(value) and value != NEUTRAL.get(name)


def _setting_text(context: ReportContext, run: Run, name: str, value: Any) -> str:  # noqa: ANN401 - any setting
    texts = context.texts
    if name == "model" and run.regime == "ensemble":
        return texts(f"ensemble_gains.method.{ensemble_method(run)}")
    if name == "weights" and isinstance(value, str):
        return value.replace("\\", "/").rpartition("/")[2]
    if isinstance(value, bool):
        return texts("setting.on" if value else "setting.off")
    if value in TRANSLATED:
        return texts(f"setting.value.{value}")
    if name == "regime":
        return texts(f"regime.{value}")
    return texts.plain(value) if isinstance(value, float) else str(value)


def render_comparison(context: ReportContext) -> Markup:
    """Return accuracies with intervals, the runs tied with the best, and their differences to it."""
    texts, comparison = context.texts, context.comparison
    if comparison is None or len(comparison["runs"]) < 2:
        return note(texts("comparison.single_run"), "missing")
    best, tied = comparison["best"], comparison["tied_with_best"]
    rows = [(row["run"], row["accuracy"], *row["accuracy_interval"]) for row in comparison["runs"]]
    alt = texts("comparison.alt", best=best, accuracy=texts.percent(rows[0][1]), n=len(tied) - 1)
    chart = intervals_chart("comparison", rows, texts("axis.accuracy"), alt, texts, strong=tied)
    verdict = {1: "comparison.best_alone", 2: "comparison.tied_one"}.get(len(tied), "comparison.tied")
    return join(
        [
            context.add_figure(chart, texts("comparison.caption", n=comparison["n"]), "data/runs"),
            note(texts(verdict, best=best, n=len(tied) - 1), "good" if len(tied) == 1 else "info"),
            heading(texts("comparison.against", best=best)),
            _differences_table(context, [pair for pair in comparison["pairs"] if pair["a"] == best]),
            paragraph(texts("comparison.method")),
            context.render_part(partial(render_ensemble_gains, context)),
        ]
    )


def _differences_table(context: ReportContext, pairs: list[dict[str, Any]]) -> Markup:
    texts = context.texts
    head = [texts(f"comparison.{name}") for name in ("other", "difference", "interval", "p", "p_holm")]
    body = [
        [
            pair["b"],
            texts.points(pair["difference"]),
            texts.span(pair["interval"]),
            texts.probability(pair["p"]),
            texts.probability(pair["p_holm"]),
        ]
        for pair in pairs
    ]
    caption = texts("comparison.table")
    return context.add_table("differences", head, body, caption=caption, numeric=(1, 2, 3, 4), source="data/runs")
