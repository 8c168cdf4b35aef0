"""Drawn backgrounds of traffic signs. Every scene fills the whole frame with a random layout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fototeca.demo.noise import fractal_noise, smooth_noise, textured_surface
from fototeca.demo.objects import draw_building, draw_car, draw_tree, random_color, shade_color

Size = tuple[int, int]
Scene = Callable[[np.random.Generator, Size], Image.Image]


def draw_sky(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return a sky with clouds: blue, overcast or evening."""
    width, height = size
    kind = rng.choice(["blue", "gray", "evening"], p=[0.55, 0.3, 0.15])
    if kind == "blue":
        top, bottom = (
            random_color(rng, (205, 222), (0.45, 0.8), (0.6, 0.9)),
            random_color(rng, (195, 212), (0.1, 0.35), (0.85, 1)),
        )
    elif kind == "gray":
        top, bottom = (
            random_color(rng, (200, 220), (0.02, 0.12), (0.55, 0.8)),
            random_color(rng, (200, 220), (0, 0.07), (0.75, 0.95)),
        )
    else:
        top, bottom = random_color(rng, (215, 245), (0.3, 0.6), (0.35, 0.65)), random_color(rng, (18, 42), (0.3, 0.6), (0.85, 1))
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = (1 - ramp) * np.array(top, np.float32) + ramp * np.array(bottom, np.float32)
    cover = fractal_noise(rng, size, width / rng.uniform(1.5, 5), 5, stretch=rng.uniform(1.2, 3))
    limit = rng.uniform(0.35, 0.9)
    clouds = np.clip((cover - limit) / 0.25, 0, 1)[..., None] * rng.uniform(0.5, 1)
    white = np.array(random_color(rng, (20, 60), (0, 0.08), (0.85, 1)), np.float32) * (0.75 + 0.25 * cover[..., None])
    return Image.fromarray(np.clip(image * (1 - clouds) + white * clouds, 0, 255).astype(np.uint8))


def _ridge(rng: np.random.Generator, image: Image.Image, base: float, rise: float, fill: Image.Image) -> None:
    """Paste `fill` below a random ridge line; `base` and `rise` are shares of the height."""
    width, height = image.size
    steps = smooth_noise(rng, (width, 2), width / rng.uniform(2, 9))[0] + 0.3 * smooth_noise(rng, (width, 2), width / 30)[0]
    line = height * (base - rise * steps)
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon([(0, height), *zip(range(width), line.tolist(), strict=True), (width, height)], fill=255)
    image.paste(fill, (0, 0), mask)


def draw_hills(rng: np.random.Generator, image: Image.Image, horizon: float) -> None:
    """Draw one to three ranges of hills, the far ones bluer and paler."""
    layers = int(rng.integers(1, 4))
    for layer in range(layers, 0, -1):
        far = layer / 3
        tint = random_color(rng, (70 + 130 * far, 100 + 130 * far), (0.25, 0.5), (0.3 + 0.35 * far, 0.45 + 0.4 * far))
        fill = textured_surface(rng, image.size, tint, 0.25 * (1 - far) + 0.05, image.width / 18)
        _ridge(rng, image, horizon + 0.02, rng.uniform(0.04, 0.12) + 0.1 * far, fill)


def draw_road(rng: np.random.Generator, image: Image.Image, horizon: float) -> None:
    """Draw verges and a road to a vanishing point on the horizon (a share of the height)."""
    width, height = image.size
    top = round(horizon * height)
    below = (width, max(2, height - top))
    green = (
        random_color(rng, (50, 105), (0.25, 0.6), (0.25, 0.55))
        if rng.random() < 0.75
        else random_color(rng, (25, 40), (0.05, 0.25), (0.45, 0.7))
    )
    image.paste(textured_surface(rng, below, green, 0.3, 14, stretch=3), (0, top))
    gray = random_color(rng, (200, 260), (0, 0.08), (0.28, 0.55))
    asphalt = textured_surface(rng, below, gray, 0.12, 40, stretch=3)
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


