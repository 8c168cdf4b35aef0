"""Read the rows of a run's `predictions-<split>.csv`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fototeca.core.documents import Document, parse_csv
from fototeca.core.kinds import IMAGE_ID, LABEL, Number, Problem
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.vision.feature_math import FloatArray

_KINDS = {"image_id": IMAGE_ID, "label": LABEL, "predicted": LABEL}
_PROBABILITY = Number(0, 1.0001)  # rounded from 32 bits


def read_prediction_rows(
    document: Document, columns: Sequence[str], categories: Sequence[str]
) -> tuple[list[list[str]], FloatArray]:
    """Return image id, label and predicted label of each of N rows, and the probabilities (N, C).

    Args:
        document: the file.
        columns: the columns that it must have, of which the first three are those of _KINDS.
        categories: the C categories that labels may have.

    Raises:
        FototecaError: a cell is no valid id, label or probability, or an image is there twice.
    """
    known, seen = {"", *categories}, set[str]()
    rows: list[list[str]] = []
    cells: list[list[str]] = []
    try:
        lines = parse_csv(document.read_text())
        line, head = next(lines, (1, []))
        if head != list(columns):
            raise ValueError(f"line {line}: the columns are not image_id, label, predicted and one per category")
        for line, row in lines:
            if len(row) != len(columns):
                raise ValueError(f"line {line}: it has {len(row)} cells, not {len(columns)}")
            if problem := _find_problem(row, known, seen):
                raise ValueError(f"line {line}: {problem}")
            rows.append(row[:3])
            cells.append(row[3:])
        return rows, _parse_probabilities(cells, columns[3:])
    except ValueError as error:
        raise document.error(error) from None


def _find_problem(row: Sequence[str], known: set[str], seen: set[str]) -> Problem | None:
    """Return what is wrong with the first three cells of a row; `seen` collects the ids."""
    for (name, kind), cell in zip(_KINDS.items(), row, strict=False):
        if not kind.accepts(cell):
            return Problem(name, cell, kind.expected)
        if name != "image_id" and (unknown := set(cell.split(LABEL_SEPARATOR)) - known):
            return Problem(name, min(unknown), "a category of the run")
    if row[0] in seen:
        return Problem("image_id", row[0], "in the file once")
    seen.add(row[0])
    return None


def _parse_probabilities(cells: Sequence[Sequence[str]], names: Sequence[str]) -> FloatArray:
    """Return cells (N, C) as numbers. ValueError, with the row and the cell, if one is no probability.

    NaN is let through: a network that diverged writes it, and who reads the predictions says so.
    """
    try:
        values = np.array(cells, dtype=np.float32).reshape(len(cells), len(names))
    except ValueError:
        values = np.full((len(cells), len(names)), np.nan, dtype=np.float32)
    if not bool(((values < 0) | (values > _PROBABILITY.high) | np.isnan(values)).any()):
        return values
    for number, row in enumerate(cells, 1):
        for name, cell in zip(names, row, strict=True):
            if cell != "nan" and not _PROBABILITY.accepts(_PROBABILITY.from_cell(cell)):
                raise ValueError(f"row {number}: {Problem(name, cell, 'a probability')}")
    return np.array([[float(cell) for cell in row] for row in cells], dtype=np.float32)
