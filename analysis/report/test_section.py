"""The report's figures on test beside those on validation, why they differ, and every look that was taken."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from markupsafe import Markup

from fototeca.analysis.evaluation.evaluate import access_predictions, compute_metrics, fit_run_temperature
from fototeca.analysis.evaluation.generalization_gap import explain_generalization_gap
from fototeca.analysis.evaluation.predictions import SplitPredictions, read_split_predictions
from fototeca.analysis.evaluation.test_access_log import REPORT
from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.figures import confusion_figure
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import heading, join, link, note, paragraph, tag
from fototeca.analysis.report.metrics_tables import calibration, classes_table, figures_table, yes_no_table
from fototeca.analysis.tabular import Table, flatten_values
from fototeca.train.runs import Run


def looked_at(story: ReportContext) -> Run | None:
    """The best of the runs that have test predictions; None before the first look."""
    return next((run for run in story.ranked if (run.folder / "predictions-test.csv").exists()), None)


def test(story: ReportContext) -> Markup:
    """The figures on test and validation side by side, why they differ, and in any case every look that was taken."""
    run = looked_at(story)
    figures = partial(_nothing, story) if run is None else partial(_measured, story, run)
    return join([story.part(figures), story.part(partial(_looks, story, run))])


def _nothing(story: ReportContext) -> Markup:
    """How to take the first look; or that looks were taken of which nothing is left."""
    if story.access_log.full_accesses:
        return note(story.words("test.lost"), "warn")
    best = story.ranked[0].id if story.ranked else "RUN"
    return join([note(story.words("test.none"), "missing"), tag("pre", f"fototeca analysis evaluate {best} --split test")])


def _measured(story: ReportContext, run: Run) -> Markup:
    words, val = story.words, story.validation[run.id]
    held_out = _held_out(story, run)
    temperature = fit_run_temperature(val)
    sides = [compute_metrics(results, temperature).to_json() for results in (val, held_out)]
    best = story.ranked[0].id
    intro = words("test.chosen", run=run.id) if run.id == best else words("test.other", run=run.id, best=best)
    parts: list[Callable[[], Markup]] = [
        partial(_headline, story, sides[1]),
        partial(figures_table, story, "test", sides),
        partial(_why, story, val, held_out),
        partial(classes_table, story, "classes", sides),
        partial(_confusion, story, held_out),
        partial(calibration, story, "reliability", held_out, sides[1]),
    ]
    return join([paragraph(intro), *map(story.part, parts)])


def _held_out(story: ReportContext, run: Run) -> SplitPredictions:
    """What the run said on test. Nobody sees it without a look on record: where there is none, showing it is one."""
    if story.access_log.full_accesses_of(run.id):
        return read_split_predictions(story.workspace, run, "test", story.manifest)
    found = access_predictions(story.workspace, run, "test", REPORT, story.manifest)
    del story.access_log  # so that the table and the cover have it too
    return found


def _headline(story: ReportContext, facts: dict[str, Any]) -> Markup:
    words = story.words
    value = tag("strong", link(words.percent(facts["accuracy"]), story.row("test", 0)))
    under = words("test.headline", interval=words.interval(facts["accuracy_interval"]), n=facts["n"])
    return tag("p", join([value, " ", tag("span", under)]), class_="headline")


def _why(story: ReportContext, val: SplitPredictions, held_out: SplitPredictions) -> Markup:
    """Each reason with its number, in words, and where in `gap.csv` it stands."""
    words = story.words
    gap = explain_generalization_gap(story.workspace, story.manifest, val, held_out, list(story.validation.values())).to_json()
    rows = flatten_values(gap)
    story.numbers.append(Table("gap", ("what", "value"), tuple(rows)))
    reasons = _reasons(words, gap)
    places = {name: next((i for i, (what, _) in enumerate(rows) if what.split(".")[0] == name), 0) for name in reasons}
    items = join(
        tag("li", join([said, " ", tag("span", link(words("figure.data"), story.row("gap", places[name])), class_="source")]))
        for name, said in reasons.items()
    )
    chance = "gap.chance" if gap["sampling"]["p"] >= 0.05 else "gap.real"
    verdict = words(chance, difference=words.points(gap["difference"]))
    return join([heading(words("gap.title")), paragraph(story.lead(verdict, "gap")), tag("ul", items)])


def _reasons(words: Texts, gap: dict[str, Any]) -> dict[str, str]:
    """What may account for the difference, by its key in the facts."""
    chance, chosen, mix = gap["sampling"], gap["selection"], gap["class_mix"]
    source, calibration, measured = gap["sources"], gap["calibration"], gap["quality"]
    low, high = (words.points(end) for end in chance["interval"])
    error = words.points(chance["standard_error"]).lstrip("+")
    quality = words("gap.no_quality")
    if measured:
        name, shift = min(measured.items(), key=lambda pair: pair[1]["p"])
        quality = words("gap.quality", n=len(measured), measure=words(f"quality.{name}"), **_chances(words, gap, shift))
    return {
        "sampling": words("gap.sampling", error=error, low=low, high=high, p=words.probability(chance["p"])),
        "selection": _selection(words, chosen),
        "class_mix": words("gap.mix", effect=words.points(mix["effect"]), distance=words.percent(mix["distance"])),
        "groups_across_splits": words("splits.never_deduplicated")
        if gap["groups_across_splits"] is None
        else words("gap.groups", n=gap["groups_across_splits"]),
        "sources": words("gap.sources", distance=words.percent(source["distance"]), **_chances(words, gap, source)),
        "unseen_sources": _unseen(words, gap["unseen_sources"]),
        "calibration": words(
            "gap.calibration",
            **{name: words.percent(calibration[name]) for name in ("val_ece", "test_ece", "val_confidence", "test_confidence")},
            difference=words.points(calibration["ece_difference"]),
        ),
        "quality": quality,
    }


def _selection(words: Texts, chosen: dict[str, Any]) -> str:
    """What having chosen the run adds, where there was a choice and it was chosen."""
    if chosen["candidates"] == 1:
        return words("gap.no_choice")
    if not chosen["chosen"]:
        return words("gap.not_chosen")
    return words("gap.selection", k=chosen["candidates"], optimism=words.points(chosen["optimism"]))


def _chances(words: Texts, gap: dict[str, Any], shift: dict[str, Any]) -> dict[str, object]:
    """A shift's p as it is, and corrected for all that were tested."""
    return {"p": words.probability(shift["p"]), "holm": words.probability(shift["p_holm"]), "tests": gap["shift_tests"]}


