"""Example images in the report, with attribution maps and nearest training images, and what the errors have in common."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from shlex import quote

from markupsafe import Markup

from fototeca.analysis.attribution.explain import explain_one
from fototeca.analysis.cache import DATA_URI, cached_json
from fototeca.analysis.error_patterns import ErrorCount, GroupErrors, error_groups, errors_by_quality
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.evaluation.sampling import pick_most_confident
from fototeca.analysis.examples import choose_examples, confident_errors, find_label_suspects, find_neighbors, worst_per_class
from fototeca.analysis.images import data_uri
from fototeca.analysis.report.attributions import SHOWN_METHODS, badge_text, method_check_results
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import Content, Tile, card, cards, details, heading, join, note, paragraph
from fototeca.core.errors import FototecaError
from fototeca.core.kinds import IMAGE_ID, MapOf
from fototeca.core.public_url import public_url

NUM_EXAMPLES = 8
"""Images of each kind."""

OPEN_KINDS = ("wrong", "right")
"""Kinds shown unfolded."""

SIDE = 144
"""Pixels of an image and of its map."""

METHOD = SHOWN_METHODS[0]
"""Attribution method of the map beside each image; one that the report also puts through the sanity checks."""


@dataclass(frozen=True)
class _CardData:
    """Additions to the cards of a run: maps and nearest training images by image id."""

    results: SplitPredictions
    maps: dict[str, str]
    neighbors: dict[str, list[str]]


def render_examples(context: ReportContext, results: SplitPredictions) -> Markup:
    """Return right and wrong predictions, the most and least confident and random ones, suspected label errors, shared traits."""
    texts = context.texts
    kinds = choose_examples(results, NUM_EXAMPLES)
    worst = list(worst_per_class(results).values())
    kinds["worst"] = worst[:NUM_EXAMPLES]
    indices = sorted({index for chosen in kinds.values() for index in chosen})
    neighbors, missing = _neighbors(context, results, sorted({*indices, *confident_errors(results)}))
    suspected = find_label_suspects(results, neighbors, context.manifest)
    data = _CardData(results, _maps(context, results, sorted({*indices, *suspected[:NUM_EXAMPLES]})), neighbors)
    parts = [paragraph(texts(f"examples.{'intro' if data.maps else 'intro_without_maps'}"))]
    parts += [_method_checks(context, results) if data.maps else Markup(""), missing]
    for kind, chosen in kinds.items():
        content = _cards(context, data, chosen) if chosen else paragraph(texts("examples.nothing"))
        if kind == "worst" and len(worst) > NUM_EXAMPLES:
            content += paragraph(texts("examples.more", n=NUM_EXAMPLES, total=len(worst), run=quote(results.run.id)))
        parts.append(details(texts(f"examples.{kind}"), content, is_open=kind in OPEN_KINDS))
    parts.append(context.render_part(partial(_label_suspects, context, data, suspected)))
    return join(parts)


def _method_checks(context: ReportContext, results: SplitPredictions) -> Markup:
    """Return the check results of METHOD, which apply to each map beside the images."""
    checks = method_check_results(context, results).get(METHOD, {})
    return paragraph(context.texts("examples.checks", method=METHOD, result=badge_text(context, checks)))


def _neighbors(context: ReportContext, results: SplitPredictions, chosen: Sequence[int]) -> tuple[dict[str, list[str]], Markup]:
    """Return the nearest training images by image id; if a needed file is missing, none and a note."""
    try:
        return find_neighbors(context.workspace, context.manifest, results, chosen), Markup("")
    except FototecaError as error:
        return {}, note(error.message, "warn")


def _maps(context: ReportContext, results: SplitPredictions, chosen: Sequence[int]) -> dict[str, str]:
    """Return by image id a data URI of the predicted category's map; empty when the classifier is not a network."""
    if context.load_model(results.run).module is None:
        return {}
    files = [context.workspace.root / results.rows[index].path for index in chosen]
    present = [(index, path.stat().st_size) for index, path in zip(chosen, files, strict=True) if path.is_file()]

    def draw() -> dict[str, str]:
        model = context.load_model(results.run)
        maps = {}
        for index, _ in present:
            with suppress(FototecaError):  # the file is damaged; its card has no map
                explained = explain_one(context.workspace, model, results, index, [METHOD])
                maps[explained.image_id] = data_uri(explained.drawn.maps[METHOD].resize((SIDE, SIDE)))
        return maps

    question = [
        METHOD,
        SIDE,
        [[results.rows[index].image_id, size] for index, size in present],
    ]  # a restored file changes the size
    drawn: dict[str, str] = cached_json(context.workspace, results.run, "examples", MapOf(IMAGE_ID, DATA_URI), question, draw)
    return drawn


def _cards(context: ReportContext, data: _CardData, chosen: Sequence[int]) -> Markup:
    return cards([_card(context, data, index) for index in chosen])


