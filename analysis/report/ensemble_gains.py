"""Section of the report on ensembles: members, gain and cost, and those of test-time augmentation, measured on validation."""

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
from fototeca.analysis.report.html import join, note, paragraph, titled
from fototeca.analysis.tabular import NamedCell
from fototeca.core.errors import FototecaError
from fototeca.core.kinds import Integer, ListOf, Number, Record
from fototeca.train.runs import Run

COLUMNS = ("name", "gain", "interval", "p", "alone", "with", "passes", "seconds_alone", "seconds")
"""Columns of the table."""

_GAIN = Record(
    {
        **dict.fromkeys(("accuracy", "gain", "p", "seconds_per_image", "seconds_per_image_alone"), Number()),
        "views": Integer(1),
        "gain_interval": ListOf(Number(), low=2, high=2),
    }
)


def render_ensembles(context: ReportContext) -> Markup:
    """Return the table of gains: each ensemble beside its best member, and test-time augmentation of the best single run."""
    texts, runs = context.texts, context.ranked_runs
    if not runs:
        return note(texts("ensemble_gains.no_runs"), "missing") + context.hint("fototeca train ensemble RUN RUN")
    single = next((run for run in runs if not _members(run)), None)
    ensembles = [run for run in runs if _members(run)]
    makers: list[Callable[[], list[str] | None]] = [partial(_ensemble_row, context, run) for run in ensembles]
    makers += [partial(_tta_row, context, single)] if single else []
    rows: list[list[str]] = []
    parts = [paragraph(texts("ensemble_gains.intro"))]
    if not ensembles:
        best = " ".join(quote(run.id) for run in runs[:3])
        parts = [note(texts("ensemble_gains.no_ensemble"), "missing"), context.hint(f"fototeca train ensemble {best}"), *parts]
    for make_row in makers:
        try:
            rows += filter(None, [make_row()])
        except FototecaError as error:  # a run that cannot be evaluated must not hide the others
            parts.append(note(texts("part.failed", reason=str(error)), "warn"))
    if rows:
        head, caption = [texts(f"ensemble_gains.{name}") for name in COLUMNS], texts("ensemble_gains.table")
        numeric = tuple(range(1, len(COLUMNS)))
        parts.append(context.add_table("ensemble-gains", head, rows, caption=caption, numeric=numeric, source="data/runs"))
    parts += [describe_members(context, run) for run in ensembles]
    return join(parts)


def describe_members(context: ReportContext, run: Run) -> Markup:
    """Return a table of an ensemble's members with weight, accuracy and size."""
    texts, names = context.texts, _members(run)
    weights = run.config.get("member_weights") or [None] * len(names)
    by_id = {candidate.id: candidate for candidate in context.runs}
    body = []
    for name, weight in zip(names, weights, strict=False):
        member = by_id.get(name)
        accuracy = float(context.validation[name].correct.mean()) if name in context.validation else None
        size = member.metrics.parameters if member else None
        body.append([context.run_cell(name), texts.percent(accuracy), texts.number(size), texts.number(weight, 2)])
    head = [texts(f"ensemble_gains.{key}") for key in ("member", "accuracy", "parameters", "weight")]
    caption = texts("ensemble_gains.members", run=context.run_name(run.id))
    return context.add_table(f"members-{run.id}", head, body, caption=caption, numeric=(1, 2, 3), source=f"data/runs/{run.id}")


def members_text(context: ReportContext, run: Run) -> str:
    """Return the members of an ensemble with their sizes; empty for a single model."""
    by_id = {candidate.id: candidate for candidate in context.runs}
    sizes = {name: context.texts.number(by_id[name].metrics.parameters) if name in by_id else "–" for name in _members(run)}
    return "; ".join(f"{context.run_name(name)} ({size})" for name, size in sizes.items())


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
    name = context.texts(
        "ensemble_gains.views" if gain["used"] else "ensemble_gains.views_unused", run=context.run_name(run.id), n=gain["views"]
    )
    seconds = gain["seconds_per_image_alone"], gain["seconds_per_image"]
    cell = NamedCell(titled(name, run.id), f"tta {run.id}")
    return _row(context, cell, gain["accuracy"] - gain["gain"], gain, gain["views"], seconds)


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
    name = context.texts("ensemble_gains.ensemble", run=context.run_name(run.id), best=context.run_name(best.run.id))
    passes = 1 if "soup" in run.config else len(_members(run))
    seconds = _seconds_per_image(context, best.run), _seconds_per_image(context, run)
    return _row(context, NamedCell(titled(name, run.id), run.id), float(best.correct.mean()), gain, passes, seconds)


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
    name: NamedCell,
    alone: float,
    gain: dict[str, Any],
    passes: int,
    seconds: tuple[float | None, float | None],
) -> list[str]:
    texts = context.texts
    return [
        name,
        texts.points(gain["gain"]),
        texts.span(gain["gain_interval"]),
        texts.probability(gain["p"]),
        texts.percent(alone),
        texts.percent(gain["accuracy"]),
        texts.number(passes),
        *("–" if value is None else texts.plain(float(f"{value:.2g}")) for value in seconds),
    ]
