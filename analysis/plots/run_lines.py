"""Lines of several runs in one chart: solid on validation, dashed on the training split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.charts import Axes
from fototeca.analysis.plots.series import Points, thin_points
from fototeca.analysis.plots.svg import MUTED, PALETTE, Figure, canvas, marker, path

SIZE = (460.0, 300.0)


@dataclass(frozen=True)
class RunLine:
    """Values of one run by epoch, on the training split and on validation. Epochs are those of the run."""

    run: str
    name: str
    train: Points
    val: Points


def line_color(index: int) -> str:
    """Return the color of the run with this index; those behind the palette are gray."""
    return PALETTE[index] if index < len(PALETTE) else MUTED


def runs_chart(
    name: str, lines: Sequence[RunLine], axes: tuple[str, str], alt: str, words: Texts, *, percent: bool = False
) -> Figure:
    """Return one solid and one dashed line per run over epochs, in the order of `line_color`."""
    points = [point for row in lines for side in (row.train, row.val) for point in side] or [(0.0, 0.0)]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    top = 1.0 if percent else float(np.quantile(ys, 0.98)) * 1.08 or 1.0
    frame = Axes(words, SIZE, (min(xs), max(max(xs), min(xs) + 1)), (0.0, top))
    parts = frame.axes(*axes, percent, whole=True)
    for index, row in reversed(list(enumerate(lines))):  # the best run on top
        color = line_color(index)
        drawn = []
        for side, extra in ((row.train, 'stroke-dasharray="3 4" opacity="0.6"'), (row.val, "")):
            places = [(frame.x(x), frame.y(min(y, top))) for x, y in thin_points(side)]
            if len(places) == 1:
                drawn.append(marker(*places[0], 0, color, size=4))
            elif places:
                drawn.append(path(places, color, 2 if side is row.val else 1.2, extra))
        parts.append(f"<g><title>{escape(row.name)}</title>{''.join(drawn)}</g>")
    data = [(row.run, split, x, y) for row in lines for split, side in (("train", row.train), ("val", row.val)) for x, y in side]
    return Figure(name, canvas(*SIZE, parts, alt), alt, ("run", "split", *axes), tuple(data))
