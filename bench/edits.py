"""Edits that produce near-duplicates: photometric and geometric changes of an image."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Edit = Callable[[Image.Image, np.random.Generator], Image.Image]


def crop(share: float) -> Edit:
    """Return an edit that crops by `share` of each side at a random position."""

    def edit(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
        left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
        return image.crop((left, top, left + width, top + height))

    return edit


def enhance(kind: type[ImageEnhance._Enhance], low: float, high: float) -> Edit:
    """Return an edit that multiplies brightness, contrast or color by one of two factors."""
    return lambda image, rng: kind(image).enhance(float(rng.choice([low, high])))


def reencode(suffix: str, **options: object) -> Edit:
    """Return an edit that saves and reloads in another format or quality."""

    def edit(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        data = io.BytesIO()
        image.save(data, suffix, **options)
        return Image.open(data).convert("RGB")

    return edit


def watermark(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw semi-transparent letters across a third of the image."""
    layer = Image.new("L", (60, 14))
    ImageDraw.Draw(layer).text((2, 1), "SAMPLE", fill=140)
    layer = layer.resize((image.width * 2 // 3, image.height // 6))
    result = image.copy()
    result.paste("white", (image.width // 6, int(image.height * rng.uniform(0.2, 0.7))), layer)
    return result


PHOTOMETRIC: dict[str, Edit] = {
    "resize 50%": lambda p, rng: p.resize((p.width // 2, p.height // 2), Image.Resampling.BICUBIC),
    "resize to 4:3": lambda p, rng: p.resize((400, 300), Image.Resampling.BICUBIC),
    "recompress q30": reencode("JPEG", quality=30),
    "format WebP": reencode("WEBP", quality=80),
    "brightness ×0.6/1.4": enhance(ImageEnhance.Brightness, 0.6, 1.4),
    "contrast ×0.6/1.4": enhance(ImageEnhance.Contrast, 0.6, 1.4),
    "color ×0.3/1.7": enhance(ImageEnhance.Color, 0.3, 1.7),
    "blur σ2": lambda p, rng: p.filter(ImageFilter.GaussianBlur(2)),
    "sharpen": lambda p, rng: p.filter(ImageFilter.UnsharpMask(2, 150, 2)),
}
GEOMETRIC: dict[str, Edit] = {
    "mirror": lambda p, rng: ImageOps.mirror(p),
    "flip": lambda p, rng: ImageOps.flip(p),
    "rotate 90°": lambda p, rng: p.transpose(Image.Transpose.ROTATE_90),
    "rotate 180°": lambda p, rng: p.transpose(Image.Transpose.ROTATE_180),
    "rotate 270°": lambda p, rng: p.transpose(Image.Transpose.ROTATE_270),
    "crop 5%": crop(0.05),
    "crop 10%": crop(0.1),
    "border 5%": lambda p, rng: ImageOps.expand(p, p.width // 20, ["black", "white"][rng.integers(2)]),
    "watermark": watermark,
}
EDITS = PHOTOMETRIC | GEOMETRIC
