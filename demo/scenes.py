"""Drawn backgrounds: what stands behind a traffic sign. Every scene fills the whole frame and has its own layout."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fototeca.demo.noise import fractal, smooth, textured

Size = tuple[int, int]
Scene = Callable[[np.random.Generator, Size], Image.Image]


def colour(
    rng: np.random.Generator, hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]
) -> tuple[int, int, int]:
    """A random RGB colour from ranges of hue (degrees), saturation and value (0..1)."""
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(*hue) / 360 % 1, rng.uniform(*saturation), rng.uniform(*value))
    return round(red * 255), round(green * 255), round(blue * 255)


def shade(tone: tuple[int, ...], light: float) -> tuple[int, ...]:
    """The colour under more or less light."""
    return tuple(int(np.clip(part * light, 0, 255)) for part in tone)


def sky(rng: np.random.Generator, size: Size) -> Image.Image:
    """A sky from horizon to zenith, from clear blue to overcast or evening, with clouds."""
    width, height = size
    kind = rng.choice(["blue", "grey", "evening"], p=[0.55, 0.3, 0.15])
    if kind == "blue":
        top, bottom = colour(rng, (205, 222), (0.45, 0.8), (0.6, 0.9)), colour(rng, (195, 212), (0.1, 0.35), (0.85, 1))
    elif kind == "grey":
        top, bottom = colour(rng, (200, 220), (0.02, 0.12), (0.55, 0.8)), colour(rng, (200, 220), (0, 0.07), (0.75, 0.95))
    else:
        top, bottom = colour(rng, (215, 245), (0.3, 0.6), (0.35, 0.65)), colour(rng, (18, 42), (0.3, 0.6), (0.85, 1))
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = (1 - ramp) * np.array(top, np.float32) + ramp * np.array(bottom, np.float32)
    cover = fractal(rng, size, width / rng.uniform(1.5, 5), 5, stretch=rng.uniform(1.2, 3))
    limit = rng.uniform(0.35, 0.9)
    clouds = np.clip((cover - limit) / 0.25, 0, 1)[..., None] * rng.uniform(0.5, 1)
    white = np.array(colour(rng, (20, 60), (0, 0.08), (0.85, 1)), np.float32) * (0.75 + 0.25 * cover[..., None])
    return Image.fromarray(np.clip(image * (1 - clouds) + white * clouds, 0, 255).astype(np.uint8))


def _ridge(rng: np.random.Generator, image: Image.Image, base: float, rise: float, fill: Image.Image) -> None:
    """Paste `fill` below a random ridge line; `base` and `rise` are shares of the height."""
    width, height = image.size
    steps = smooth(rng, (width, 2), width / rng.uniform(2, 9))[0] + 0.3 * smooth(rng, (width, 2), width / 30)[0]
    line = height * (base - rise * steps)
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon([(0, height), *zip(range(width), line.tolist(), strict=True), (width, height)], fill=255)
    image.paste(fill, (0, 0), mask)


def hills(rng: np.random.Generator, image: Image.Image, horizon: float) -> None:
    """One to three ranges, the far ones bluer and paler."""
    layers = int(rng.integers(1, 4))
    for layer in range(layers, 0, -1):
        far = layer / 3
        tint = colour(rng, (70 + 130 * far, 100 + 130 * far), (0.25, 0.5), (0.3 + 0.35 * far, 0.45 + 0.4 * far))
        fill = textured(rng, image.size, tint, 0.25 * (1 - far) + 0.05, image.width / 18)
        _ridge(rng, image, horizon + 0.02, rng.uniform(0.04, 0.12) + 0.1 * far, fill)


def tree(rng: np.random.Generator, image: Image.Image, x: float, ground: float, height: float) -> None:
    """A tree of `height` pixels whose foot is at (x, ground): trunk and a crown of many leaves' clumps."""
    pen = ImageDraw.Draw(image)
    trunk = colour(rng, (15, 40), (0.2, 0.5), (0.15, 0.35))
    pen.line(
        [(x, ground), (x + rng.normal(0, 0.03) * height, ground - height * 0.6)],
        fill=trunk,
        width=max(2, round(height * rng.uniform(0.03, 0.07))),
    )
    hue = (rng.choice([85, 100, 75, 30], p=[0.4, 0.3, 0.2, 0.1]),) * 2
    wide, slim = rng.uniform(0.2, 0.36), rng.random() < 0.25
    base = colour(rng, (hue[0], hue[0] + 15), (0.35, 0.65), (0.3, 0.5))
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
        pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius * 0.8), fill=shade(base, max(0.35, light)))


