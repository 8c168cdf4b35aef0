"""Flat drawings of new traffic signs: the categories of the demo, and other signs for pretraining.

Shapes and colors loosely follow the Vienna Convention on Road Signs and Signals (1968). Coordinates run from -1 to 1 with the
origin in the center and y downwards; every sign fills that square as far as its shape allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from fototeca.demo.board import (
    BLACK,
    BLUE,
    GRAY,
    RED,
    SCALE,
    WHITE,
    YELLOW,
    Board,
    Color,
    Point,
    point_towards,
    regular_polygon,
    round_corners,
)

Draw = Callable[[Board, np.random.Generator], None]


def _triangle(board: Board, turn: float, inner: Color, border: float = 0.36) -> None:
    y = 0.2 if turn == 0 else -0.2
    board.polygon(round_corners(regular_polygon(3, 1.2, turn, y), 0.22), WHITE)
    board.polygon(round_corners(regular_polygon(3, 1.16, turn, y), 0.2), RED)
    board.polygon(round_corners(regular_polygon(3, 1.16 - border, turn, y), 0.1), inner)


def _ring(board: Board, inner: Color = WHITE, color: Color = RED, width: float = 0.2) -> None:
    board.disc(1, WHITE)
    board.disc(0.97, color)
    board.disc(0.97 - width, inner)


def _blue_disc(board: Board) -> None:
    board.disc(1, WHITE)
    board.disc(0.95, BLUE)


def _square(board: Board, color: Color) -> None:
    board.box(-0.94, -0.94, 0.94, 0.94, WHITE, 0.14)
    board.box(-0.89, -0.89, 0.89, 0.89, color, 0.1)


def _arrow(board: Board, path: Sequence[Point], width: float, color: Color, head: float = 2.4) -> None:
    """Draw a line with an arrowhead whose tip is the last point."""
    tip, before = path[-1], path[-2]
    base = point_towards(tip, before, width * head * 0.6)
    board.line([*path[:-1], base], width, color)
    dx, dy = (tip[0] - base[0], tip[1] - base[1])
    length = math.hypot(dx, dy)
    nx, ny = -dy / length * width * head / 2, dx / length * width * head / 2
    board.polygon([tip, (base[0] + nx, base[1] + ny), (base[0] - nx, base[1] - ny)], color)


def _car(board: Board, x: float, y: float, size: float, color: Color) -> None:
    """Draw a car seen from behind."""
    board.box(x - size, y - size * 0.25, x + size, y + size * 0.5, color, size * 0.14)
    board.polygon(
        [
            (x - size * 0.82, y - size * 0.2),
            (x - size * 0.6, y - size * 0.85),
            (x + size * 0.6, y - size * 0.85),
            (x + size * 0.82, y - size * 0.2),
        ],
        color,
    )
    for side in (-1, 1):
        board.box(
            x + side * size * 0.68 - size * 0.2,
            y + size * 0.4,
            x + side * size * 0.68 + size * 0.2,
            y + size * 0.85,
            color,
            size * 0.06,
        )
        board.disc(size * 0.13, WHITE, x + side * size * 0.68, y + size * 0.1)
    board.polygon(
        [
            (x - size * 0.58, y - size * 0.27),
            (x - size * 0.46, y - size * 0.68),
            (x + size * 0.46, y - size * 0.68),
            (x + size * 0.58, y - size * 0.27),
        ],
        WHITE,
    )


def _draw_walker(board: Board, x: float, y: float, size: float, color: Color) -> None:
    """Draw a walking person."""
    board.disc(size * 0.17, color, x + size * 0.05, y - size * 0.8)
    for path in (
        [(x, y - size * 0.6), (x, y)],
        [(x, y), (x + size * 0.32, y + size * 0.45), (x + size * 0.3, y + size * 0.85)],
        [(x, y), (x - size * 0.2, y + size * 0.45), (x - size * 0.45, y + size * 0.8)],
        [(x, y - size * 0.5), (x + size * 0.35, y - size * 0.1)],
        [(x, y - size * 0.5), (x - size * 0.35, y - size * 0.12)],
    ):
        board.line(path, size * 0.19, color)


def _stop(board: Board, rng: np.random.Generator) -> None:
    board.polygon(regular_polygon(8, 1.0, 22.5), WHITE)
    board.polygon(regular_polygon(8, 0.93, 22.5), RED)
    board.text(str(rng.choice(["STOP", "STOP", "STOP", "PARE", "ALTO"])), 0.58, 1.46, WHITE)


def _no_entry(board: Board, rng: np.random.Generator) -> None:
    board.disc(1, WHITE)
    board.disc(0.96, RED)
    height, width = rng.uniform(0.15, 0.2), rng.uniform(0.68, 0.76)
    board.box(-width, -height, width, height, WHITE, 0.04)


def _speed_limit(board: Board, rng: np.random.Generator) -> None:
    _ring(board, width=rng.uniform(0.17, 0.24))
    text = str(rng.choice([20, 30, 40, 50, 60, 70, 80, 90, 100, 120]))
    board.text(text, 0.72 if len(text) == 2 else 0.6, 1.04 if len(text) == 2 else 1.2, BLACK)


def _no_overtaking(board: Board, rng: np.random.Generator) -> None:
    _ring(board, width=rng.uniform(0.15, 0.2))
    _car(board, -0.36, 0.02, 0.29, RED)
    _car(board, 0.36, 0.02, 0.29, BLACK)


def _yield(board: Board, rng: np.random.Generator) -> None:
    _triangle(board, 180, WHITE, border=rng.uniform(0.34, 0.5))
    if rng.random() < 0.2:
        board.text("CEDA EL PASO", 0.12, 0.8, BLACK, y=-0.4)


def _bend(board: Board, rng: np.random.Generator) -> None:
    _triangle(board, 0, WHITE, border=rng.uniform(0.3, 0.4))
    side = rng.choice([-1.0, 1.0])
    if rng.random() < 0.5:
        path = [(-0.22, 0.52), (-0.22, 0.26), (-0.16, 0.12), (-0.04, 0.04), (0.12, 0.0), (0.38, -0.06)]
    else:
        path = [(-0.06, 0.54), (-0.06, 0.38), (0.12, 0.2), (0.12, 0.1), (-0.08, -0.06), (-0.08, -0.42)]
    _arrow(board, [(side * x, y) for x, y in path], 0.15, BLACK)


def _parking(board: Board, rng: np.random.Generator) -> None:
    _square(board, BLUE)
    board.text("P", 1.1, rng.uniform(0.7, 0.85), WHITE)


def _roundabout(board: Board, rng: np.random.Generator) -> None:
    _blue_disc(board)
    turn = rng.uniform(0, 120)
    for start in (0, 120, 240):
        angles = np.radians(turn + start + np.linspace(0, 88, 8))
        _arrow(board, [(0.55 * math.cos(a), 0.55 * math.sin(a)) for a in angles], 0.17, WHITE)


def _crossing(board: Board, rng: np.random.Generator) -> None:
    _square(board, BLUE)
    board.polygon(regular_polygon(3, 0.92, y=0.24), WHITE)
    _draw_walker(board, rng.uniform(-0.04, 0.04), 0.22, 0.44, BLACK)


def _priority(board: Board, rng: np.random.Generator) -> None:
    for size, color in ((1.0, WHITE), (0.95, BLACK), (0.91, WHITE), (rng.uniform(0.62, 0.7), YELLOW)):
        board.polygon(round_corners(regular_polygon(4, size), 0.1), color)


def _one_way(board: Board, rng: np.random.Generator) -> None:
    _square(board, BLUE)
    turn = rng.choice([0, 90, 270])
    ends = [
        (-0.7 * math.sin(math.radians(turn)), 0.7 * math.cos(math.radians(turn))),
        (0.7 * math.sin(math.radians(turn)), -0.7 * math.cos(math.radians(turn))),
    ]
    _arrow(board, ends, 0.3, WHITE)


def _no_parking(board: Board, rng: np.random.Generator) -> None:
    _ring(board, BLUE)
    for side in (1, -1) if rng.random() < 0.5 else (1,):
        board.line([(-0.58 * side, -0.58), (0.58 * side, 0.58)], 0.18, RED)


def _roadworks(board: Board, rng: np.random.Generator) -> None:
    _triangle(board, 0, YELLOW if rng.random() < 0.6 else WHITE)
    _draw_walker(board, 0.06, 0.2, 0.34, BLACK)
    board.polygon([(-0.45, 0.54), (-0.3, 0.3), (-0.12, 0.54)], BLACK)


def _keep_side(board: Board, rng: np.random.Generator) -> None:
    _blue_disc(board)
    side = rng.choice([-1.0, 1.0])
    _arrow(board, [(-0.5 * side, -0.5), (0.56 * side, 0.56)], 0.24, WHITE)


def _end_of_limits(board: Board, rng: np.random.Generator) -> None:
    _ring(board, WHITE, BLACK, 0.04)
    for shift in np.linspace(-0.2, 0.2, int(rng.integers(3, 6))):
        board.line([(-0.6 + shift, 0.6 + shift), (0.6 + shift, -0.6 + shift)], 0.06, GRAY)


def _minimum_speed(board: Board, rng: np.random.Generator) -> None:
    _blue_disc(board)
    board.text(str(rng.choice([30, 40, 50, 60, 70])), 0.7, 1.04, WHITE)


def _traffic_lights(board: Board, rng: np.random.Generator) -> None:
    _triangle(board, 0, WHITE)
    y = rng.uniform(0.12, 0.18)
    for shift, color in ((-0.32, RED), (0, YELLOW), (0.32, (20, 140, 70))):
        board.disc(0.14, color, 0, y + shift)


def _weight_limit(board: Board, rng: np.random.Generator) -> None:
    _ring(board)
    board.text(f"{rng.choice([3, 5, 7])},5t", 0.46, 1.15, BLACK)


CATEGORIES: dict[str, Draw] = {
    "stop": _stop,
    "no-entry": _no_entry,
    "speed-limit": _speed_limit,
    "no-overtaking": _no_overtaking,
    "yield": _yield,
    "dangerous-bend": _bend,
}
"""Categories of the demo: three pairs that are easily confused from a distance."""

OTHER_SIGNS: dict[str, Draw] = {
    "parking": _parking,
    "roundabout": _roundabout,
    "pedestrian-crossing": _crossing,
    "priority": _priority,
    "one-way": _one_way,
    "no-parking": _no_parking,
    "roadworks": _roadworks,
    "keep-side": _keep_side,
    "end-of-limits": _end_of_limits,
    "least-speed": _minimum_speed,
    "lights-ahead": _traffic_lights,
    "weight-limit": _weight_limit,
}
"""Signs outside the categories: clutter in the background, and classes to pretrain a backbone on."""


@lru_cache(maxsize=256)
def draw_sign(name: str, variant: int) -> Image.Image:
    """Return the sign as an RGBA square of SIDE pixels, transparent outside its shape; equal arguments give equal drawings."""
    board = Board()
    draw = CATEGORIES.get(name) or OTHER_SIGNS[name]
    draw(board, np.random.default_rng([len(name), *name.encode(), variant]))
    return board.image.reduce(SCALE)
