"""Attribution maps in the report: maps of example images, class models, sanity checks of the methods, filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

from markupsafe import Markup
from PIL import Image

from fototeca.analysis.attribution import METHODS
from fototeca.analysis.attribution.check_results import (
    CHECKS,
    SANITY_CHECKS,
    CheckResults,
    MethodScores,
    SanityChecks,
    merge_results,
    method_results,
    names_by_outcome,
    read_sanity_checks,
)
from fototeca.analysis.attribution.explain import EXPLANATION_COLUMNS, IMAGE_CHECKS, explain_one
from fototeca.analysis.attribution.filters import draw_filter_sheets
from fototeca.analysis.attribution.run_checks import REPORT_CURVE_STEPS, compute_sanity_checks
from fototeca.analysis.cache import DATA_URI, cached_json
from fototeca.analysis.evaluation.predictions import SplitPredictions
from fototeca.analysis.evaluation.sampling import pick_most_confident
from fototeca.analysis.images import compute_masks_digest, data_uri, read_stored_image
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.html import Content, Tile, color_scale, heading, join, link, note, paragraph, tiles
from fototeca.analysis.tabular import FormattedNumber, Table
from fototeca.core.errors import FototecaError
from fototeca.core.kinds import Flag, ListOf, MapOf, Number, Record, Text
from fototeca.train.runs import Run

NUM_EXPLAINED = 6
"""Images with attribution maps; half of them wrong predictions, if there are as many."""

SHOWN_METHODS = ("grad-cam", "saliency")

SIDE, FILTERS_SIDE = 200, 560
"""Pixels of a map, and of a sheet of feature maps at most."""


_SHEETS = MapOf(Text(max_length=200), DATA_URI)
_MAPS = Record(
    {
        **dict.fromkeys(("predicted", "category"), Text()),
        "probability": Number(0, 1.0001),
        "seen": DATA_URI,
        "maps": MapOf(Text(), DATA_URI),
        "passed": MapOf(Text(), MapOf(Text(), Flag())),
        "scores": MapOf(Text(), MapOf(Text(), Number())),
    }
)
"""The form of the cached maps of one image."""


def render_attributions(context: ReportContext, results: SplitPredictions) -> Markup:
    """Return attribution maps of validation images, class models, sanity checks and filters of a run."""
    texts = context.texts
    if context.load_model(results.run).module is None:
        key = "ensemble" if results.run.regime == "ensemble" else "no_network"
        return note(texts(f"attribution.{key}"), "missing")
    results = results.stored(context.workspace)
    wrong = pick_most_confident(results, correct=False, number=NUM_EXPLAINED // 2)
    chosen = [*wrong, *pick_most_confident(results, correct=True, number=NUM_EXPLAINED - len(wrong))]
    sources = "; ".join(f"{name}: {METHODS[name].source}" for name in SHOWN_METHODS)
    return join(
        [
            paragraph(texts("attribution.intro", sources=sources)),
            color_scale(texts("attribution.low"), texts("attribution.high")),
            context.render_part(lambda: tiles(_map_tiles(context, results, chosen), f"maps of{1 + len(SHOWN_METHODS)}")),
            context.render_part(partial(_class_models, context, results)),
            context.render_part(partial(_sanity_checks, context, results)),
            context.render_part(partial(_filters, context, results, chosen[0])),
        ]
    )


def _map_tiles(context: ReportContext, results: SplitPredictions, chosen: Sequence[int]) -> list[Tile]:
    """Return for each image the model's input and a map per method; export their scores as `maps-RUN.csv`."""
    texts, table = context.texts, f"maps-{results.run.id}"
    images, rows = list[Tile](), list[list[object]]()
    by_method = method_check_results(context, results)
    for index, maps in zip(chosen, _cached_maps(context, results, chosen), strict=True):
        category, label = maps["category"], results.labels[index]
        mark = "right" if results.correct[index] else "wrong"
        lines = [*_prediction_lines(context, results, index, maps, context.row_href(table, len(rows)))]
        lines += filter(None, [context.file_names.get(results.rows[index].image_id)])
        images.append(Tile(maps["seen"], texts("attribution.input", label=context.label_text(label)), tuple(lines), mark))
        for method, uri in maps["maps"].items():
            checks = merge_results(maps["passed"][method], by_method.get(method, {}))
            badge = link(badge_text(context, checks), context.row_href(table, len(rows)))
            images.append(Tile(uri, texts("attribution.alt", method=method, predicted=category), (method, badge), mark))
            described = [results.rows[index].image_id, label, maps["predicted"], category, maps["probability"], method]
            rows.append([*described, *map(maps["scores"][method].get, IMAGE_CHECKS), *names_by_outcome(checks)])
    context.data_tables.append(Table(table, EXPLANATION_COLUMNS, tuple(map(tuple, rows))))
    return images


