"""SVG building blocks: shapes, text, axes ticks and the palette.

Charts are plain SVG text, without a plotting library: they print sharply, stay small, and their text is readable by screen
readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from pathlib import Path

from fototeca.analysis.tabular import csv_text
from fototeca.core.files import write_text

INK, MUTED, GRID = "#1d2a33", "#56646d", "#dfe3e1"
ACCENT, WARM = "#0b6e6e", "#b3471b"

PALETTE = ("#0b6e6e", "#c8501e", "#3b5ba5", "#8a6d00", "#8e3b86", "#2f7d32", "#b3264a", "#5b6b2f", "#00799c", "#74503a")
"""Distinguishable colors with a contrast of about 4.5 or more on white."""

FONT = "font-family=\"system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\""


@dataclass(frozen=True)
class Figure:
    """A chart with its description and data. `name` is its file name without ending."""

    name: str
    svg: str
    alt: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def csv(self) -> str:
        """Return the data as CSV."""
        return csv_text(self.columns, self.rows)

    def write(self, folder: Path) -> list[Path]:
        """Write `NAME.svg` and `NAME.csv`; return their paths."""
        paths = [folder / f"{self.name}.svg", folder / f"{self.name}.csv"]
        write_text(paths[0], self.svg)
        write_text(paths[1], self.csv())
        return paths


def shorten(label: str, most: int) -> str:
    """Return a label of at most `most` characters, cut in the middle: names of one kind differ at their ends."""
    if len(label) <= most:
        return label
    end = (most - 1) // 2
    return f"{label[: most - 1 - end].rstrip()}…{label[-end:].lstrip()}"


def canvas(width: float, height: float, parts: Iterable[str], alt: str) -> str:
    """Return a complete SVG with the accessible name `alt`."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{escape(alt)}" {FONT} font-size="12" fill="{INK}">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, words: object, *, anchor: str = "start", size: float = 12, fill: str = INK, extra: str = "") -> str:
    """Return a line of text; `anchor` is start, middle or end."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" fill="{fill}" {extra}>'
        f"{escape(str(words))}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, stroke: str = GRID, width: float = 1, extra: str = "") -> str:
    """Return a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" stroke-width="{width:g}" {extra}/>'


def rect(x: float, y: float, width: float, height: float, fill: str, title: str = "", extra: str = "") -> str:
    """Return a filled rectangle, with a tooltip if `title` is given."""
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}" {extra}>{inner}</rect>'


def path(points: Sequence[tuple[float, float]], stroke: str, width: float = 2, extra: str = "") -> str:
    """Return a line through points."""
    steps = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<path d="M{steps}" fill="none" stroke="{stroke}" stroke-width="{width:g}" stroke-linejoin="round" '
        f'stroke-linecap="round" {extra}/>'
    )


def marker(x: float, y: float, shape: int, fill: str, extra: str = "", size: float = 4) -> str:
    """Return a data point in one of five shapes: circle, square, triangle, diamond, cross."""
    s = size
    outlines = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s:g}" fill="{fill}" {extra}/>',
        f'<rect x="{x - s:.1f}" y="{y - s:.1f}" width="{2 * s:g}" height="{2 * s:g}" fill="{fill}" {extra}/>',
        f'<path d="M{x:.1f},{y - s * 1.2:.1f}l{s * 1.2:.1f},{s * 2.1:.1f}h{-s * 2.4:.1f}z" fill="{fill}" {extra}/>',
        f'<path d="M{x:.1f},{y - s * 1.4:.1f}l{s * 1.4:.1f},{s * 1.4:.1f}l{-s * 1.4:.1f},{s * 1.4:.1f}'
        f'l{-s * 1.4:.1f},{-s * 1.4:.1f}z" fill="{fill}" {extra}/>',
        f'<path d="M{x - s:.1f},{y - s / 3:.1f}h{s * 2 / 3:.1f}v{-s * 2 / 3:.1f}h{s * 2 / 3:.1f}v{s * 2 / 3:.1f}h{s * 2 / 3:.1f}'
        f'v{s * 2 / 3:.1f}h{-s * 2 / 3:.1f}v{s * 2 / 3:.1f}h{-s * 2 / 3:.1f}v{-s * 2 / 3:.1f}h{-s * 2 / 3:.1f}z" '
        f'fill="{fill}" {extra}/>',
    )
    return outlines[shape % len(outlines)]


def class_style(index: int) -> tuple[str, int]:
    """Return color and shape of the class with this index; fifty combinations differ."""
    return PALETTE[index % len(PALETTE)], index // len(PALETTE) % 5


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round values from `low` to `high`."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = ceil(low / step - 1e-9)
    return [round((first + k) * step, 12) for k in range(int((high - first * step) / step + 1e-9) + 1)]


def contrast_color(fill: str) -> str:
    """Return black or white, the one with more contrast to a fill; it is always 4.5 or more."""
    parts = (int(fill[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def blend_color(share: float, color: tuple[int, int, int] = (11, 110, 110)) -> str:
    """Return a color between white at 0 and `color` at 1."""
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in color)
