"""Figures of `confusion` and `curves`, shared with the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fototeca.analysis.evaluation.evaluate import access_predictions
from fototeca.analysis.evaluation.metrics import CONFUSION_CELLS, binary_confusion_cells, confusion_matrix, row_fractions
from fototeca.analysis.evaluation.predictions import SplitPredictions, find_run
from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.charts import lines_chart
from fototeca.analysis.plots.confusion import MAX_FULL, confusion_chart, confusion_overview, most_confused
from fototeca.analysis.plots.export import write_pngs
from fototeca.analysis.plots.svg import Figure
from fototeca.analysis.tabular import Table
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.train.runs import Run


def confusion_figures(workspace: Workspace, run_id: str, split: str, output: Path | None) -> list[Path]:
    """Write `confusion-counts` and `confusion-fractions` as SVG, CSV and PNG; return the paths.

    With many categories each is of the most confused ones, beside an overview of all.

    A multi-label task has no single matrix: `confusion-per-class.csv` then has a row with the binary matrix of each category.
    FototecaError if `split` is test and the run has not been evaluated on it.
    """
    run = find_run(workspace, run_id)
    results = access_predictions(workspace, run, split, "confusion")
    folder, words = output or workspace.reports / "confusion" / f"{run.id}-{split}", Texts.load("en")
    if results.multi:
        notify("fototeca: a multi-label task has no single confusion matrix; the table has the binary matrix of each category")
        return [binary_confusion_table(results).write(folder)]
    both = [
        *confusion_figures_of("confusion-counts", results, words, run.id, as_counts=True),
        *confusion_figures_of("confusion-fractions", results, words, run.id),
    ]
    return write_figures(both, folder)


def binary_confusion_table(results: SplitPredictions) -> Table:
    """Return a table with a row per category: its binary confusion matrix."""
    cells = binary_confusion_cells(results.true, results.predicted)
    rows = tuple((name, *row) for name, row in zip(results.categories, cells, strict=True))
    return Table("confusion-per-class", ("category", *CONFUSION_CELLS), rows)


def curve_figures(workspace: Workspace, run_ids: Sequence[str], output: Path | None) -> list[Path]:
    """Write each run's curves as SVG, CSV and PNG; return the paths. FototecaError if no run has curves."""
    runs = [find_run(workspace, run_id) for run_id in run_ids]
    words = Texts.load("en")
    figures = [figure for run in runs for figure in curve_figures_of(run, words, run.id)]
    if not figures:
        raise FototecaError(
            "these runs have no curves",
            "runs without epochs (svm, boosting) and ensembles have none",
        )
    return write_figures(figures, output or workspace.reports / "curves")


def write_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write SVG, CSV and PNG of each figure; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [path for figure in figures for path in figure.write(folder)] + write_pngs(figures, folder)


def confusion_figures_of(
    name: str, results: SplitPredictions, words: Texts, run_name: str, *, as_counts: bool = False
) -> list[Figure]:
    """Return the confusion matrix of a single-label run called `run_name`, colored by counts or by fractions of the true class.

    With more than MAX_FULL classes: an overview of all, `NAME-overview`, and the matrix of the most confused ones, if any.
    """
    counts = confusion_matrix(results.true, results.predicted)
    fractions, categories = row_fractions(counts), results.categories
    accuracy = words.percent(float(results.correct.mean()))
    alt = words("confusion.alt", run=run_name, accuracy=accuracy)
    axes = words("axis.true"), words("axis.predicted")
    if len(categories) <= MAX_FULL:
        return [confusion_chart(name, categories, counts, fractions, axes, alt, words, as_counts=as_counts)]
    overview_alt = words("confusion.overview_alt", run=run_name, n=len(categories), accuracy=accuracy)
    figures = [confusion_overview(f"{name}-overview", categories, counts, fractions, axes, overview_alt)]
    if chosen := most_confused(counts, fractions):
        part, grid = [categories[index] for index in chosen], np.ix_(chosen, chosen)
        figures.append(confusion_chart(name, part, counts[grid], fractions[grid], axes, alt, words, as_counts=as_counts))
    return figures


def curve_figures_of(run: Run, words: Texts, name: str) -> list[Figure]:
    """Return the figures of loss per iteration and accuracy per epoch of a run called `name`, as far as it has them."""
    steps, epochs = run.steps(), run.epochs()
    figures = []
    if len(points := column_pairs(steps, "step", "loss")) > 1:
        alt = words("curves.steps.alt", run=name, first=words.number(points[0][1]), last=words.number(points[-1][1]))
        series = {words("curves.loss"): points}
        figures.append(lines_chart(f"steps-{run.id}", series, (words("axis.step"), words("axis.loss")), alt, words, trend=True))
    if len(epochs) > 1:
        series = {words(f"curves.{side}"): column_pairs(epochs, "epoch", f"{side}_accuracy") for side in ("train", "val")}
        ends = {
            side: words.percent(points[-1][1]) for side, points in zip(("train", "val"), series.values(), strict=True) if points
        }
        alt = words("curves.epochs.alt", run=name, train=ends.get("train", "–"), val=ends.get("val", "–"))
        axes = words("axis.epoch"), words("axis.accuracy")
        figures.append(lines_chart(f"epochs-{run.id}", series, axes, alt, words, percent=True))
    return figures


def column_pairs(table: Sequence[dict[str, Any]], x: str, y: str) -> list[tuple[float, float]]:
    """Return pairs of two columns, without rows where one is missing or not finite."""
    pairs = [(row.get(x), row.get(y)) for row in table]
    numbers = [(float(a), float(b)) for a, b in pairs if a not in (None, "") and b not in (None, "")]
    return [(a, b) for a, b in numbers if np.isfinite(b)]