def _prediction_lines(
    context: ReportContext, results: SplitPredictions, index: int, maps: dict[str, Any], href: str
) -> list[Content]:
    """Return the lines below an image: the explained category, and the true label of a wrong prediction."""
    texts = context.texts
    explained = f"{maps['category']} · {texts.percent(maps['probability'], 0)}"
    lines: list[Content] = [link(texts("attribution.maps_of", category=explained) if results.multi else explained, href)]
    if not results.correct[index]:
        lines.append(texts("examples.true", label=context.label_text(results.labels[index])))
    if results.multi:
        lines.insert(0, texts("attribution.predicted", predicted=context.label_text(maps["predicted"])))
    return lines


def badge_text(context: ReportContext, checks: CheckResults) -> str:
    """Return check results as text: the failed checks, else each passed one."""
    failed = [check for check, passed in checks.items() if not passed]
    names = ", ".join(context.texts(f"sanity_checks.{check}") for check in failed or checks)
    return context.texts(f"attribution.{'failed' if failed else 'passed' if checks else 'unchecked'}", checks=names)


def method_check_results(context: ReportContext, results: SplitPredictions) -> Mapping[str, CheckResults]:
    """Return check results by method: those of `explain --sanity-checks`, else the report's own; empty if these fail.

    The reason of a failure is shown in place of the table of checks.
    """
    try:
        checks = stored_sanity_checks(context, results.run) or _own_sanity_checks(context, results.stored(context.workspace))
        return method_results(checks)
    except FototecaError:
        return {}


def stored_sanity_checks(context: ReportContext, run: Run) -> SanityChecks | None:
    """Return the results stored by `explain --sanity-checks`, if they include all shown methods."""
    checks = read_sanity_checks(context.workspace, run)
    if not checks or not set(SHOWN_METHODS) <= {scores.method for scores in checks.methods}:
        return None
    return checks


def _own_sanity_checks(context: ReportContext, results: SplitPredictions) -> SanityChecks:
    """Return the sanity checks of the shown methods, run once and cached."""
    workspace, run, steps = context.workspace, results.run, REPORT_CURVE_STEPS
    question = [context.manifest.sha256, len(results), SHOWN_METHODS, steps, compute_masks_digest(workspace)]

    def check() -> dict[str, Any]:
        return compute_sanity_checks(workspace, context.load_model(run), results, SHOWN_METHODS, steps=steps).to_json()

    return SanityChecks.from_json(cached_json(workspace, run, "sanity-checks", SANITY_CHECKS, question, check))


def _cached_maps(context: ReportContext, results: SplitPredictions, chosen: Sequence[int]) -> list[dict[str, Any]]:
    """Return for each image data URIs of the model's input and of its maps, with scores and check results."""

    workspace, run = context.workspace, results.run

    def draw(index: int) -> dict[str, Any]:
        explained = explain_one(workspace, context.load_model(run), results, index, SHOWN_METHODS, checked=True)
        drawn = explained.drawn
        return {
            "predicted": explained.predicted,
            "category": explained.category,
            "probability": explained.probability,
            "seen": data_uri(drawn.seen.resize((SIDE, SIDE))),
            "maps": {method: data_uri(image.resize((SIDE, SIDE))) for method, image in drawn.maps.items()},
            "passed": {method: drawn.scores[method].passed for method in drawn.maps},
            "scores": {method: drawn.measured(method) for method in drawn.maps},
        }

    kind = ListOf(_MAPS, low=len(chosen), high=len(chosen))
    ids = [results.rows[index].image_id for index in chosen]
    question = [ids, SHOWN_METHODS, REPORT_CURVE_STEPS, compute_masks_digest(workspace)]
    maps: list[dict[str, Any]] = cached_json(workspace, run, "maps", kind, question, lambda: [draw(index) for index in chosen])
    return maps


def drawn_class_models(context: ReportContext, run: Run) -> dict[str, Path]:
    """Return by category the images that `explain --method class-model` drew since the run was trained."""
    trained = (run.folder / "done.json").stat().st_mtime
    folder = context.workspace.reports / "explain" / run.id
    paths = {name: folder / f"class-model-{name}.png" for name in run.categories}
    return {name: path for name, path in paths.items() if path.is_file() and path.stat().st_mtime > trained}


def _class_models(context: ReportContext, results: SplitPredictions) -> Markup:
    """Return the drawn class models, and the command that draws the missing ones."""
    texts, run = context.texts, results.run
    drawn = drawn_class_models(context, run)
    title = heading(texts("class_model.title"), 5)
    if not drawn:
        missing = note(texts("class_model.none"), "missing")
        return join([title, missing, context.hint(f"fototeca analysis explain {quote(run.id)} --method class-model")])
    images = []
    for name, path in drawn.items():
        with Image.open(path) as image:
            uri = data_uri(image.convert("RGB").resize((SIDE, SIDE)))
        images.append(Tile(uri, texts("class_model.alt", label=name), (name,)))
    return join([title, paragraph(texts("class_model.intro")), tiles(images), _missing_class_models(context, results, drawn)])