def _unseen(words: Texts, found: dict[str, Any]) -> str:
    """Whether test has sources that the model did not learn from."""
    if not found["names"]:
        return words("gap.no_unseen")
    there, elsewhere = words.percent(found["test_accuracy"]), words.percent(found["test_accuracy_elsewhere"])
    counts = {"val": found["val"], "test": found["test"]}
    return words("gap.unseen", names=", ".join(found["names"]), there=there, elsewhere=elsewhere, **counts)


def _confusion(story: ReportContext, held_out: SplitPredictions) -> Markup:
    if held_out.multi:
        return join([heading(story.words("confusion.title"), 4), yes_no_table(story, "confusion-test", held_out)])
    drawing = confusion_figure("confusion-test", held_out, story.words)
    source = f"data/runs/{held_out.run.id}/predictions-test.csv"
    return story.draw(drawing, story.words("test.confusion", n=len(held_out)), source)


def _looks(story: ReportContext, run: Run | None) -> Markup:
    """The ledger, and what follows from it for the figures."""
    words, found = story.words, story.access_log
    remarks = _remarks(story)
    if run is not None and not found.has_evaluation(run.id):
        remarks.append(note(words("looks.unwritten", run=run.id), "warn"))
    body = [
        [look.time.replace("T", " ")[:16], look.actor, look.run, look.purpose, words.number(look.n), words.percent(look.accuracy)]
        for look in found.accesses
    ]
    if not body:
        return join(remarks)
    head = [words(f"looks.{name}") for name in ("time", "who", "run", "purpose", "n", "accuracy")]
    shown = story.table("looks", head, body, caption=words("looks.table"), numeric=(4, 5), source="data/runs/test_access.csv")
    return join([heading(words("looks.title")), shown, *remarks])


def _remarks(story: ReportContext) -> list[Markup]:
    """What the looks mean: one model seen in one way is an honest estimate, anything else is a choice."""
    words, found = story.words, story.access_log
    remarks = []
    if len(found.runs) > 1:
        remarks.append(note(words("looks.several", n=len(found.full_accesses), runs=len(found.runs)), "warn"))
    elif found.full_accesses and len(seen := found.accuracies(found.runs[0])) > 1:
        remarks.append(note(words("looks.ways", run=found.runs[0], n=len(seen)), "warn"))
    elif found.full_accesses and seen:
        kind = "looks.once" if len(found.full_accesses) == 1 else "looks.again"
        remarks.append(note(words(kind, run=found.runs[0], n=len(found.full_accesses)), "good"))
    if single := len(found.accesses) - len(found.full_accesses):
        remarks.append(note(words("looks.predicted", n=single), "warn"))
    if cut := sum(look.n is None for look in found.accesses):
        remarks.append(note(words("looks.cut", n=cut), "warn"))
    return remarks
