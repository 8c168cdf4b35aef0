"""Gain and cost of test-time augmentation and of ensembles, measured on validation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from shlex import quote
from typing import Any

from markupsafe import Markup

from fototeca.analysis.cache import cached_json
from fototeca.analysis.evaluation.compare import mcnemar_test, paired_difference
from fototeca.analysis.evaluation.tta import measure_seconds_per_image, measure_tta_gain
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import command, heading, join, note, paragraph
from fototeca.core.errors import FototecaError
from fototeca.core.kinds import Integer, ListOf, Number, Record
from fototeca.train.runs import Run

COLUMNS = ("name", "alone", "with", "gain", "interval", "p", "passes", "seconds_alone", "seconds")
"""Columns of the table."""

_GAIN = Record(
    {
        **dict.fromkeys(("accuracy", "gain", "p", "seconds_per_image", "seconds_per_image_alone"), Number()),
        "views": Integer(1),
        "gain_interval": ListOf(Number(), low=2, high=2),
    }
)


def render_ensemble_gains(context: ReportContext) -> Markup:
    """Return the table of gains: test-time augmentation of the best single run, and each ensemble beside its best member."""
    texts, runs = context.texts, context.ranked_runs
    single = next((run for run in runs if not _members(run)), None)
    ensembles = [run for run in runs if _members(run)]
    makers: list[Callable[[], list[str] | None]] = [partial(_tta_row, context, single)] if single else []
    makers += [partial(_ensemble_row, context, run) for run in ensembles]
    rows: list[list[str]] = []
    parts = [heading(texts("ensemble_gains.title")), paragraph(texts("ensemble_gains.intro"))]
    for make_row in makers:
        try:
            rows += filter(None, [make_row()])
        except FototecaError as error:  # a run that cannot be evaluated must not hide the others
            parts.append(note(texts("part.failed", reason=str(error)), "warn"))
    if rows:
        head, caption = [texts(f"ensemble_gains.{name}") for name in COLUMNS], texts("ensemble_gains.table")
        numeric = tuple(range(1, len(COLUMNS)))
        parts.append(context.add_table("ensemble-gains", head, rows, caption=caption, numeric=numeric, source="data/runs"))
    if not ensembles and len(runs) > 1:
        best = " ".join(quote(run.id) for run in runs[:2])
        parts += [paragraph(texts("ensemble_gains.no_ensemble")), command(f"fototeca train ensemble {best}")]
    return join(parts)


def _members(run: Run) -> list[str]:
    """Return the runs that an ensemble or soup was made from; empty for a single model."""
    return list(run.config.get("members") or run.config.get("soup") or [])


def _tta_row(context: ReportContext, run: Run) -> list[str]:
    """Return the row of test-time augmentation; cached, since every validation image is predicted once for each view."""
    workspace = context.workspace
    results = context.validation[run.id].stored(workspace)
    question = [[row.image_id for row in results.rows], "seconds", workspace.settings.mirror]
    gain: dict[str, Any] = cached_json(
        workspace, run, "test-time-augmentation", _GAIN, question, lambda: measure_tta_gain(workspace, results).to_json()
    )
    name = context.texts("ensemble_gains.views" if gain["used"] else "ensemble_gains.views_unused", run=run.id, n=gain["views"])
    seconds = gain["seconds_per_image_alone"], gain["seconds_per_image"]
    return _row(context, name, gain["accuracy"] - gain["gain"], gain, gain["views"], seconds)


def _ensemble_row(context: ReportContext, run: Run) -> list[str] | None:
    """Return the row of an ensemble; None when none of its members, as they were when joined, can be compared."""
    digests = run.config.get("made_of", {})
    available = [context.validation[name] for name in _members(run) if name in context.validation]
    members = [results for results in available if results.run.digest == digests.get(results.run.id)]  # not retrained since
    if not members:
        return None
    best, ensemble = max(members, key=lambda results: float(results.correct.mean())), context.validation[run.id]
    difference = paired_difference(ensemble.correct, best.correct, ensemble.groups)
    gain = {
        "accuracy": float(ensemble.correct.mean()),
        "gain": difference.difference,
        "gain_interval": difference.interval,
        "p": mcnemar_test(ensemble.correct, best.correct, ensemble.groups).p,
    }
    method = context.texts(f"ensemble_gains.method.{ensemble_method(run)}")
    name = context.texts("ensemble_gains.ensemble", run=run.id, method=method, n=len(_members(run)), best=best.run.id)
    passes = 1 if "soup" in run.config else len(_members(run))
    seconds = _seconds_per_image(context, best.run), _seconds_per_image(context, run)
    return _row(context, name, float(best.correct.mean()), gain, passes, seconds)


def ensemble_method(run: Run) -> str:
    """Return how an ensemble was joined: `mean`, `weighted`, `soup`, or `snapshot` (mean of one training's snapshots)."""
    method = str(run.config["method"])
    return "snapshot" if method == "mean" and len(set(run.config["of"])) == 1 else method


def _seconds_per_image(context: ReportContext, run: Run) -> float | None:
    """Return seconds per image, measured once and cached; None where the model or all images are missing."""

    def measure_seconds() -> float:
        results = context.validation[run.id].stored(context.workspace)
        return measure_seconds_per_image(context.workspace, context.load_model(run), results)

    try:
        return float(cached_json(context.workspace, run, "seconds", Number(0), context.manifest.sha256, measure_seconds))
    except FototecaError:
        return None


def _row(
    context: ReportContext,
    name: str,
    alone: float,
    gain: dict[str, Any],
    passes: int,
    seconds: tuple[float | None, float | None],
) -> list[str]:
    texts = context.texts
    return [
        name,
        texts.percent(alone),
        texts.percent(gain["accuracy"]),
        texts.points(gain["gain"]),
        texts.span(gain["gain_interval"]),
        texts.probability(gain["p"]),
        texts.number(passes),
        *("–" if value is None else texts.plain(float(f"{value:.2g}")) for value in seconds),
    ]