def _missing_class_models(context: ReportContext, results: SplitPredictions, drawn: Mapping[str, Path]) -> Markup:
    """Return the categories without class model, and the command for those predicted of a validation image."""
    missing = [name for name in results.categories if name not in drawn]
    if not missing:
        return Markup("")
    predicted = [results.categories[index] for index in results.probabilities.argmax(axis=1)]
    images = [f"--image {results.rows[predicted.index(name)].image_id[:12]}" for name in missing if name in predicted]
    line = " ".join([f"fototeca analysis explain {quote(results.run.id)} --method class-model", *images])
    remark = note(context.texts("class_model.missing", names=", ".join(missing)), "missing")
    return join([remark, context.hint(line) if images else ""])


def _sanity_checks(context: ReportContext, results: SplitPredictions) -> Markup:
    """Return the table of checks by method: the stored ones, else those of the shown methods."""
    texts, run = context.texts, results.run
    stored = stored_sanity_checks(context, run)
    checks = stored or _own_sanity_checks(context, results)
    names = checks.measured
    head = [texts("sanity_checks.method"), *(texts(f"sanity_checks.{name}") for name in names), texts("sanity_checks.seconds")]
    rows = [
        [
            scores.method if scores.method in METHODS else texts(f"sanity_checks.{scores.method}"),
            *(_score_text(context, scores, name) for name in names),
            texts.number(scores.seconds, 2),
        ]
        for scores in checks.methods
    ]
    source = f"data/reports/sanity-checks/{run.id}.json" if stored else ""
    intro = texts("sanity_checks.intro", images=checks.images, grids=checks.grids)
    caption, numeric = texts("sanity_checks.caption"), tuple(range(1, len(head)))
    parts = [
        heading(texts("sanity_checks.title"), 5),
        paragraph(intro),
        context.add_table(f"sanity-checks-{run.id}", head, rows, caption=caption, numeric=numeric, source=source),
        paragraph(texts("sanity_checks.explanation")),
        paragraph(texts("sanity_checks.masks")) if len(names) > len(CHECKS) else "",
        paragraph(texts("sanity_checks.iterations", n=checks.iterations)) if checks.iterations else "",
    ]
    inapplicable = "; ".join(f"{scores.method}: {scores.reason}" for scores in checks.methods if scores.reason)
    if inapplicable:
        parts.append(note(texts("sanity_checks.inapplicable", methods=inapplicable)))
    if not stored:
        parts.append(paragraph(texts("sanity_checks.more")) if not context.clean else "")
        parts.append(context.hint(f"fototeca analysis explain {quote(run.id)} --sanity-checks"))
    return join(parts)


def _score_text(context: ReportContext, scores: MethodScores, check: str) -> str:
    """Return a score, with a sign where the check failed."""
    score = context.texts.number(scores.score(check), 2)
    return score if scores.passed.get(check, True) else FormattedNumber(f"{score} ✗", *getattr(score, "value", ()))


def _filters(context: ReportContext, results: SplitPredictions, index: int) -> Markup:
    """Return the first layer's filters, and feature maps of one image at an early and a late layer."""
    texts, row = context.texts, results.rows[index]
    label = context.label_text(row.label)
    sheets: dict[str, str] = cached_json(
        context.workspace, results.run, "filters", _SHEETS, row.image_id, lambda: _filter_sheets(context, results, index)
    )
    first, *maps = sheets
    images = [Tile(sheets[first], texts("filters.alt"), (texts("filters.first"),))]
    for name in dict.fromkeys([maps[0], maps[-1]]):
        layer = name.removeprefix("maps-")
        images.append(Tile(sheets[name], texts("filters.maps.alt", layer=layer, label=label), (layer,)))
    return join([heading(texts("filters.title"), 5), paragraph(texts("filters.intro", label=label)), tiles(images, "sheets")])


def _filter_sheets(context: ReportContext, results: SplitPredictions, index: int) -> dict[str, str]:
    """Return data URIs of the first layer's filters and of layers' feature maps, by name."""
    model = context.load_model(results.run)
    sheets = draw_filter_sheets(model, model.preprocessing(read_stored_image(context.workspace, results.rows[index])))
    for name, image in sheets.items():
        if name.startswith("maps-"):
            image.thumbnail((FILTERS_SIDE, FILTERS_SIDE))
    return {name: data_uri(image) for name, image in sheets.items()}
