"""The drawings that stand alone (`confusion`, `curves`) and those that the report shares with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fototeca.analysis.evaluation.evaluate import access_predictions
from fototeca.analysis.evaluation.metrics import CONFUSION_CELLS, binary_confusion_cells, confusion_matrix, row_fractions
from fototeca.analysis.evaluation.predictions import SplitPredictions, find_run
from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.charts import confusion_chart, lines_chart
from fototeca.analysis.plots.export import write_pngs
from fototeca.analysis.plots.svg import Figure
from fototeca.analysis.tabular import Table
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.train.runs import Run


def confusion_figures(workspace: Workspace, run_id: str, split: str, output: Path | None) -> list[Path]:
    """Write `confusion-counts` and `confusion-fractions` (SVG, CSV, and PNG if there is a Chromium); returns the paths.

    Of several labels no single matrix holds: then `confusion-per-class.csv`, whose rows are each category's own two by two.
    """
    run = find_run(workspace, run_id)
    results = access_predictions(workspace, run, split, "confusion")
    folder, words = output or workspace.reports / "confusion" / f"{run.id}-{split}", Texts.load("en")
    if results.multi:
        notify("fototeca: several labels have no single confusion matrix; each category has its own, in a row of the table")
        return [binary_confusion_table(results).write(folder)]
    both = [
        confusion_figure("confusion-counts", results, words, as_counts=True),
        confusion_figure("confusion-fractions", results, words),
    ]
    return write_figures(both, folder)


def binary_confusion_table(results: SplitPredictions) -> Table:
    """Each category's own confusion matrix of two by two, as a row."""
    cells = binary_confusion_cells(results.true, results.predicted)
    rows = tuple((name, *row) for name, row in zip(results.categories, cells, strict=True))
    return Table("confusion-per-class", ("category", *CONFUSION_CELLS), rows)


def curve_figures(workspace: Workspace, run_ids: Sequence[str], output: Path | None) -> list[Path]:
    """Write each run's curves (SVG, CSV, and PNG if there is a Chromium); returns the paths."""
    runs = [find_run(workspace, run_id) for run_id in run_ids]
    words = Texts.load("en")
    figures = [figure for run in runs for figure in curve_figures_of(run, words)]
    if not figures:
        raise FototecaError(
            "these runs have no curves",
            "runs that are fitted at once (svm, boosting) or join others have none",
        )
    return write_figures(figures, output or workspace.reports / "curves")


def write_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """SVG and CSV of each, and PNG where a Chromium is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [path for figure in figures for path in figure.write(folder)]
    try:
        return paths + (write_pngs(figures, folder) if figures else [])
    except FototecaError as error:
        notify(f"fototeca: the drawings are there as SVG, not as PNG: {error.message}")
        return paths


def confusion_figure(name: str, results: SplitPredictions, words: Texts, *, as_counts: bool = False) -> Figure:
    """The confusion matrix of a single-label run."""
    counts = confusion_matrix(results.true, results.predicted)
    alt = words("confusion.alt", run=results.run.id, accuracy=words.percent(float(results.correct.mean())))
    axes = words("axis.true"), words("axis.predicted")
    return confusion_chart(name, results.categories, counts, row_fractions(counts), axes, alt, words, as_counts=as_counts)


def curve_figures_of(run: Run, words: Texts) -> list[Figure]:
    """Loss per iteration and accuracy per epoch, as far as the run has them."""
    steps, epochs = run.steps(), run.epochs()
    figures = []
    if len(points := column_pairs(steps, "step", "loss")) > 1:
        alt = words("curves.steps.alt", run=run.id, first=words.number(points[0][1]), last=words.number(points[-1][1]))
        series = {words("curves.loss"): points}
        figures.append(lines_chart(f"steps-{run.id}", series, (words("axis.step"), words("axis.loss")), alt, words, trend=True))
    if len(epochs) > 1:
        series = {words(f"curves.{side}"): column_pairs(epochs, "epoch", f"{side}_accuracy") for side in ("train", "val")}
        ends = {
            side: words.percent(points[-1][1]) for side, points in zip(("train", "val"), series.values(), strict=True) if points
        }
        alt = words("curves.epochs.alt", run=run.id, train=ends.get("train", "–"), val=ends.get("val", "–"))
        axes = words("axis.epoch"), words("axis.accuracy")
        figures.append(lines_chart(f"epochs-{run.id}", series, axes, alt, words, percent=True))
    return figures


def column_pairs(table: Sequence[dict[str, Any]], x: str, y: str) -> list[tuple[float, float]]:
    """Pairs of two columns, rows without a number left out."""
    pairs = [(row.get(x), row.get(y)) for row in table]
    numbers = [(float(a), float(b)) for a, b in pairs if a not in (None, "") and b not in (None, "")]
    return [(a, b) for a, b in numbers if np.isfinite(b)]
