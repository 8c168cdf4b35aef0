"""The board that signs are drawn on: flat shapes in coordinates from -1 to 1, the origin in the middle, y downwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 320
"""Pixels a side of a drawn sign."""

SCALE = 3
"""Signs are drawn this many times larger, then reduced: smooth edges."""

RED, WHITE, BLACK, BLUE, YELLOW, GREY = (
    (188, 22, 34),
    (242, 242, 238),
    (24, 24, 26),
    (14, 74, 158),
    (248, 192, 22),
    (128, 130, 132),
)

Point = tuple[float, float]
Colour = tuple[int, int, int]

_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"


class Board:
    """A transparent square to draw a sign on, in coordinates from -1 to 1."""

    def __init__(self) -> None:
        self.image = Image.new("RGBA", (SIDE * SCALE, SIDE * SCALE))
        self.pen = ImageDraw.Draw(self.image)

    def pixels(self, points: Sequence[Point]) -> list[Point]:
        """Unit coordinates as pixels."""
        half = SIDE * SCALE / 2
        return [(half * (1 + x * 0.98), half * (1 + y * 0.98)) for x, y in points]

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        self.pen.polygon(self.pixels(points), fill=colour)

    def disc(self, radius: float, colour: Colour, x: float = 0, y: float = 0) -> None:
        """A filled circle."""
        (left, top), (right, bottom) = self.pixels([(x - radius, y - radius), (x + radius, y + radius)])
        self.pen.ellipse((left, top, right, bottom), fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour, radius: float = 0) -> None:
        """A filled rectangle with round corners."""
        first, last = self.pixels([(left, top), (right, bottom)])
        self.pen.rounded_rectangle((*first, *last), radius * SIDE * SCALE / 2, fill=colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A thick line with round joints."""
        places = self.pixels(points)
        self.pen.line(places, fill=colour, width=round(width * SIDE * SCALE / 2), joint="curve")

    def text(self, text: str, height: float, width: float, colour: Colour, y: float = 0) -> None:
        """Text in a box of this size around (0, y)."""
        font = ImageFont.truetype(str(_FONT), 200)
        left, top, right, bottom = font.getbbox(text)
        mask = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
        ImageDraw.Draw(mask).text((-left, -top), text, font=font, fill=255)
        half = SIDE * SCALE / 2
        mask = mask.resize((round(width * half), round(height * half)), Image.Resampling.LANCZOS)
        corner = (round(half - mask.width / 2), round(half * (1 + y) - mask.height / 2))
        self.image.paste(colour, (*corner, corner[0] + mask.width, corner[1] + mask.height), mask)


def rounded(points: Sequence[Point], radius: float) -> list[Point]:
    """The polygon with every corner replaced by a curve that starts `radius` away from it."""
    result: list[Point] = []
    for before, corner, after in zip([points[-1], *points[:-1]], points, [*points[1:], points[0]], strict=True):
        start, end = (towards(corner, other, radius) for other in (before, after))
        for t in np.linspace(0, 1, 9):
            a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t**2
            result.append((a * start[0] + b * corner[0] + c * end[0], a * start[1] + b * corner[1] + c * end[1]))
    return result


def towards(origin: Point, other: Point, distance: float) -> Point:
    """The point so far from the origin on the way to the other."""
    length = math.dist(origin, other)
    return (origin[0] + (other[0] - origin[0]) * distance / length, origin[1] + (other[1] - origin[1]) * distance / length)


def regular(corners: int, radius: float, turn: float = 0, y: float = 0) -> list[Point]:
    """A regular polygon; `turn` in degrees, 0 has a corner on top."""
    angles = [math.radians(turn + 360 * i / corners) for i in range(corners)]
    return [(radius * math.sin(angle), y - radius * math.cos(angle)) for angle in angles]