def building(rng: np.random.Generator, image: Image.Image, left: float, right: float, top: float, ground: float) -> None:
    """A front of plaster, brick or concrete with rows of windows, perhaps a roof and a shop below."""
    width, height = round(right - left), round(ground - top)
    if min(width, height) < 12:
        return
    tone = colour(rng, (10, 50) if rng.random() < 0.8 else (180, 230), (0.05, 0.45), (0.45, 0.92))
    front = textured(rng, (width, height), tone, 0.07, max(width, height) / 5)
    pen = ImageDraw.Draw(front)
    columns, rows = max(1, round(width / rng.uniform(38, 75))), max(1, round(height / rng.uniform(45, 85)))
    glass = colour(rng, (190, 230), (0.1, 0.45), (0.12, 0.5))
    frame = tuple(min(255, part + 30) for part in tone)
    fill_x, fill_y = rng.uniform(0.35, 0.7), rng.uniform(0.45, 0.72)
    for row in range(rows):
        for column in range(columns):
            x0, y0 = (column + 0.5 - fill_x / 2) * width / columns, (row + 0.55 - fill_y / 2) * height / rows
            x1, y1 = x0 + fill_x * width / columns, y0 + fill_y * height / rows
            pane = shade(glass, rng.uniform(0.6, 1.6))
            pen.rectangle((x0 - 3, y0 - 3, x1 + 3, y1 + 3), fill=frame)
            pen.rectangle((x0, y0, x1, y1), fill=pane)
            pen.line([((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1)], fill=frame, width=2)
    image.paste(front, (round(left), round(top)))
    if rng.random() < 0.5:
        roof = colour(rng, (5, 30), (0.3, 0.6), (0.25, 0.55))
        ImageDraw.Draw(image).polygon(
            [
                (left - 8, top),
                (right + 8, top),
                (right - width * 0.12, top - height * 0.16),
                (left + width * 0.12, top - height * 0.16),
            ],
            fill=roof,
        )


def car(rng: np.random.Generator, image: Image.Image, x: float, ground: float, size: float) -> None:
    """A parked or passing car seen from the side, `size` pixels long."""
    pen = ImageDraw.Draw(image)
    body = colour(rng, (0, 360), (0, 0.8), (0.15, 0.9))
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


def road(rng: np.random.Generator, image: Image.Image, horizon: float) -> None:
    """Verges and a road that runs to a vanishing point on the horizon (a share of the height)."""
    width, height = image.size
    top = round(horizon * height)
    below = (width, max(2, height - top))
    green = (
        colour(rng, (50, 105), (0.25, 0.6), (0.25, 0.55))
        if rng.random() < 0.75
        else colour(rng, (25, 40), (0.05, 0.25), (0.45, 0.7))
    )
    image.paste(textured(rng, below, green, 0.3, 14, stretch=3), (0, top))
    grey = colour(rng, (200, 260), (0, 0.08), (0.28, 0.55))
    asphalt = textured(rng, below, grey, 0.12, 40, stretch=3)
    vanishing, left, right = rng.uniform(-0.2, 1.2) * width, rng.uniform(-0.9, 0.45) * width, rng.uniform(0.6, 2.2) * width
    mask = Image.new("L", below)
    ImageDraw.Draw(mask).polygon([(vanishing - 5, 0), (vanishing + 5, 0), (right, below[1]), (left, below[1])], fill=255)
    pen = ImageDraw.Draw(asphalt)
    middle = (left + right) / 2
    for start in np.linspace(0.03, 1, 7) ** 2 if rng.random() < 0.7 else ():
        end = start * 1.45 + 0.01
        near, far = vanishing + (middle - vanishing) * end, vanishing + (middle - vanishing) * start
        pen.polygon(
            [
                (far - 14 * start, below[1] * start),
                (far + 14 * start, below[1] * start),
                (near + 14 * end, below[1] * end),
                (near - 14 * end, below[1] * end),
            ],
            fill=(225, 225, 220),
        )
    for edge in (left, right):
        shift = 60 if edge == left else -60
        pen.line([(vanishing, 0), (edge + shift, below[1])], fill=(215, 215, 210), width=7)
    image.paste(asphalt, (0, top), mask)


def country(rng: np.random.Generator, size: Size) -> Image.Image:
    """A road through fields, with hills and trees."""
    image, horizon = sky(rng, size), rng.uniform(0.35, 0.85)
    hills(rng, image, horizon)
    road(rng, image, horizon)
    for _ in range(int(rng.integers(0, 7))):
        scale = rng.uniform(0.08, 0.55)
        tree(rng, image, rng.uniform(0, 1) * size[0], (horizon + 0.25 * scale) * size[1], scale * size[1])
    return image


def town(rng: np.random.Generator, size: Size) -> Image.Image:
    """A street with fronts, trees and cars."""
    width, height = size
    image, horizon = sky(rng, size), rng.uniform(0.55, 0.95)
    road(rng, image, horizon)
    x = -rng.uniform(0, 0.3) * width
    while x < width:
        wide = rng.uniform(0.15, 0.6) * width
        if rng.random() < 0.82:
            building(rng, image, x, x + wide, (horizon - rng.uniform(0.15, 0.95)) * height, (horizon + 0.02) * height)
        x += wide * rng.uniform(0.95, 1.15)
    for _ in range(int(rng.integers(0, 3))):
        tree(rng, image, rng.random() * width, (horizon + 0.04) * height, rng.uniform(0.2, 0.7) * height)
    for _ in range(int(rng.integers(0, 4))):
        car(rng, image, rng.random() * width, (horizon + rng.uniform(0.02, 0.2)) * height, rng.uniform(0.12, 0.45) * width)
    return image


def wood(rng: np.random.Generator, size: Size) -> Image.Image:
    """Leaves and trunks that fill the frame."""
    width, height = size
    green = colour(rng, (60, 125), (0.3, 0.6), (0.2, 0.45))
    image = textured(rng, size, green, rng.uniform(0.4, 0.8), rng.uniform(25, 90))
    for _ in range(int(rng.integers(3, 9))):
        tree(rng, image, rng.uniform(-0.1, 1.1) * width, rng.uniform(0.75, 1.3) * height, rng.uniform(0.5, 1.3) * height)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))


