"""The report's right and wrong images, each with its map and its nearest training images, and what the errors share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from markupsafe import Markup, escape

from fototeca.analysis.attribution.explain import explain_one
from fototeca.analysis.cache import cached_json
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.examples import choose, doubted, error_groups, errors_by_quality, neighbours_of, suspects, worst_per_class
from fototeca.analysis.images import data_uri
from fototeca.analysis.report.attributions import SHOWN_METHODS, shown_verdicts, stamped
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import Tile, card, cards, details, heading, join, note, paragraph, tag
from fototeca.core.errors import FototecaError

EXAMPLES = 8
"""Images of each kind."""

OPENED = ("wrong", "right")
"""The kinds that are shown unfolded."""

METHOD = SHOWN_METHODS[0]
"""The map beside each image: of the methods that the report puts to trials, whose verdict stands above the images."""


def examples(story: ReportContext, results: SplitPredictions) -> Markup:
    """Right and wrong, picked and at random, least sure, worst of each category; suspected label errors; what errors share."""
    words = story.words
    kinds = choose(results, EXAMPLES)
    worst = list(worst_per_class(results).values())
    kinds["worst"] = worst[:EXAMPLES]
    every = sorted({index for found in kinds.values() for index in found})
    near, gone = _neighbours(story, results, sorted({*every, *doubted(results)}))
    suspected = suspects(results, near, story.manifest)
    maps = _maps(story, results, sorted({*every, *suspected[:EXAMPLES]}))
    parts = [heading(words("examples.title"), 4), paragraph(words("examples.intro" if maps else "examples.intro_without_maps"))]
    parts += [_verdict(story, results) if maps else Markup(""), gone]
    for kind, chosen in kinds.items():
        shown = [_card(story, results, index, maps.get(results.rows[index].image_id, ""), near) for index in chosen]
        inner = cards(shown) if shown else paragraph(words("examples.none"))
        if kind == "worst" and len(worst) > EXAMPLES:
            inner += paragraph(words("examples.more", n=EXAMPLES, total=len(worst), run=results.run.id))
        parts.append(details(words(f"examples.{kind}"), inner, opened=kind in OPENED))
    parts.append(story.part(partial(_source, story, results)))
    parts.append(story.part(partial(_suspects, story, results, suspected, maps, near)))
    parts.append(story.part(partial(_shared, story, results)))
    return join(parts)


def _verdict(story: ReportContext, results: SplitPredictions) -> Markup:
    """What the trials say of every map beside these images, since they say it of its method."""
    verdict = shown_verdicts(story, results).get(METHOD, {})
    return paragraph(story.words("examples.stamp", method=METHOD, stamp=stamped(story, verdict)))


def _neighbours(story: ReportContext, results: SplitPredictions, chosen: Sequence[int]) -> tuple[dict[str, list[str]], Markup]:
    """Of each image the ids of the nearest training images; none, and a note, when a file that is needed is gone."""
    try:
        return neighbours_of(story.workspace, story.manifest, results, chosen), Markup("")
    except FototecaError as error:
        return {}, note(error.message, "warn")


def _maps(story: ReportContext, results: SplitPredictions, chosen: Sequence[int]) -> dict[str, str]:
    """By image id a data URI of the map of what was said; empty when the run's classifier is no network."""
    if story.model(results.run).module is None:
        return {}
    files = [story.workspace.root / results.rows[index].path for index in chosen]
    there = [(index, path.stat().st_size) for index, path in zip(chosen, files, strict=True) if path.is_file()]

    def draw() -> dict[str, str]:
        model = story.model(results.run)
        found = {}
        for index, _ in there:
            with suppress(FototecaError):  # a torn file: its card has no map, as its thumbnail is none
                one = explain_one(story.workspace, model, results, index, [METHOD])
                found[one.image_id] = data_uri(one.drawn.maps[METHOD].resize((112, 112)))
        return found

    asked = [METHOD, [[results.rows[index].image_id, size] for index, size in there]]  # a file that was restored has another size
    drawn: dict[str, str] = cached_json(story.workspace, results.run, "examples", asked, draw)
    return drawn


