"""Horizontal charts of intervals and stacked bars. Names stand above their rows, so that long ones fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from fototeca.analysis.i18n import Texts
from fototeca.analysis.plots.svg import ACCENT, MUTED, PALETTE, Figure, canvas, line, marker, rect, shorten, text, ticks

WIDTH = 460.0
"""Width of the charts: small enough to be read on a phone."""

LEFT, RIGHT = 8.0, 440.0
"""Ends of the plotted rows."""

ROW = 40.0
"""Height of a row with its name."""

MAX_NAME = 62
"""Characters of a name."""


def intervals_chart(
    name: str,
    rows: Sequence[tuple[str, float, float, float]],
    names: Mapping[str, str],
    x_name: str,
    alt: str,
    words: Texts,
    strong: Sequence[str] = (),
) -> Figure:
    """Return a dot with its interval per row (id, value, low, high) below its name; ids in `strong` have the accent color."""
    bottom = 12 + ROW * len(rows)
    low, high = max(0.0, min(row[2] for row in rows) - 0.03), min(1.0, max(row[3] for row in rows) + 0.02)

    def place(value: float) -> float:
        return LEFT + 8 + (value - low) / ((high - low) or 1) * (RIGHT - LEFT - 60)

    parts = []
    for value in ticks(low, high):
        parts += [line(place(value), 8, place(value), bottom)]
        parts.append(text(place(value), bottom + 16, words.percent(value, 0), anchor="middle", fill=MUTED))
    for number, (run, value, lower, upper) in enumerate(rows):
        y = 34 + ROW * number
        color = ACCENT if run in strong or not strong else MUTED
        parts += [
            f"<g><title>{escape(run)}</title>{text(LEFT, y - 12, shorten(names[run], MAX_NAME))}</g>",
            line(place(lower), y, place(upper), y, color, 4, 'stroke-linecap="round" opacity="0.5"'),
            marker(place(value), y, 0, color, size=5.5),
            text(place(upper) + 8, y + 4, words.percent(value), fill=color),
        ]
    parts.append(text((LEFT + RIGHT) / 2, bottom + 34, x_name, anchor="middle", fill=MUTED))
    svg = canvas(WIDTH, bottom + 42, parts, alt)
    return Figure(name, svg, alt, ("name", "value", "low", "high"), tuple(rows))


def bars_chart(name: str, rows: Sequence[tuple[str, Mapping[str, int]]], alt: str) -> Figure:
    """Return stacked horizontal bars below their names: per row a name and counts by part."""
    keys = list(dict.fromkeys(key for _, counts in rows for key in counts))
    most = max(sum(counts.values()) for _, counts in rows) or 1
    scale = (RIGHT - LEFT - 40) / most
    parts = []
    place = LEFT
    for number, key in enumerate(keys):
        parts += [rect(place, 4, 12, 12, PALETTE[number]), text(place + 17, 14, key)]
        place += 40 + 7 * len(key)
    for row, (label, counts) in enumerate(rows):
        y, x = 40 + ROW * row, LEFT
        parts.append(text(LEFT, y, shorten(label, MAX_NAME)))
        for number, key in enumerate(keys):
            width = counts.get(key, 0) * scale
            parts.append(rect(x, y + 6, width, 12, PALETTE[number], f"{label}, {key}: {counts.get(key, 0)}"))
            x += width
        parts.append(text(x + 6, y + 17, sum(counts.values()), fill=MUTED))
    cells = tuple((label, *(counts.get(key, 0) for key in keys)) for label, counts in rows)
    return Figure(name, canvas(WIDTH, 32 + ROW * len(rows), parts, alt), alt, ("name", *keys), cells)