def _card(context: ReportContext, data: _CardData, index: int) -> Markup:
    """Return an image with its map, prediction, source and nearest training images."""
    texts, results = context.texts, data.results
    row, is_right = results.rows[index], bool(results.correct[index])
    label, predicted = context.label_text(results.labels[index]), context.label_text(results.predicted_labels[index])
    confidence = texts.percent(float(results.confidence[index]), 0)
    prediction = f"{predicted} · {confidence}"
    if not is_right:
        prediction = texts("examples.predicted", predicted=predicted, confidence=confidence)
    lines: list[Content] = [context.file_link(predictions_name(results), prediction, index)]
    lines += [] if is_right else [texts("examples.true", label=label)]
    alt, mark = texts("examples.alt", label=label, predicted=predicted), "right" if is_right else "wrong"
    lines += [row.source, *filter(None, [context.file_names.get(row.image_id)])]
    image = Tile(context.thumbnail(row, SIDE), alt, tuple(lines), mark, public_url(row.page_url))
    uri = data.maps.get(row.image_id, "")
    explanation = Tile(uri, texts("attribution.alt", method=METHOD, predicted=predicted)) if uri else None
    neighbors = [_neighbor_tile(context, image_id) for image_id in data.neighbors.get(row.image_id, [])]
    return card(image, explanation, neighbors)


def predictions_name(results: SplitPredictions) -> str:
    """Return the file of predictions, relative to the workspace."""
    return f"data/runs/{results.run.id}/predictions-{results.split}.csv"


def render_wrong_examples(context: ReportContext, results: SplitPredictions, number: int) -> Markup:
    """Return the most confident errors with their stored predictions; no model runs."""
    wrong = pick_most_confident(results, correct=False, number=number)
    return _cards(context, _CardData(results, {}, {}), wrong) if wrong else paragraph(context.texts("examples.nothing"))


def _neighbor_tile(context: ReportContext, image_id: str) -> Tile:
    row = context.rows_by_id[image_id]
    label = context.label_text(row.label)
    return Tile(context.thumbnail(row, 56), context.texts("examples.neighbor", label=label), (label,))


def _label_suspects(context: ReportContext, data: _CardData, suspected: Sequence[int]) -> Markup:
    """Return confident errors whose nearest training images all have the predicted label, and the command to relabel them."""
    texts, shown = context.texts, suspected[:NUM_EXAMPLES]
    if not suspected:
        return paragraph(texts("label_suspects.none"))
    ids = " ".join(data.results.rows[index].image_id[:12] for index in shown)
    return join(
        [
            heading(texts("label_suspects.title"), 5),
            paragraph(texts("label_suspects.intro", n=len(suspected))),
            _cards(context, data, shown),
            context.hint(f"fototeca curate label {ids} --label …"),
        ]
    )


def render_error_patterns(context: ReportContext, results: SplitPredictions) -> Markup:
    """Return errors by source, by near-duplicate group and by image quality; the confusion part has those by pair."""
    texts, groups = context.texts, error_groups(results)
    counts = [texts("errors.images"), texts("errors.errors"), texts("errors.share")]
    parts = list[Markup]()
    rows = [[name, *_error_counts(context, counted)] for name, counted in groups.by_source.items()]
    parts.append(_errors_table(context, results, "source", [texts("collection.source"), *counts], rows))
    rows = [[group.group[:12], *_error_counts(context, group)] for group in groups.by_group[:NUM_EXAMPLES]]
    if rows:
        parts.append(_errors_table(context, results, "group", [texts("errors.group"), *counts], rows))
    else:
        parts.append(paragraph(texts("errors.no_groups")))
    if rows := _quality_rows(context, results):
        head = [texts(f"errors.{name}") for name in ("measure", "right", "wrong", "distance", "p")]
        parts.append(_errors_table(context, results, "quality", head, rows))
    else:
        parts.append(paragraph(texts("errors.no_quality")))
    return join(parts)


def _quality_rows(context: ReportContext, results: SplitPredictions) -> list[list[str]]:
    texts = context.texts
    return [
        [
            texts(f"quality.{name}"),
            texts.number(shift.right),
            texts.number(shift.wrong),
            texts.number(shift.distance, 2),
            texts.probability(shift.p),
        ]
        for name, shift in errors_by_quality(context.workspace, results).items()
    ]


def _error_counts(context: ReportContext, counted: ErrorCount | GroupErrors) -> list[str]:
    texts = context.texts
    return [texts.number(counted.n), texts.number(counted.errors), texts.percent(counted.errors / counted.n)]


def _errors_table(context: ReportContext, results: SplitPredictions, by: str, head: list[str], rows: list[list[str]]) -> Markup:
    name, caption = f"errors-{by}-{results.run.id}", context.texts(f"errors.by_{by}")
    source = predictions_name(results)
    return context.add_table(name, head, rows, caption=caption, numeric=tuple(range(1, len(head))), source=source)
