"""Confusion matrices: of a few classes cell by cell, of many as a clustered overview and the most confused classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fototeca.analysis.evaluation.metrics import FloatArray, IntArray
from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.svg import GRID, MUTED, Figure, blend_color, canvas, contrast_color, rect, shorten, text

MAX_FULL = 40
"""Classes up to which the whole matrix is drawn with names."""

MAX_DETAIL = 24
"""Most confused classes that are drawn with names where there are more than MAX_FULL."""

OVERVIEW_SIDE = 620.0
"""Side of the overview, in points."""

SHADES = 6
"""Shades of the overview's cells; each is one path."""

WRONG = (179, 71, 27)
"""Color of cells off the diagonal."""

COLUMNS = ("true", "predicted", "count", "fraction")


def confusion_chart(
    name: str,
    categories: Sequence[str],
    counts: IntArray,
    fractions: FloatArray,
    axes: tuple[str, str],
    alt: str,
    words: Texts,
    *,
    as_counts: bool = False,
) -> Figure:
    """Return a confusion matrix, rows the true classes, with counts and percentages where they fit.

    Args:
        name: file name without ending.
        categories: the classes in the order of rows and columns.
        counts, fractions: (C, C), of images and of the images of the true class.
        axes: names of rows and columns.
        alt: description for screen readers.
        words: texts of the language.
        as_counts: color the cells by counts instead of fractions.
    """
    size = len(categories)
    cell = 48 if size <= 8 else 36 if size <= 16 else 15
    longest = max(len(label) for label in categories)
    left, top = min(150.0, 34 + 6.6 * longest), min(120.0, 30 + 4.8 * longest)
    shown = counts / max(int(counts.max()), 1) if as_counts else fractions
    parts = _axis_names(axes, (left, top), size * cell)
    small = 11 if size > 16 else 12
    for i, label in enumerate(categories):
        short = shorten(label, 23)
        y, x = top + (i + 0.5) * cell + 4, left + (i + 0.5) * cell
        parts.append(text(left - 6, y, short, anchor="end", size=small))
        parts.append(text(0, 0, short, size=small, extra=f'transform="translate({x + 3:.1f} {top - 6:.1f}) rotate(-45)"'))
    for i, j in np.ndindex(size, size):
        share, count = float(shown[i, j]), int(counts[i, j])
        fill = blend_color(share) if i == j else blend_color(share, WRONG)
        hint = f"{categories[i]} → {categories[j]}: {count} ({words.percent(float(fractions[i, j]), 0)})"
        parts.append(rect(left + j * cell, top + i * cell, cell, cell, fill, hint, f'stroke="{GRID}" stroke-width="0.6"'))
        if cell > 20 and count:
            x, y = left + (j + 0.5) * cell, top + (i + 0.5) * cell
            inside = ((count, y - 1, 12 if cell > 40 else 10), (words.percent(float(fractions[i, j]), 0), y + 11, 9.5))
            for shown_text, line_y, font in inside:
                parts.append(
                    text(
                        x,
                        line_y,
                        shown_text,
                        anchor="middle",
                        size=font,
                        fill=contrast_color(fill),
                        extra='pointer-events="none"',
                    )
                )
    rows = tuple(_row(categories, counts, fractions, i, j) for i, j in np.ndindex(size, size))
    svg = canvas(left + size * cell + 0.7 * top, top + size * cell + 10, parts, alt)
    return Figure(name, svg, alt, COLUMNS, rows)


def confusion_overview(
    name: str, categories: Sequence[str], counts: IntArray, fractions: FloatArray, axes: tuple[str, str], alt: str
) -> Figure:
    """Return a confusion matrix of many classes without names, classes that are confused with each other side by side.

    The rows of its data are the cells that are not 0, in the order of the chart.
    """
    order = cluster_order(fractions)
    cell = OVERVIEW_SIDE / len(order)
    left, top = 24.0, 20.0
    parts = _axis_names(axes, (left, top), OVERVIEW_SIDE)
    parts.append(rect(left, top, OVERVIEW_SIDE, OVERVIEW_SIDE, "#ffffff", extra=f'stroke="{GRID}"'))
    ordered = fractions[np.ix_(order, order)]
    for is_diagonal in (True, False):
        for shade in range(1, SHADES + 1):
            within = (np.ceil(ordered * SHADES) == shade) & (np.eye(len(order), dtype=bool) == is_diagonal)
            if within.any():
                color = blend_color(shade / SHADES) if is_diagonal else blend_color(shade / SHADES, WRONG)
                cells = "".join(
                    f"M{left + j * cell:.1f} {top + i * cell:.1f}h{cell:.1f}v{cell:.1f}h-{cell:.1f}z"
                    for i, j in np.argwhere(within)
                )
                parts.append(f'<path d="{cells}" fill="{color}"/>')
    rows = tuple(_row(categories, counts, fractions, i, j) for i in order for j in order if counts[i, j])
    return Figure(name, canvas(left + OVERVIEW_SIDE + 10, top + OVERVIEW_SIDE + 10, parts, alt), alt, COLUMNS, rows)


def cluster_order(fractions: FloatArray) -> list[int]:
    """Return the classes so that those confused with each other are neighbors: the leaves of average linkage on 1 − confusion."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = 1 - np.clip((fractions + fractions.T) / 2, 0, 1)
    np.fill_diagonal(distance, 0)
    return [int(leaf) for leaf in leaves_list(linkage(squareform(distance, checks=False), "average"))]


def most_confused(counts: IntArray, fractions: FloatArray) -> list[int]:
    """Return the classes of the most frequent confusions, at most MAX_DETAIL, in the order of `cluster_order`."""
    errors = counts + counts.T
    np.fill_diagonal(errors, 0)
    pairs = np.argwhere(np.triu(errors))
    chosen: list[int] = []
    for i, j in pairs[np.argsort(-errors[pairs[:, 0], pairs[:, 1]], kind="stable")]:
        new = [int(index) for index in (i, j) if index not in chosen]
        if len(chosen) + len(new) > MAX_DETAIL:
            break
        chosen += new
    return [index for index in cluster_order(fractions) if index in chosen]


def _axis_names(axes: tuple[str, str], corner: tuple[float, float], side: float) -> list[str]:
    """Return the names of rows (left, upright) and columns (above) of a square at `corner`."""
    left, top = corner
    turn = f'transform="translate(12 {top + side / 2:.0f}) rotate(-90)"'
    return [
        text(left + side / 2, 13, axes[1], anchor="middle", fill=MUTED),
        text(0, 0, axes[0], anchor="middle", fill=MUTED, extra=turn),
    ]


def _row(categories: Sequence[str], counts: IntArray, fractions: FloatArray, i: int, j: int) -> tuple[object, ...]:
    return categories[i], categories[j], int(counts[i, j]), round(float(fractions[i, j]), 6)
