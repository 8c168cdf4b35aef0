"""The report's look inside: for the best model and another one, examples, confusion, attributions, features."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from analysis.examples import draw, error_groups, neighbours_of, pick, suspects
from analysis.figures import confusion_figure
from analysis.report.attributions import attributions
from analysis.report.embedding import embedding
from analysis.report.html import Tile, heading, join, note, paragraph, table, tag, tiles
from analysis.report.story import Story
from analysis.results import Results
from train.runs import Run

EXAMPLES = 8
"""Pictures of each kind."""


def studied(story: Story) -> Markup:
    """Both models, one after the other."""
    if not story.studied:
        return note(story.words("studied.none"), "missing")
    parts = [paragraph(story.words("studied.intro"))]
    for number, run in enumerate(story.studied):
        title = story.words("studied.best" if number == 0 else "studied.other", run=run.id)
        parts.append(tag("section", join([heading(title), _study(story, run)]), class_="study"))
    return join(parts)


def _study(story: Story, run: Run) -> Markup:
    results = story.validation[run.id]
    return join([_examples(story, results), _confusion(story, results), attributions(story, results), embedding(story, run)])


def _examples(story: Story, results: Results) -> Markup:
    words = story.words
    kinds = {
        "wrong": pick(results, right=False, number=EXAMPLES),
        "wrong_random": draw(results, right=False, number=EXAMPLES, seed=0),
        "right": pick(results, right=True, number=EXAMPLES),
        "right_random": draw(results, right=True, number=EXAMPLES, seed=0),
        "least_sure": [int(index) for index in np.argsort(results.confidence, kind="stable")[:EXAMPLES]],
    }
    parts = [heading(words("examples.title"), 4)]
    for kind, chosen in kinds.items():
        parts.append(heading(words(f"examples.{kind}"), 5))
        shown = tiles([_tile(story, results, index) for index in chosen])
        parts.append(shown if chosen else paragraph(words("examples.none")))
    parts.append(_suspects(story, results))
    return join(parts)


def _tile(story: Story, results: Results, index: int) -> Tile:
    row, words = results.rows[index], story.words
    label, said = results.labels[index] or words("label.none"), results.said[index] or words("label.none")
    right = bool(results.right[index])
    sure = words.percent(float(results.confidence[index]), 0)
    lines = (
        (f"{said} · {sure}",) if right else (words("examples.said", said=said, sure=sure), words("examples.true", label=label))
    )
    alt = words("examples.alt", label=label, said=said)
    return Tile(story.thumbnail(row), alt, lines, "right" if right else "wrong", row.page_url)


def _suspects(story: Story, results: Results) -> Markup:
    """Confident mistakes among whose neighbours everything speaks for what the model said."""
    surest = pick(results, right=False, number=40)
    neighbours = neighbours_of(story.workspace, story.manifest, results, surest)
    found = suspects(results, neighbours, story.manifest)
    words = story.words
    if not found:
        return paragraph(words("suspects.none"))
    ids = " ".join(results.rows[index].image_id[:12] for index in found[:EXAMPLES])
    return join(
        [
            heading(words("suspects.title"), 5),
            paragraph(words("suspects.intro", n=len(found))),
            tiles([_tile(story, results, index) for index in found[:EXAMPLES]]),
            tag("pre", f"fototeca curate label {ids} --label …"),
        ]
    )


def _confusion(story: Story, results: Results) -> Markup:
    words = story.words
    if results.multi:
        return paragraph(words("confusion.multi"))
    chart = confusion_figure(f"confusion-{results.run.id}", results, words)
    groups = error_groups(results)
    pairs = [[pair["true"], pair["predicted"], words.number(pair["n"])] for pair in groups["confused_pairs"][:8]]
    head = [words("axis.true"), words("axis.predicted"), words("confusion.errors")]
    shown = (
        table(head, pairs, caption=words("confusion.pairs"), numeric=(2,)) if pairs else paragraph(words("confusion.no_errors"))
    )
    return join(
        [
            heading(words("confusion.title"), 4),
            story.draw(chart, words("confusion.caption", n=len(results)), f"data/runs/{results.run.id}/predictions-val.csv"),
            shown,
        ]
    )
