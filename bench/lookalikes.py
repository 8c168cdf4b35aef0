"""Draw images that look alike without being copies: fixed cameras with defects, pages, screenshots of one program, glyphs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

Rng = np.random.Generator

NOISES = (1.0, 2.0, 4.0, 8.0)
"""Standard deviations of the noise of fixed cameras, in gray levels."""

_WORDS = [
    "order",
    "total",
    "street",
    "paper",
    "amount",
    "delivery",
    "signature",
    "house",
    "water",
    "winter",
    "ticket",
    "number",
    "price",
    "garden",
    "letter",
    "copper",
]


def draw_lookalikes(seed: int, size: int) -> dict[str, list[tuple[str, Image.Image]]]:
    """Return sets of `size` images with their labels, by name of the set; images of a set differ pairwise in content."""
    sets: dict[str, list[tuple[str, Image.Image]]] = {}
    for number, (name, scene) in enumerate(_SCENES.items()):
        for noise in NOISES:
            rng = np.random.default_rng([seed, number, int(noise)])
            sets[f"camera on {name}, noise {noise:.0f}"] = list(_fixed_camera(scene(rng), noise, size, rng))
    for number, (name, draw) in enumerate({"pages": _page, "screenshots": _screenshot, "glyphs": _glyph}.items()):
        rng = np.random.default_rng([seed, 99, number])
        sets[name] = [("one", draw(rng, index)) for index in range(size)]
    return sets


def _fixed_camera(scene: Image.Image, noise: float, size: int, rng: Rng) -> Iterator[tuple[str, Image.Image]]:
    """Yield exposures of one scene, every other one with a defect of 3 to 20 px; camera, light and noise vary a little."""
    for number in range(size):
        image = scene.copy()
        if number % 2:
            _draw_defect(image, rng)
        shift = (1, 0, float(rng.uniform(-2, 2)), 0, 1, float(rng.uniform(-2, 2)))
        image = image.transform(image.size, Image.Transform.AFFINE, shift, Image.Resampling.BICUBIC)
        levels = np.asarray(ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.93, 1.07)))).astype(np.float64)
        noisy = Image.fromarray(np.clip(levels + rng.normal(0, noise, levels.shape), 0, 255).astype(np.uint8))
        yield ("defect" if number % 2 else "ok"), _as_jpeg(noisy, 92)


def _draw_defect(image: Image.Image, rng: Rng) -> None:
    length, color = int(rng.integers(3, 21)), tuple(int(level) for level in rng.choice([20, 235], 1).repeat(3))
    x, y = (int(rng.integers(side // 8, side * 7 // 8)) for side in image.size)
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.5:
        draw.ellipse([x, y, x + length, y + length], fill=color)
    else:
        end = (x + length * float(rng.uniform(0.5, 1)), y + length * float(rng.uniform(-1, 1)))
        draw.line([(x, y), end], fill=color, width=3)


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def _cloud(rng: Rng, cells: int, size: tuple[int, int]) -> np.ndarray:
    levels = rng.integers(40, 216, (cells, cells, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC), dtype=np.float64)


def _circuit(rng: Rng) -> Image.Image:
    """Return a plain ground with many small parts, as of a circuit board."""
    image = Image.new("RGB", (480, 360), (30, 90, 60))
    draw = ImageDraw.Draw(image)
    for _ in range(140):
        x, y, width, height = (int(rng.integers(low, high)) for low, high in ((0, 470), (0, 350), (4, 40), (4, 24)))
        draw.rectangle([x, y, x + width, y + height], fill=tuple(int(level) for level in rng.integers(20, 230, 3)))
    return image.filter(ImageFilter.GaussianBlur(0.7))


def _fabric(rng: Rng) -> Image.Image:
    """Return a woven texture with soft light."""
    rows, columns = np.mgrid[0:360, 0:480]
    weave = 24 * np.sin(columns * 2 * np.pi / 6) * np.sin(rows * 2 * np.pi / 5)
    return Image.fromarray(np.clip(_cloud(rng, 4, (480, 360)) * 0.5 + 60 + weave[..., None], 0, 255).astype(np.uint8))


def _sheet(rng: Rng) -> Image.Image:
    """Return a nearly plain surface with soft light, as of brushed metal."""
    streaks = np.cumsum(rng.normal(0, 1, (360, 1, 1)), axis=0)
    return Image.fromarray(np.clip(_cloud(rng, 3, (480, 360)) * 0.25 + 110 + streaks, 0, 255).astype(np.uint8))


def _field(rng: Rng) -> Image.Image:
    """Return detail at every scale, as of a meadow or a street."""
    layers = [_cloud(rng, cells, (480, 360)) * share for cells, share in ((4, 0.4), (12, 0.3), (40, 0.2), (120, 0.1))]
    return Image.fromarray(np.clip((sum(layers) - 128) * 1.6 + 128, 0, 255).astype(np.uint8))


_SCENES: dict[str, Callable[[Rng], Image.Image]] = {"circuit": _circuit, "fabric": _fabric, "sheet": _sheet, "field": _field}


def _page(rng: Rng, number: int) -> Image.Image:
    """Return a page with the letterhead of all and text of its own."""
    image = Image.new("RGB", (480, 640), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    draw.rectangle([24, 24, 456, 70], fill=(140, 30, 40))
    draw.text((36, 38), "HARBOUR AND SONS", font=font, fill="white")
    for line in range(22):
        draw.text((36, 100 + 23 * line), " ".join(str(word) for word in rng.choice(_WORDS, 6)), font=font, fill=(20, 20, 20))
    return image


def _screenshot(rng: Rng, number: int) -> Image.Image:
    """Return a window of one program: the same frame and table, values of its own."""
    image = Image.new("RGB", (640, 400), (236, 236, 240))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    draw.rectangle([0, 0, 640, 28], fill=(50, 60, 80))
    for place, title in enumerate(("File", "Edit", "View", "Help")):
        draw.text((12 + 60 * place, 7), title, font=font, fill="white")
    for row in range(12):
        draw.rectangle([16, 44 + 28 * row, 624, 68 + 28 * row], fill="white" if row % 2 else (222, 230, 240))
        draw.text((24, 48 + 28 * row), f"sensor {row:02}", font=font, fill=(30, 30, 30))
        draw.text((300, 48 + 28 * row), f"{rng.uniform(0, 100):6.2f}", font=font, fill=(30, 30, 30))
    return image


def _glyph(rng: Rng, number: int) -> Image.Image:
    """Return white shapes on a transparent ground."""
    image = Image.new("RGBA", (128, 128), (255, 255, 255, 0))
    draw = ImageDraw.Draw(image)
    for _ in range(3):
        x, y, radius = int(rng.integers(30, 98)), int(rng.integers(30, 98)), int(rng.integers(10, 24))
        draw.regular_polygon(
            (x, y, radius), int(rng.integers(3, 8)), rotation=int(rng.integers(0, 90)), fill=(255, 255, 255, 255)
        )
    return image
