"""The report's look inside: for the best model and another one, examples, confusion, attributions, features."""

from __future__ import annotations

from functools import partial

from markupsafe import Markup

from fototeca.analysis.evaluation.evaluate import compute_metrics, fit_run_temperature
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.examples import error_groups
from fototeca.analysis.plots.figures import confusion_figure
from fototeca.analysis.report.attributions import attributions
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.embedding import embedding
from fototeca.analysis.report.examples import examples
from fototeca.analysis.report.html import heading, join, note, paragraph, tag
from fototeca.analysis.report.metrics_tables import calibration, classes_table, figures_table, yes_no_table
from fototeca.train.runs import Run


def studied(story: ReportContext) -> Markup:
    """Both models, one after the other."""
    if not story.studied:
        return note(story.words("studied.none"), "missing")
    parts = [paragraph(story.words("studied.intro"))]
    if story.studied[0] is not story.ranked[0]:
        parts.append(note(story.words("studied.several", run=story.ranked[0].id)))
    for number, run in enumerate(story.studied):
        title = story.words("studied.best" if number == 0 else "studied.other", run=run.id)
        parts.append(tag("section", join([heading(title), _study(story, run)]), class_="study"))
    if len(story.studied) < 2:
        parts.append(note(story.words("studied.alone"), "missing"))
    return join(parts)


def _study(story: ReportContext, run: Run) -> Markup:
    results = story.validation[run.id]
    parts = (_measured, examples, _confusion, attributions)
    made = [story.part(partial(part, story, results)) for part in parts]
    return join([*made, story.part(partial(embedding, story, run))])


def _measured(story: ReportContext, results: SplitPredictions) -> Markup:
    """The figures of validation, by category too, and whether it knows how sure to be."""
    run = results.run
    sides = [compute_metrics(results, fit_run_temperature(results)).to_json()]
    return join(
        [
            heading(story.words("measured.title"), 4),
            figures_table(story, f"figures-{run.id}", sides),
            classes_table(story, f"classes-{run.id}", sides),
            calibration(story, f"reliability-{run.id}", results, sides[0]),
        ]
    )


def _confusion(story: ReportContext, results: SplitPredictions) -> Markup:
    """The matrix, or of several labels one for each category, and what is most often taken for what."""
    words, name = story.words, f"confusion-{results.run.id}"
    source = f"data/runs/{results.run.id}/predictions-val.csv"
    if results.multi:
        shown = yes_no_table(story, name, results)
    else:
        shown = story.draw(confusion_figure(name, results, words), words("confusion.caption", n=len(results)), source)
    return join([heading(words("confusion.title"), 4), shown, _pairs(story, results, source)])


def _pairs(story: ReportContext, results: SplitPredictions, source: str) -> Markup:
    words = story.words
    found = error_groups(results)["confused_pairs"][:8]
    if not found:
        return paragraph(words("confusion.no_errors"))
    pairs = [[story.label(pair["true"]), story.label(pair["predicted"]), words.number(pair["n"])] for pair in found]
    head = [words("axis.true"), words("axis.predicted"), words("confusion.errors")]
    return story.table(f"confused-{results.run.id}", head, pairs, caption=words("confusion.pairs"), numeric=(2,), source=source)
