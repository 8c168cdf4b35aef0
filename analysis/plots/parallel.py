"""Parallel coordinates: one line for each run through the values of what was varied, colored by accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.svg import MUTED, Figure, blend_color, canvas, line, path, shorten, text

STEP, TOP, BOTTOM = 108.0, 46.0, 300.0
"""Distance of the axes, and their ends."""


@dataclass(frozen=True)
class ParallelAxis:
    """One axis: its name, and for each run the value as text. Numbers are placed in their order, other values as they come."""

    name: str
    values: Sequence[str]

    def levels(self) -> list[str]:
        """Return the distinct values from bottom to top: those that are no number first, then numbers by size."""
        distinct = list(dict.fromkeys(self.values))
        return sorted(distinct, key=lambda value: (_number(value) is not None, _number(value) or 0.0))


def _number(value: str) -> float | None:
    try:
        return float(value.replace(",", "."))
    except ValueError:
        return None


def parallel_chart(
    name: str,
    names: tuple[Sequence[str], Sequence[str]],
    axes: Sequence[ParallelAxis],
    result: tuple[str, Sequence[float]],
    alt: str,
    words: Texts,
) -> Figure:
    """Return a line for each run; `names`: ids and names of the runs, `result`: name and value (0 to 1) of the last axis."""
    width = 120 + STEP * len(axes) + 60
    result_name, scores = result
    low, high = min(scores), max(scores)
    heights = [_heights(axis) for axis in axes]
    parts = []
    for number, axis in enumerate(axes):
        x = 60 + STEP * number
        parts += [line(x, TOP, x, BOTTOM, MUTED), text(x, 22, shorten(axis.name, 17), anchor="middle", fill=MUTED)]
        for level in axis.levels():
            parts.append(text(x, heights[number][level] + 16, shorten(level, 16), anchor="middle", size=11))
    last = 60 + STEP * len(axes)
    parts += [line(last, TOP, last, BOTTOM, MUTED), text(last, 22, result_name, anchor="middle", fill=MUTED)]
    for value in (low, high):
        parts.append(text(last + 8, _place(value, low, high) + 4, words.percent(value), size=11))
    for index in np.argsort(scores, kind="stable"):  # the best lines on top
        points = [(60 + STEP * number, heights[number][axis.values[index]]) for number, axis in enumerate(axes)]
        points.append((last, _place(scores[index], low, high)))
        share = (scores[index] - low) / ((high - low) or 1)
        title = f"<title>{escape(names[1][index])}: {words.percent(scores[index])}</title>"
        drawn = path(points, blend_color(0.25 + 0.75 * share), 2, 'opacity="0.85"')
        parts.append(f"<g>{title}{drawn}</g>")
    columns = ("name", *(axis.name for axis in axes), result_name)
    rows = tuple((names[0][i], *(axis.values[i] for axis in axes), scores[i]) for i in range(len(scores)))
    return Figure(name, canvas(width, BOTTOM + 30, parts, alt), alt, columns, rows)


def _heights(axis: ParallelAxis) -> dict[str, float]:
    levels = axis.levels()
    gap = (BOTTOM - TOP) / max(len(levels) - 1, 1)
    return {level: BOTTOM - gap * number for number, level in enumerate(levels)}


def _place(value: float, low: float, high: float) -> float:
    return BOTTOM - (value - low) / ((high - low) or 1) * (BOTTOM - TOP)
