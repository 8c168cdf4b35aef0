"""Head of the report: validation and test accuracy of one model with their difference, a row of images, three sentences."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup

from fototeca.analysis.evaluation.test_access_log import TestAccess
from fototeca.analysis.report.context import ReportContext
from fototeca.analysis.report.experiments import compared_by_run
from fototeca.analysis.report.html import Content, Tile, cover, join, link
from fototeca.analysis.report.test_section import tested_run

NUM_IMAGES = 8
"""Images in the row, drawn from the categories in turn."""

SIDE = 128


def render_cover(context: ReportContext) -> Markup:
    """Return the head of the report."""
    index = _shown_access(context)
    access = None if index is None else context.access_log.accesses[index]
    run = access.run if access else next((run.id for run in context.ranked_runs), "")
    figures = _validation_figure(context, run)
    if access is not None and index is not None:
        figures += _test_figures(context, access, index)
    sentences = [_dataset_sentence(context), _models_sentence(context), _test_sentence(context, access)]
    return cover(context.manifest.dataset_name, join([" ".join(filter(None, sentences))]), figures, _images(context))


def _shown_access(context: ReportContext) -> int | None:
    """Return the latest access to test with an accuracy; of the run and without TTA as in the test section, if there is one."""
    accesses, run = context.access_log.accesses, tested_run(context)
    with_accuracy = [index for index, access in enumerate(accesses) if access.accuracy is not None]
    plain = [i for i in with_accuracy if run and accesses[i].run == run.id and "--tta" not in accesses[i].purpose]
    shown = plain or with_accuracy
    return shown[-1] if shown else None


def _validation_figure(context: ReportContext, run: str) -> list[tuple[Content, Content]]:
    """Return the accuracy of a run on validation, if it has one."""
    compared = compared_by_run(context)
    if run not in compared:
        return []
    row = [candidate.id for candidate in context.ranked_runs].index(run)
    value = link(context.texts.percent(compared[run]["accuracy"]), context.row_href("models", row))
    return [(value, join([context.texts("cover.val"), " · ", context.run_cell(run)]))]


def _test_figures(context: ReportContext, access: TestAccess, index: int) -> list[tuple[Content, Content]]:
    """Return the accuracy on test, and its difference to validation where that is known."""
    texts, compared = context.texts, compared_by_run(context)
    n = len(context.access_log.full_accesses)
    label: Content = texts("cover.test") if n == 1 else texts("cover.test_several", n=n)
    if access.run not in compared:
        label = join([label, " · ", context.run_cell(access.run)])
    href = context.row_href("test-access", index)
    figures: list[tuple[Content, Content]] = [(link(texts.percent(access.accuracy), href), label)]
    if access.run in compared and access.accuracy is not None:
        difference = texts.points(access.accuracy - compared[access.run]["accuracy"])
        figures.append((link(difference, context.row_href("generalization-gap", 0)), texts("cover.difference")))
    return figures


def _dataset_sentence(context: ReportContext) -> str:
    texts, manifest = context.texts, context.manifest
    counts = {split: texts.number(n) for split, n in manifest.split_counts().items()}
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    images = texts("task.images", n=texts.number(len(manifest.rows)))
    return texts(
        "cover.dataset", images=images, categories=len(manifest.categories), version=manifest.version, date=today, **counts
    )


def _models_sentence(context: ReportContext) -> str:
    texts = context.texts
    if not context.comparison:
        return texts("cover.no_models")
    best = context.comparison["runs"][0]
    interval = texts.interval(best["accuracy_interval"])
    values = {"best": context.run_name(best["run"]), "accuracy": texts.percent(best["accuracy"]), "interval": interval}
    return texts("cover.best", n=len(context.ranked_runs), **values)


def _test_sentence(context: ReportContext, access: TestAccess | None) -> str:
    texts = context.texts
    if access is None or access.n is None:
        return texts("cover.untested") if context.ranked_runs else ""
    values = {"run": context.run_name(access.run), "accuracy": texts.percent(access.accuracy), "n": access.n}
    return texts("cover.tested", **values)


def _images(context: ReportContext) -> list[Tile]:
    """Return images of the training split, of each category in turn, drawn with seed 0."""
    generator, manifest = np.random.default_rng(0), context.manifest
    train = manifest.split("train")
    by_category = [[row for row in train if name in row.labels] for name in manifest.categories]
    shuffled = [[rows[place] for place in generator.permutation(len(rows))] for rows in by_category]
    turns = [rows[turn] for turn in range(NUM_IMAGES) for rows in shuffled if turn < len(rows)]
    chosen = dict.fromkeys(row.image_id for row in turns[: 2 * NUM_IMAGES])
    tiles = [
        Tile(context.thumbnail(row, SIDE), context.label_text(row.label)) for row in map(context.rows_by_id.get, chosen) if row
    ]
    return [tile for tile in tiles if tile.uri][:NUM_IMAGES]