def _card(story: ReportContext, results: SplitPredictions, index: int, drawn: str, near: dict[str, list[str]]) -> Markup:
    """The image, its map, what was said, where it is from, and its nearest training images."""
    row, words = results.rows[index], story.words
    label, said = story.label(results.labels[index]), story.label(results.predicted_labels[index])
    right, sure = bool(results.correct[index]), words.percent(float(results.confidence[index]), 0)
    says = f"{said} · {sure}" if right else words("examples.said", said=said, sure=sure)
    told = [story.file(f"data/runs/{results.run.id}/predictions-val.csv", says, index)]
    told += [] if right else [escape(words("examples.true", label=label))]
    mark = "right" if right else "wrong"
    seen = Tile(story.thumbnail(row, 112), words("examples.alt", label=label, said=said), (*told, row.source), mark, row.page_url)
    why = Tile(drawn, words("attribution.alt", method=METHOD, said=said))
    return card(seen, why if drawn else None, [_near(story, image_id) for image_id in near.get(row.image_id, [])])


def _near(story: ReportContext, image_id: str) -> Tile:
    row = story.rows[image_id]
    label = story.label(row.label)
    return Tile(story.thumbnail(row, 56), story.words("examples.near", label=label), (label,))


def _source(story: ReportContext, results: SplitPredictions) -> Markup:
    return paragraph(story.run_file(results.run, "predictions-val.csv"), "source")


def _suspects(
    story: ReportContext, results: SplitPredictions, found: Sequence[int], maps: dict[str, str], near: dict[str, list[str]]
) -> Markup:
    """Confident mistakes among whose neighbours everything speaks for what the model said."""
    words = story.words
    if not found:
        return paragraph(words("suspects.none"))
    ids = " ".join(results.rows[index].image_id[:12] for index in found[:EXAMPLES])
    return join(
        [
            heading(words("suspects.title"), 5),
            paragraph(words("suspects.intro", n=len(found))),
            cards([_card(story, results, index, maps.get(results.rows[index].image_id, ""), near) for index in found[:EXAMPLES]]),
            tag("pre", f"fototeca curate label {ids} --label …"),
        ]
    )


def _shared(story: ReportContext, results: SplitPredictions) -> Markup:
    """Errors by source, near-duplicate group and quality; confused pairs stand under the confusion matrix."""
    words, groups = story.words, error_groups(results)
    head = [words("errors.images"), words("errors.errors"), words("errors.share")]
    parts = [heading(words("errors.title"), 5)]
    sources = [[name, *_counted(story, one)] for name, one in groups["by_source"].items()]
    parts.append(_table(story, results, "source", [words("collection.source"), *head], sources))
    together = [[one["group"][:12], *_counted(story, one)] for one in groups["by_group"][:EXAMPLES]]
    if together:
        parts.append(_table(story, results, "group", [words("errors.group"), *head], together))
    else:
        parts.append(paragraph(words("errors.no_groups")))
    measured = errors_by_quality(story.workspace, results)
    rows = [
        [
            words(f"quality.{name}"),
            words.number(one["right"]),
            words.number(one["wrong"]),
            words.number(one["distance"], 2),
            words.probability(one["p"]),
        ]
        for name, one in measured.items()
    ]
    if rows:
        quality = [words(f"errors.{name}") for name in ("measure", "right", "wrong", "distance", "p")]
        parts.append(_table(story, results, "quality", quality, rows))
    else:
        parts.append(paragraph(words("errors.no_quality")))
    return join(parts)


def _counted(story: ReportContext, one: dict[str, Any]) -> list[str]:
    words = story.words
    return [words.number(one["n"]), words.number(one["errors"]), words.percent(one["errors"] / one["n"])]


def _table(story: ReportContext, results: SplitPredictions, by: str, head: list[str], rows: list[list[str]]) -> Markup:
    name, caption = f"errors-{by}-{results.run.id}", story.words(f"errors.by_{by}")
    source = f"data/runs/{results.run.id}/predictions-val.csv"
    return story.table(name, head, rows, caption=caption, numeric=tuple(range(1, len(head))), source=source)
