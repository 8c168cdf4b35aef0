"""The report's middle: every model with its settings and curves, and how they compare."""

from __future__ import annotations

from functools import partial
from typing import Any

from markupsafe import Markup

from fototeca.analysis.plots.charts import intervals_chart
from fototeca.analysis.plots.figures import curve_figures_of
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.ensemble_gains import gains, how_joined
from fototeca.analysis.report.html import columns, details, heading, join, note, paragraph
from fototeca.train.runs import Run

SETTINGS = (
    "model",
    "regime",
    "head",
    "unfreeze",
    "weights",
    "image_size",
    "epochs",
    "batch_size",
    "optimizer",
    "lr",
    "weight_decay",
    "schedule",
    "layer_decay",
    "freeze_bn",
    "augment",
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
"""What is shown of a run's configuration, in order: every setting that makes it another run."""

IDLE = {"layer_decay": 1.0, "accumulate": 1, "precision": "32", "balance": "none"}
"""Values of settings that do nothing, as 0 and nothing do elsewhere: a setting is not shown where it is left at its own."""

WORDS = ("none", "all", "half", "head", "linear", "logistic", "basic", "constant", "weights", "sampling")
"""Values of settings that are words of a language; others are names."""

STEPPED = frozenset({"epochs", "batch_size", "optimizer", "lr", "schedule"})
"""Those that only matter where a model learns step by step."""

OPENED = 2
"""So many models are shown unfolded."""


def models(story: ReportContext) -> Markup:
    """Every run: settings, accuracies, loss per iteration, accuracy per epoch."""
    words = story.words
    if not story.ranked:
        return join([note(words("models.none", version=story.manifest.version), "missing"), _broken(story)])
    head = [words(f"models.{name}") for name in ("run", "regime", "train", "val", "interval", "parameters", "seconds", "speed")]
    compared = {row["run"]: row for row in (story.comparison or {"runs": []})["runs"]}
    body = [_summary(story, run, compared[run.id]) for run in story.ranked]
    parts = [
        paragraph(words("models.intro", n=len(story.ranked))),
        story.table(
            "models", head, body, caption=words("models.table"), numeric=(2, 3, 4, 5, 6, 7), strong=(0,), source="data/runs"
        ),
        _broken(story),
    ]
    parts += [
        details(run.id, story.part(partial(_model, story, run)), opened=number < OPENED)
        for number, run in enumerate(story.ranked)
    ]
    return join(parts)


def _broken(story: ReportContext) -> Markup:
    """The runs that are left out, each with its reason."""
    broken = "; ".join(f"{run}: {why}" for run, why in story.problems.items())
    return note(story.words("models.broken", what=broken), "warn") if broken else Markup("")


def _summary(story: ReportContext, run: Run, compared: dict[str, Any]) -> list[Markup | str]:
    words, done = story.words, run.facts
    return [
        run.id,
        words(f"regime.{run.regime}"),
        words.percent(done.get("train_accuracy")),
        words.percent(compared["accuracy"]),
        words.interval(compared["accuracy_interval"]),
        words.number(done.get("parameters")),
        words.number(done.get("seconds"), 1),
        words.number(done.get("images_per_second") or None, 0),
    ]


def _model(story: ReportContext, run: Run) -> Markup:
    words, done = story.words, run.facts
    pairs = [
        (words(f"setting.{name}"), _shown(story, run, name, run.config[name]))
        for name in _used(run)
        if _does_something(name, run.config.get(name))
    ]
    results = [
        (words("models.train"), words.percent(done.get("train_accuracy"))),
        (words("models.val"), words.percent(done.get("val_accuracy"))),
        (words("models.best_epoch"), words.number(done.get("best_epoch"))),
    ]
    drawings = curve_figures_of(run, words)
    shown = [
        story.draw(
            drawing, words(f"curves.{drawing.name.partition('-')[0]}.caption"), f"data/runs/{run.id}/{_source(drawing.name)}"
        )
        for drawing in drawings
    ]
    curves = columns(shown) if shown else paragraph(words("curves.none"))
    if shown and not any(drawing.name.startswith("epochs") for drawing in drawings):
        curves += paragraph(words("curves.one_epoch"))
    files = story.run_file(run, "done.json")
    told = story.facts(f"run-{run.id}", [*results, *pairs], f"data/runs/{run.id}/config.json")
    return join([told, curves, paragraph(files, "source")])


def _used(run: Run) -> list[str]:
    """The settings that this run made use of: nothing thaws over frozen features, and what is fitted at once takes no steps."""
    idle = {"features": {"unfreeze"}, "ensemble": {"head"}}.get(run.regime, set[str]())
    stepped = run.config.get("head") not in ("svm", "boosting") and len(run.steps()) > 1
    return [name for name in SETTINGS if name not in (idle if stepped else idle | STEPPED)]


def _does_something(name: str, value: Any) -> bool:  # noqa: ANN401 - any setting
    """Whether a setting is more than what is left at its own; 0 is a seed like others."""
    return value is not None if name == "seed" else bool(value) and value != IDLE.get(name)


def _source(name: str) -> str:
    return "steps.csv" if name.startswith("steps") else "epochs.csv"


def _shown(story: ReportContext, run: Run, name: str, value: Any) -> str:  # noqa: ANN401 - any setting
    if name == "model" and run.regime == "ensemble":
        return story.words(f"gains.how.{how_joined(run)}")
    if name == "weights" and isinstance(value, str):
        return value.replace("\\", "/").rpartition("/")[2]
    if value is True or value in WORDS:
        return story.words(f"setting.{'on' if value is True else f'value.{value}'}")
    return (
        story.words(f"regime.{value}")
        if name == "regime"
        else story.words.plain(value)
        if isinstance(value, float)
        else str(value)
    )


def comparison(story: ReportContext) -> Markup:
    """Accuracies with intervals, and which runs cannot be told apart from the best."""
    words, found = story.words, story.comparison
    if found is None or len(found["runs"]) < 2:
        return note(words("comparison.one"), "missing")
    rows = [(row["run"], row["accuracy"], *row["accuracy_interval"]) for row in found["runs"]]
    like = found["tied_with_best"]
    alt = words("comparison.alt", best=found["best"], accuracy=words.percent(rows[0][1]), n=len(like) - 1)
    chart = intervals_chart("comparison", rows, words("axis.accuracy"), alt, words, strong=like)
    kind = {1: "comparison.alone", 2: "comparison.like_one"}.get(len(like), "comparison.like")
    verdict = words(kind, best=found["best"], n=len(like) - 1)
    pairs = [pair for pair in found["pairs"] if pair["a"] == found["best"]]
    head = [words(f"comparison.{name}") for name in ("other", "difference", "interval", "p", "p_holm")]
    body = [
        [
            pair["b"],
            words.points(pair["difference"]),
            words.span(pair["interval"]),
            words.probability(pair["p"]),
            words.probability(pair["p_holm"]),
        ]
        for pair in pairs
    ]
    return join(
        [
            story.draw(chart, words("comparison.caption", n=found["n"]), "data/runs"),
            note(verdict, "good" if len(like) == 1 else "info"),
            heading(words("comparison.against", best=found["best"])),
            story.table("differences", head, body, caption=words("comparison.table"), numeric=(1, 2, 3, 4), source="data/runs"),
            paragraph(words("comparison.method")),
            story.part(partial(gains, story)),
        ]
    )
