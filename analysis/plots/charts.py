"""Charts of the report: curves, intervals, bars, confusion matrices, reliability diagrams, scatter plots.

Charts with numbers take the report's `words`, which format them in its language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil

import numpy as np

from fototeca.analysis.evaluation.metrics import FloatArray, Reliability
from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.series import Points, smooth_points, thin_points
from fototeca.analysis.plots.svg import (
    ACCENT,
    GRID,
    MUTED,
    PALETTE,
    WARM,
    Figure,
    canvas,
    class_style,
    line,
    marker,
    path,
    rect,
    shorten,
    text,
    ticks,
)


class Axes:
    """Coordinate axes: map values to positions on the chart."""

    def __init__(
        self, words: Texts, size: tuple[float, float], x: tuple[float, float], y: tuple[float, float], left: float = 52
    ) -> None:
        self.words = words
        self.width, self.height = size
        self.left, self.right, self.top, self.bottom = left, self.width - 20, 14, self.height - 40  # half of "100 %" fits
        self.x_ends, self.y_ends = x, y

    def x(self, value: float) -> float:
        """Return the horizontal position of a value."""
        low, high = self.x_ends
        return self.left + (value - low) / ((high - low) or 1) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        low, high = self.y_ends
        return self.bottom - (value - low) / ((high - low) or 1) * (self.bottom - self.top)

    def axes(self, x_name: str, y_name: str, percent: bool = False, whole: bool = False) -> list[str]:
        """Return grid lines, tick labels and axis names. `whole`: x takes whole numbers only."""
        parts = []
        for value in ticks(*self.y_ends):
            y = self.y(value)
            parts += [
                line(self.left, y, self.right, y),
                text(
                    self.left - 7,
                    y + 4,
                    self.words.percent(value, 0) if percent else self.words.plain(value),
                    anchor="end",
                    fill=MUTED,
                ),
            ]
        for value in ticks(*self.x_ends, 6):
            if whole and value != int(value):
                continue
            parts.append(text(self.x(value), self.bottom + 17, self.words.plain(value), anchor="middle", fill=MUTED))
        parts.append(line(self.left, self.bottom, self.right, self.bottom, stroke=MUTED))
        parts.append(text((self.left + self.right) / 2, self.height - 6, x_name, anchor="middle", fill=MUTED))
        parts.append(
            text(0, 0, y_name, anchor="middle", fill=MUTED, extra=f'transform="translate(12 {self.height / 2:.0f}) rotate(-90)"')
        )
        return parts


def lines_chart(
    name: str,
    series: Mapping[str, Points],
    axes: tuple[str, str],
    alt: str,
    words: Texts,
    *,
    percent: bool = False,
    trend: bool = False,
) -> Figure:
    """Return lines over steps or epochs, with a legend. `axes`: names of x and y.

    `trend` draws each series faintly below its running mean.
    """
    finite = {key: [(x, y) for x, y in points if np.isfinite(y)] for key, points in series.items()}
    every = [point for points in finite.values() for point in points] or [(0.0, 0.0), (1.0, 1.0)]
    xs, ys = [x for x, _ in every], [y for _, y in every]
    top = 1.0 if percent else float(np.quantile(ys, 0.995)) * 1.08 or 1.0
    frame = Axes(words, (460, 280), (min(xs), max(max(xs), min(xs) + 1)), (0.0, top))
    parts = frame.axes(*axes, percent, whole=True)
    for number, (key, points) in enumerate(finite.items()):
        color = PALETTE[number % len(PALETTE)]
        places = [(frame.x(x), frame.y(min(y, top))) for x, y in thin_points(points)]
        if trend and len(points) > 8:
            parts.append(path(places, color, 1, 'opacity="0.3"'))
            places = [(frame.x(x), frame.y(min(y, top))) for x, y in thin_points(smooth_points(points))]
        if places:
            parts.append(path(places, color, 2))
            if len(places) < 40 and not trend:
                parts += [marker(x, y, number % 5, color, size=3) for x, y in places]
        if len(finite) > 1:
            x0, y0 = (
                frame.right - 118,
                (frame.bottom - 12 - 17 * (len(finite) - 1 - number)) if percent else frame.top + 12 + 17 * number,
            )
            parts += [line(x0, y0 - 4, x0 + 18, y0 - 4, color, 3), text(x0 + 24, y0, key)]
    rows = [(key, x, y) for key, points in series.items() for x, y in points]
    return Figure(name, canvas(frame.width, frame.height, parts, alt), alt, ("series", *axes), tuple(rows))


def reliability_chart(name: str, series: Mapping[str, Reliability], axes: tuple[str, str], alt: str, words: Texts) -> Figure:
    """Return accuracy against confidence of each series; the dashed line is perfect calibration."""
    frame = Axes(words, (380, 320), (0.0, 1.0), (0.0, 1.0))
    parts = frame.axes(*axes, percent=True)
    parts.append(line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), MUTED, 1, 'stroke-dasharray="4 4"'))
    rows = []
    for number, (label, side) in enumerate(series.items()):
        color = (WARM, ACCENT)[number]
        full = np.flatnonzero(side.count)
        places = [(frame.x(float(side.confidence[b])), frame.y(float(side.accuracy[b]))) for b in full]
        parts.append(path(places, color, 1.5, 'opacity="0.6"'))
        for (x, y), b in zip(places, full, strict=True):
            radius = 2.5 + 6 * float(np.sqrt(side.count[b] / side.count.sum()))
            parts.append(f"<g><title>{escape(label)}: {int(side.count[b])}</title>{marker(x, y, number, color, size=radius)}</g>")
        parts += [
            marker(frame.left + 16, frame.top + 14 + 18 * number, number, color),
            text(frame.left + 26, frame.top + 18 + 18 * number, label),
        ]
        rows += [(label, float(side.confidence[b]), float(side.accuracy[b]), int(side.count[b])) for b in full]
    svg = canvas(frame.width, frame.height, parts, alt)
    return Figure(name, svg, alt, ("series", "confidence", "accuracy", "n"), tuple(rows))


def scatter_chart(
    name: str, points: FloatArray, labels: Sequence[str], categories: Sequence[str], alt: str, *, legend: bool = False
) -> Figure:
    """Return points (N, 2) in the color and shape of their class, with `legend` above its names."""
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    places = 14 + (points - low) / span * np.array([532, 392])
    style = {category: class_style(index) for index, category in enumerate(categories)}
    parts = [rect(0.5, 0.5, 559, 419, "#fbfbf9", extra=f'stroke="{GRID}"')]
    for (x, y), label in zip(places, labels, strict=True):
        color, shape = style.get(label, (MUTED, 0))
        parts.append(marker(float(x), float(420 - y), shape, color, 'opacity="0.8"', size=3.4))
    names = list(style) if legend else []
    for number, category in enumerate(names):
        x, y = 12 + 138 * (number % 4), 438 + 18 * (number // 4)
        color, shape = style[category]
        parts += [
            marker(x, y, shape, color, size=4.0),
            text(x + 10, y + 4, shorten(category, 19)),
        ]
    height = 420 + 18 * ceil(len(names) / 4) + (14 if names else 0)
    rows = [(label, float(x), float(y)) for label, (x, y) in zip(labels, points, strict=True)]
    return Figure(name, canvas(560, height, parts, alt), alt, ("label", "x", "y"), tuple(rows))