def draw_country(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return a road through fields, with hills and trees."""
    image, horizon = draw_sky(rng, size), rng.uniform(0.35, 0.85)
    draw_hills(rng, image, horizon)
    draw_road(rng, image, horizon)
    for _ in range(int(rng.integers(0, 7))):
        scale = rng.uniform(0.08, 0.55)
        draw_tree(rng, image, rng.uniform(0, 1) * size[0], (horizon + 0.25 * scale) * size[1], scale * size[1])
    return image


def draw_town(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return a street with facades, trees and cars."""
    width, height = size
    image, horizon = draw_sky(rng, size), rng.uniform(0.55, 0.95)
    draw_road(rng, image, horizon)
    x = -rng.uniform(0, 0.3) * width
    while x < width:
        wide = rng.uniform(0.15, 0.6) * width
        if rng.random() < 0.82:
            draw_building(rng, image, x, x + wide, (horizon - rng.uniform(0.15, 0.95)) * height, (horizon + 0.02) * height)
        x += wide * rng.uniform(0.95, 1.15)
    for _ in range(int(rng.integers(0, 3))):
        draw_tree(rng, image, rng.random() * width, (horizon + 0.04) * height, rng.uniform(0.2, 0.7) * height)
    for _ in range(int(rng.integers(0, 4))):
        draw_car(rng, image, rng.random() * width, (horizon + rng.uniform(0.02, 0.2)) * height, rng.uniform(0.12, 0.45) * width)
    return image


def draw_forest(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return leaves and trunks that fill the frame."""
    width, height = size
    green = random_color(rng, (60, 125), (0.3, 0.6), (0.2, 0.45))
    image = textured_surface(rng, size, green, rng.uniform(0.4, 0.8), rng.uniform(25, 90))
    for _ in range(int(rng.integers(3, 9))):
        draw_tree(rng, image, rng.uniform(-0.1, 1.1) * width, rng.uniform(0.75, 1.3) * height, rng.uniform(0.5, 1.3) * height)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))


def draw_sky_view(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return a view upwards: sky, wires, and in some images treetops or a building at the bottom."""
    width, height = size
    image = draw_sky(rng, size)
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
        draw_tree(
            rng,
            image,
            rng.choice([rng.uniform(-0.1, 0.25), rng.uniform(0.75, 1.1)]) * width,
            height * rng.uniform(1, 1.3),
            rng.uniform(0.4, 1.2) * height,
        )
    if rng.random() < 0.4:
        left = rng.uniform(-0.3, 0.8) * width
        draw_building(rng, image, left, left + rng.uniform(0.3, 0.8) * width, rng.uniform(0.3, 0.85) * height, height * 1.05)
    return image


def _opening(rng: np.random.Generator, image: Image.Image) -> None:
    """Draw a window, a door, a poster or a patch of plaster on a wall."""
    width, height = image.size
    left, top = rng.uniform(-0.15, 0.9) * width, rng.uniform(-0.15, 0.7) * height
    right, bottom = left + rng.uniform(0.12, 0.4) * width, top + rng.uniform(0.18, 0.6) * height
    pen = ImageDraw.Draw(image)
    inside = random_color(rng, (0, 360), (0, 0.5), (0.15, 0.9))
    pen.rectangle((left - 8, top - 8, right + 8, bottom + 8), fill=shade_color(inside, rng.uniform(0.4, 1.8)))
    pen.rectangle((left, top, right, bottom), fill=inside)
    for share in np.linspace(0, 1, int(rng.integers(2, 7)))[1:-1]:
        y = top + share * (bottom - top)
        pen.line([(left + 6, y), (right - 6, y)], fill=shade_color(inside, rng.uniform(0.4, 1.6)), width=int(rng.integers(2, 12)))


def draw_wall(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return a wall of bricks, blocks or plaster, in half of the images with a pavement."""
    width, height = size
    tone = random_color(rng, (5, 40) if rng.random() < 0.7 else (150, 230), (0.03, 0.42), (0.35, 0.85))
    image = textured_surface(rng, size, tone, rng.uniform(0.06, 0.2), rng.uniform(40, 200))
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.65:
        rows = int(rng.integers(9, 30))
        tall, wide = height / rows, height / rows * rng.uniform(1.6, 3.2)
        mortar = shade_color(tone, rng.uniform(0.65, 1.35))
        for row in range(rows):
            for column in range(-1, round(width / wide) + 1):
                x, y = (column + row % 2 / 2) * wide, row * tall
                brick = shade_color(tone, 1 + 0.12 * rng.standard_normal())
                pen.rectangle((x, y, x + wide, y + tall), fill=brick, outline=mortar, width=max(1, round(tall * 0.08)))
    for _ in range(int(rng.integers(0, 4))):
        _opening(rng, image)
    if rng.random() < 0.5:
        top = round(rng.uniform(0.75, 0.95) * height)
        image.paste(
            textured_surface(rng, (width, height - top), random_color(rng, (20, 50), (0, 0.15), (0.4, 0.7)), 0.12, 30, stretch=3),
            (0, top),
        )
    return image


SCENES: tuple[tuple[Scene, float], ...] = (
    (draw_country, 0.3),
    (draw_town, 0.3),
    (draw_forest, 0.12),
    (draw_sky_view, 0.13),
    (draw_wall, 0.15),
)
"""Each scene and its share of the images."""


def draw_scene(rng: np.random.Generator, size: Size) -> Image.Image:
    """Return a random scene of `size` (width, height) pixels, RGB."""
    scenes, shares = zip(*SCENES, strict=True)
    scene: Scene = scenes[int(rng.choice(len(scenes), p=shares))]
    return scene(rng, size)