def heavens(rng: np.random.Generator, size: Size) -> Image.Image:
    """Looking up: sky, wires, and perhaps a crown or a roof that reaches in from below."""
    width, height = size
    image = sky(rng, size)
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 5))):
        start, end = rng.uniform(0, 1, 2) * height
        pen.line(
            [(0, start), (width / 2, (start + end) / 2 + rng.uniform(0, 0.08) * height), (width, end)],
            fill=(40, 40, 44),
            width=int(rng.integers(2, 5)),
            joint="curve",
        )
    for _ in range(int(rng.integers(0, 3))):
        tree(
            rng,
            image,
            rng.choice([rng.uniform(-0.1, 0.25), rng.uniform(0.75, 1.1)]) * width,
            height * rng.uniform(1, 1.3),
            rng.uniform(0.4, 1.2) * height,
        )
    if rng.random() < 0.4:
        left = rng.uniform(-0.3, 0.8) * width
        building(rng, image, left, left + rng.uniform(0.3, 0.8) * width, rng.uniform(0.3, 0.85) * height, height * 1.05)
    return image


def _opening(rng: np.random.Generator, image: Image.Image) -> None:
    """A window, a door, a poster or a patch of new plaster on a wall."""
    width, height = image.size
    left, top = rng.uniform(-0.15, 0.9) * width, rng.uniform(-0.15, 0.7) * height
    right, bottom = left + rng.uniform(0.12, 0.4) * width, top + rng.uniform(0.18, 0.6) * height
    pen = ImageDraw.Draw(image)
    inside = colour(rng, (0, 360), (0, 0.5), (0.15, 0.9))
    pen.rectangle((left - 8, top - 8, right + 8, bottom + 8), fill=shade(inside, rng.uniform(0.4, 1.8)))
    pen.rectangle((left, top, right, bottom), fill=inside)
    for share in np.linspace(0, 1, int(rng.integers(2, 7)))[1:-1]:
        y = top + share * (bottom - top)
        pen.line([(left + 6, y), (right - 6, y)], fill=shade(inside, rng.uniform(0.4, 1.6)), width=int(rng.integers(2, 12)))


def wall(rng: np.random.Generator, size: Size) -> Image.Image:
    """A wall of bricks, blocks or plaster, with a pavement below."""
    width, height = size
    tone = colour(rng, (5, 40) if rng.random() < 0.7 else (150, 230), (0.03, 0.42), (0.35, 0.85))
    image = textured(rng, size, tone, rng.uniform(0.06, 0.2), rng.uniform(40, 200))
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.65:
        rows = int(rng.integers(9, 30))
        tall, wide = height / rows, height / rows * rng.uniform(1.6, 3.2)
        mortar = shade(tone, rng.uniform(0.65, 1.35))
        for row in range(rows):
            for column in range(-1, round(width / wide) + 1):
                x, y = (column + row % 2 / 2) * wide, row * tall
                brick = shade(tone, 1 + 0.12 * rng.standard_normal())
                pen.rectangle((x, y, x + wide, y + tall), fill=brick, outline=mortar, width=max(1, round(tall * 0.08)))
    for _ in range(int(rng.integers(0, 4))):
        _opening(rng, image)
    if rng.random() < 0.5:
        top = round(rng.uniform(0.75, 0.95) * height)
        image.paste(
            textured(rng, (width, height - top), colour(rng, (20, 50), (0, 0.15), (0.4, 0.7)), 0.12, 30, stretch=3), (0, top)
        )
    return image


SCENES: tuple[tuple[Scene, float], ...] = ((country, 0.3), (town, 0.3), (wood, 0.12), (heavens, 0.13), (wall, 0.15))
"""Each scene with its share of the images."""


def draw_scene(rng: np.random.Generator, size: Size) -> Image.Image:
    """A random scene of `size` (width, height) pixels, RGB."""
    scenes, shares = zip(*SCENES, strict=True)
    scene: Scene = scenes[int(rng.choice(len(scenes), p=shares))]
    return scene(rng, size)
