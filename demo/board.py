"""Canvas for traffic signs: flat shapes in coordinates from -1 to 1 with the origin in the center and y downwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 320
"""Side of a drawn sign in pixels."""

SCALE = 3
"""Oversampling factor: signs are drawn larger, then reduced, for smooth edges."""

RED, WHITE, BLACK, BLUE, YELLOW, GRAY = (
    (188, 22, 34),
    (242, 242, 238),
    (24, 24, 26),
    (14, 74, 158),
    (248, 192, 22),
    (128, 130, 132),
)

Point = tuple[float, float]
Color = tuple[int, int, int]

_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"


class Board:
    """Transparent square canvas with coordinates from -1 to 1."""

    def __init__(self) -> None:
        self.image = Image.new("RGBA", (SIDE * SCALE, SIDE * SCALE))
        self.pen = ImageDraw.Draw(self.image)

    def pixels(self, points: Sequence[Point]) -> list[Point]:
        """Return unit coordinates in pixels."""
        half = SIDE * SCALE / 2
        return [(half * (1 + x * 0.98), half * (1 + y * 0.98)) for x, y in points]

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Draw a filled polygon."""
        self.pen.polygon(self.pixels(points), fill=color)

    def disc(self, radius: float, color: Color, x: float = 0, y: float = 0) -> None:
        """Draw a filled circle around (x, y)."""
        (left, top), (right, bottom) = self.pixels([(x - radius, y - radius), (x + radius, y + radius)])
        self.pen.ellipse((left, top, right, bottom), fill=color)

    def box(self, left: float, top: float, right: float, bottom: float, color: Color, radius: float = 0) -> None:
        """Draw a filled rectangle with corners rounded by `radius`."""
        first, last = self.pixels([(left, top), (right, bottom)])
        self.pen.rounded_rectangle((*first, *last), radius * SIDE * SCALE / 2, fill=color)

    def line(self, points: Sequence[Point], width: float, color: Color) -> None:
        """Draw a thick line with round joints."""
        pixels = self.pixels(points)
        self.pen.line(pixels, fill=color, width=round(width * SIDE * SCALE / 2), joint="curve")

    def text(self, text: str, height: float, width: float, color: Color, y: float = 0) -> None:
        """Draw text stretched to a box of `height` by `width` around (0, y)."""
        font = ImageFont.truetype(str(_FONT), 200)
        left, top, right, bottom = font.getbbox(text)
        mask = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
        ImageDraw.Draw(mask).text((-left, -top), text, font=font, fill=255)
        half = SIDE * SCALE / 2
        mask = mask.resize((round(width * half), round(height * half)), Image.Resampling.LANCZOS)
        corner = (round(half - mask.width / 2), round(half * (1 + y) - mask.height / 2))
        self.image.paste(color, (*corner, corner[0] + mask.width, corner[1] + mask.height), mask)


def round_corners(points: Sequence[Point], radius: float) -> list[Point]:
    """Return the polygon with every corner replaced by a quadratic curve that starts `radius` away from it."""
    result: list[Point] = []
    for before, corner, after in zip([points[-1], *points[:-1]], points, [*points[1:], points[0]], strict=True):
        start, end = (point_towards(corner, neighbor, radius) for neighbor in (before, after))
        for t in np.linspace(0, 1, 9):
            a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t**2
            result.append((a * start[0] + b * corner[0] + c * end[0], a * start[1] + b * corner[1] + c * end[1]))
    return result


def point_towards(origin: Point, target: Point, distance: float) -> Point:
    """Return the point at `distance` from the origin in the direction of the target."""
    length = math.dist(origin, target)
    return (origin[0] + (target[0] - origin[0]) * distance / length, origin[1] + (target[1] - origin[1]) * distance / length)


def regular_polygon(corners: int, radius: float, turn: float = 0, y: float = 0) -> list[Point]:
    """Return the corners of a regular polygon; `turn` in degrees, at 0 a corner is on top."""
    angles = [math.radians(turn + 360 * i / corners) for i in range(corners)]
    return [(radius * math.sin(angle), y - radius * math.cos(angle)) for angle in angles]
