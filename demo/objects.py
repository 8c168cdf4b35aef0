"""Drawn objects of the scenes (trees, buildings, cars) and random colors."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from fototeca.demo.noise import textured_surface


def random_color(
    rng: np.random.Generator, hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]
) -> tuple[int, int, int]:
    """Return a random RGB color from ranges of hue (degrees), saturation and value (0..1)."""
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(*hue) / 360 % 1, rng.uniform(*saturation), rng.uniform(*value))
    return round(red * 255), round(green * 255), round(blue * 255)


def shade_color(tone: tuple[int, ...], light: float) -> tuple[int, ...]:
    """Return the color multiplied by `light`, clipped to 0..255."""
    return tuple(int(np.clip(part * light, 0, 255)) for part in tone)


def draw_tree(rng: np.random.Generator, image: Image.Image, x: float, ground: float, height: float) -> None:
    """Draw a tree of `height` pixels with its foot at (x, ground): a trunk and a crown of leaf clumps."""
    pen = ImageDraw.Draw(image)
    trunk = random_color(rng, (15, 40), (0.2, 0.5), (0.15, 0.35))
    pen.line(
        [(x, ground), (x + rng.normal(0, 0.03) * height, ground - height * 0.6)],
        fill=trunk,
        width=max(2, round(height * rng.uniform(0.03, 0.07))),
    )
    hue = (rng.choice([85, 100, 75, 30], p=[0.4, 0.3, 0.2, 0.1]),) * 2
    wide, slim = rng.uniform(0.2, 0.36), rng.random() < 0.25
    base = random_color(rng, (hue[0], hue[0] + 15), (0.35, 0.65), (0.3, 0.5))
    for _ in range(int(rng.integers(50, 90))):
        along = rng.random() ** 0.8
        spread = wide * (1 - along if slim else np.sqrt(max(0.05, 1 - (2 * along - 1) ** 2)))
        cx, cy = x + float(np.clip(rng.normal(0, 0.5), -1, 1)) * spread * height, ground - height * (0.28 + 0.7 * along)
        radius = height * rng.uniform(0.03, 0.09)
        light = (
            0.6
            + 0.55 * along * rng.uniform(0.6, 1.1)
            + 0.1 * rng.standard_normal()
            - 0.2 * float(np.tanh((cx - x) / (wide * height)))
        )
        pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius * 0.8), fill=shade_color(base, max(0.35, light)))


def draw_building(rng: np.random.Generator, image: Image.Image, left: float, right: float, top: float, ground: float) -> None:
    """Draw a facade with rows of windows, in half of the cases with a roof; nothing below 12 pixels."""
    width, height = round(right - left), round(ground - top)
    if min(width, height) < 12:
        return
    tone = random_color(rng, (10, 50) if rng.random() < 0.8 else (180, 230), (0.05, 0.45), (0.45, 0.92))
    front = textured_surface(rng, (width, height), tone, 0.07, max(width, height) / 5)
    pen = ImageDraw.Draw(front)
    columns, rows = max(1, round(width / rng.uniform(38, 75))), max(1, round(height / rng.uniform(45, 85)))
    glass = random_color(rng, (190, 230), (0.1, 0.45), (0.12, 0.5))
    frame = tuple(min(255, part + 30) for part in tone)
    fill_x, fill_y = rng.uniform(0.35, 0.7), rng.uniform(0.45, 0.72)
    for row in range(rows):
        for column in range(columns):
            x0, y0 = (column + 0.5 - fill_x / 2) * width / columns, (row + 0.55 - fill_y / 2) * height / rows
            x1, y1 = x0 + fill_x * width / columns, y0 + fill_y * height / rows
            pane = shade_color(glass, rng.uniform(0.6, 1.6))
            pen.rectangle((x0 - 3, y0 - 3, x1 + 3, y1 + 3), fill=frame)
            pen.rectangle((x0, y0, x1, y1), fill=pane)
            pen.line([((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1)], fill=frame, width=2)
    image.paste(front, (round(left), round(top)))
    if rng.random() < 0.5:
        roof = random_color(rng, (5, 30), (0.3, 0.6), (0.25, 0.55))
        ImageDraw.Draw(image).polygon(
            [
                (left - 8, top),
                (right + 8, top),
                (right - width * 0.12, top - height * 0.16),
                (left + width * 0.12, top - height * 0.16),
            ],
            fill=roof,
        )


def draw_car(rng: np.random.Generator, image: Image.Image, x: float, ground: float, size: float) -> None:
    """Draw a car seen from the side, `size` pixels long."""
    pen = ImageDraw.Draw(image)
    body = random_color(rng, (0, 360), (0, 0.8), (0.15, 0.9))
    dark = tuple(part // 3 for part in body)
    pen.ellipse((x - size * 0.5, ground - size * 0.05, x + size * 0.5, ground + size * 0.06), fill=(30, 30, 32))
    pen.rounded_rectangle((x - size / 2, ground - size * 0.26, x + size / 2, ground - size * 0.05), size * 0.07, fill=body)
    pen.polygon(
        [
            (x - size * 0.33, ground - size * 0.24),
            (x - size * 0.2, ground - size * 0.42),
            (x + size * 0.16, ground - size * 0.42),
            (x + size * 0.32, ground - size * 0.24),
        ],
        fill=body,
    )
    pen.polygon(
        [
            (x - size * 0.28, ground - size * 0.25),
            (x - size * 0.18, ground - size * 0.39),
            (x + size * 0.14, ground - size * 0.39),
            (x + size * 0.27, ground - size * 0.25),
        ],
        fill=(60, 70, 82),
    )
    for wheel in (-0.3, 0.3):
        cx, radius = x + wheel * size, size * 0.09
        pen.ellipse((cx - radius, ground - radius * 1.6, cx + radius, ground + radius * 0.4), fill=(22, 22, 24))
        pen.ellipse((cx - radius * 0.5, ground - radius * 1.1, cx + radius * 0.5, ground - radius * 0.1), fill=dark)
