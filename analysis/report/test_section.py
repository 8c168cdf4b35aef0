"""Section of the report on the test split: metrics beside validation, the generalization gap, every access to test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from shlex import quote
from typing import Any

from markupsafe import Markup

from fototeca.analysis.evaluation.evaluate import access_predictions, compute_metrics, fit_run_temperature
from fototeca.analysis.evaluation.generalization_gap import explain_generalization_gap
from fototeca.analysis.evaluation.predictions import SplitPredictions, read_split_predictions
from fototeca.analysis.evaluation.test_access_log import REPORT
from fototeca.analysis.i18n import Texts
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.examples import render_wrong_examples
from fototeca.analysis.report.html import bullets, details, heading, headline, join, link, note, paragraph
from fototeca.analysis.report.metrics_tables import (
    Metrics,
    classes_table,
    confusion_matrices,
    metrics_table,
    render_calibration,
    yes_no_table,
)
from fototeca.analysis.tabular import Table, flatten_values
from fototeca.train.runs import Run

NUM_WRONG = 12
"""Errors on test that are shown."""


def tested_run(context: ReportContext) -> Run | None:
    """Return the best run with test predictions; None before the first evaluation on test."""
    return next((run for run in context.ranked_runs if (run.folder / "predictions-test.csv").exists()), None)


def render_test(context: ReportContext) -> Markup:
    """Return metrics on validation and test, reasons for their difference, and every recorded access to test."""
    run = tested_run(context)
    results = partial(_render_untested, context) if run is None else partial(_render_results, context, run)
    return join([context.render_part(results), context.render_part(partial(_render_accesses, context, run))])


def _render_untested(context: ReportContext) -> Markup:
    """Return how to evaluate on test, or that the predictions of earlier evaluations are gone."""
    if context.access_log.full_accesses:
        return note(context.texts("test.lost"), "warn")
    best = context.ranked_runs[0].id if context.ranked_runs else "RUN"
    return note(context.texts("test.none"), "missing") + context.hint(f"fototeca analysis evaluate {quote(best)} --split test")


def _render_results(context: ReportContext, run: Run) -> Markup:
    texts, val = context.texts, context.validation[run.id]
    test = _test_predictions(context, run)
    temperature = fit_run_temperature(val)
    splits = [compute_metrics(results, temperature).to_json() for results in (val, test)]
    best = context.ranked_runs[0].id
    name = context.run_name(run.id)
    intro = texts("test.best", run=name) if run.id == best else texts("test.other", run=name, best=context.run_name(best))
    parts: list[Callable[[], Markup]] = [
        partial(_headline, context, splits[1]),
        partial(_render_confusion, context, test),
        partial(_render_wrong, context, test),
        partial(metrics_table, context, "test", splits),
        partial(_render_gap, context, val, test),
        lambda: details(texts("class.table_test"), classes_table(context, "classes", splits)),
        partial(render_calibration, context, "reliability", test, splits[1]),
    ]
    return join([paragraph(intro), *map(context.render_part, parts)])


def _test_predictions(context: ReportContext, run: Run) -> SplitPredictions:
    """Return the stored test predictions; showing them is recorded as an access unless one is on record already."""
    if context.access_log.full_accesses_of(run.id):
        return read_split_predictions(context.workspace, run, "test", context.manifest)
    results = access_predictions(context.workspace, run, "test", REPORT, context.manifest)
    del context.access_log  # read again, so that table and cover include this access
    return results


def _headline(context: ReportContext, metrics: Metrics) -> Markup:
    texts = context.texts
    value = link(texts.percent(metrics["accuracy"]), context.row_href("test", 0))
    return headline(value, texts("test.headline", interval=texts.interval(metrics["accuracy_interval"]), n=metrics["n"]))


def _render_gap(context: ReportContext, val: SplitPredictions, test: SplitPredictions) -> Markup:
    """Return each reason for the difference between validation and test, linked to its row of `generalization-gap.csv`."""
    texts, table = context.texts, "generalization-gap"
    runs = list(context.validation.values())
    gap = explain_generalization_gap(context.workspace, context.manifest, val, test, runs).to_json()
    rows = flatten_values(gap)
    context.data_tables.append(Table(table, ("name", "value"), tuple(rows)))
    first_rows: dict[str, int] = {}
    for index, (name, _) in enumerate(rows):
        first_rows.setdefault(name.split(".")[0], index)
    items = []
    for key, reason in _gap_reasons(texts, gap).items():
        items.append(context.with_data_link(reason, table, first_rows.get(key, 0)))
    is_chance = gap["sampling"]["p"] >= 0.05
    verdict = texts(f"generalization_gap.{'chance' if is_chance else 'significant'}", difference=texts.points(gap["difference"]))
    return join([heading(texts("generalization_gap.title")), paragraph(context.with_data_link(verdict, table)), bullets(items)])


def _gap_reasons(texts: Texts, gap: dict[str, Any]) -> dict[str, str]:
    """Return possible reasons for the difference as text, by their key in `gap`."""
    mix, sources = gap["class_mix"], gap["sources"]
    return {
        "sampling": _sampling_text(texts, gap["sampling"]),
        "selection": _selection_text(texts, gap["selection"]),
        "class_mix": texts(
            "generalization_gap.class_mix", effect=texts.points(mix["effect"]), distance=texts.percent(mix["distance"])
        ),
        "groups_across_splits": texts("splits.not_deduplicated")
        if gap["groups_across_splits"] is None
        else texts("generalization_gap.groups", n=gap["groups_across_splits"]),
        "sources": texts(
            "generalization_gap.sources", distance=texts.percent(sources["distance"]), **_p_values(texts, gap, sources)
        ),
        "unseen_sources": _unseen_sources_text(texts, gap["unseen_sources"]),
        "calibration": _calibration_text(texts, gap["calibration"]),
        "quality": _quality_text(texts, gap),
    }


def _sampling_text(texts: Texts, sampling: dict[str, Any]) -> str:
    low, high = (texts.points(end) for end in sampling["interval"])
    error = texts.points(sampling["standard_error"]).lstrip("+")
    return texts("generalization_gap.sampling", error=error, low=low, high=high, p=texts.probability(sampling["p"]))


def _selection_text(texts: Texts, selection: dict[str, Any]) -> str:
    """Return the optimism from choosing the best of several runs on validation, if the run was chosen that way."""
    if selection["candidates"] == 1:
        return texts("generalization_gap.no_choice")
    if not selection["chosen"]:
        return texts("generalization_gap.not_chosen")
    return texts("generalization_gap.selection", k=selection["candidates"], optimism=texts.points(selection["optimism"]))


def _unseen_sources_text(texts: Texts, unseen: dict[str, Any]) -> str:
    """Return the sources without training images, with the accuracy on their images and on the others."""
    if not unseen["names"]:
        return texts("generalization_gap.no_unseen")
    return texts(
        "generalization_gap.unseen",
        names=", ".join(unseen["names"]),
        val=unseen["val"],
        test=unseen["test"],
        accuracy=texts.percent(unseen["test_accuracy"]),
        accuracy_elsewhere=texts.percent(unseen["test_accuracy_elsewhere"]),
    )


def _calibration_text(texts: Texts, calibration: dict[str, Any]) -> str:
    names = ("val_ece", "test_ece", "val_confidence", "test_confidence")
    values = {name: texts.percent(calibration[name]) for name in names}
    return texts("generalization_gap.calibration", **values, difference=texts.points(calibration["ece_difference"]))


def _quality_text(texts: Texts, gap: dict[str, Any]) -> str:
    """Return the quality measure that differs most between validation and test."""
    shifts = gap["quality"]
    if not shifts:
        return texts("generalization_gap.no_quality")
    name, shift = min(shifts.items(), key=lambda pair: pair[1]["p"])
    measure_name = texts(f"quality.{name}")
    return texts("generalization_gap.quality", n=len(shifts), measure=measure_name, **_p_values(texts, gap, shift))


def _p_values(texts: Texts, gap: dict[str, Any], shift: dict[str, Any]) -> dict[str, object]:
    """Return a shift's p-value, uncorrected and with Holm's correction for all tested shifts."""
    return {"p": texts.probability(shift["p"]), "holm": texts.probability(shift["p_holm"]), "tests": gap["shift_tests"]}


def _render_wrong(context: ReportContext, test: SplitPredictions) -> Markup:
    """Return the most confident errors on test."""
    return heading(context.texts("test.wrong")) + render_wrong_examples(context, test, NUM_WRONG)


def _render_confusion(context: ReportContext, test: SplitPredictions) -> Markup:
    texts = context.texts
    if test.multi:
        return yes_no_table(context, "confusion-test", test)
    return confusion_matrices(context, "confusion-test", test, texts("test.confusion", n=len(test)))


def _render_accesses(context: ReportContext, run: Run | None) -> Markup:
    """Return the table of accesses to test, and what they imply for the test metrics."""
    texts, log = context.texts, context.access_log
    remarks = _access_remarks(context)
    if run is not None and not log.has_evaluation(run.id):
        remarks.append(note(texts("test_access.unrecorded", run=context.run_name(run.id)), "warn"))
    body = [
        [
            access.time.replace("T", " ")[:16],
            access.actor,
            context.run_cell(access.run),
            access.purpose,
            texts.number(access.n),
            texts.percent(access.accuracy),
        ]
        for access in log.accesses
    ]
    if not body:
        return join(remarks)
    head = [texts(f"test_access.{name}") for name in ("time", "user", "run", "command", "images", "accuracy")]
    caption, source = texts("test_access.table"), "data/runs/test_access.csv"
    table = context.add_table("test-access", head, body, caption=caption, numeric=(4, 5), source=source)
    return join([heading(texts("test_access.title")), table, *remarks])


def _access_remarks(context: ReportContext) -> list[Markup]:
    """Return remarks: one model evaluated one way is an unbiased estimate; anything else allows choosing on test."""
    texts, log = context.texts, context.access_log
    remarks = []
    accuracies = log.accuracies(log.runs[0]) if log.full_accesses else ()
    if len(log.runs) > 1:
        remarks.append(note(texts("test_access.several", n=len(log.full_accesses), runs=len(log.runs)), "warn"))
    elif len(accuracies) > 1:
        remarks.append(note(texts("test_access.different", run=context.run_name(log.runs[0]), n=len(accuracies)), "warn"))
    elif accuracies:
        key = "test_access.once" if len(log.full_accesses) == 1 else "test_access.repeated"
        remarks.append(note(texts(key, run=context.run_name(log.runs[0]), n=len(log.full_accesses)), "good"))
    if partial_accesses := len(log.accesses) - len(log.full_accesses):
        remarks.append(note(texts("test_access.predicted", n=partial_accesses), "warn"))
    if interrupted := sum(access.n is None for access in log.accesses):
        remarks.append(note(texts("test_access.interrupted", n=interrupted), "warn"))
    return remarks
