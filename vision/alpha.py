"""Composite transparent images on a background on which they show.

White glyphs on transparency, as icon sets have them, are blank on white; they are composited on black. The choice depends on the
pixels alone, so every reader of a file makes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from PIL import Image, ImageCms

from fototeca.vision.color import has_alpha, strips, to_srgb

FLAT = 16
"""Levels; an image whose channels vary by no more shows nothing."""


def is_flat(image: Image.Image) -> bool:
    """Return True if no channel of an RGB image varies by more than FLAT levels."""
    return _varies_at_most([image], FLAT)


def choose_background(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> str:
    """Return the background of an 8-bit image: white unless it is flat there, then black; empty if nothing is transparent."""
    if not has_alpha(image):
        return ""
    ((low, high),) = _extrema((image if image.mode == "RGBA" else image.convert("RGBA")).getchannel("A"))
    if low == 255:
        return ""
    return "black" if high - low > FLAT and _varies_at_most(_on_white(image, transform), FLAT) else "white"


def _extrema(image: Image.Image) -> tuple[tuple[int, int], ...]:
    """Return the lowest and highest level of each channel of an 8-bit image."""
    extrema = image.getextrema()
    return cast("tuple[tuple[int, int], ...]", extrema if isinstance(extrema[0], tuple) else (extrema,))


def _on_white(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Iterator[Image.Image]:
    return (render(strip, transform, "white") for strip in strips(image))


def _varies_at_most(parts: Iterator[Image.Image] | list[Image.Image], levels: int) -> bool:
    low, high = [255] * 3, [0] * 3
    for part in parts:
        extrema = _extrema(part)
        low = [min(old, new[0]) for old, new in zip(low, extrema, strict=True)]
        high = [max(old, new[1]) for old, new in zip(high, extrema, strict=True)]
        if max(top - bottom for top, bottom in zip(high, low, strict=True)) > levels:
            return False
    return True


def render(image: Image.Image, transform: ImageCms.ImageCmsTransform | None, background: str) -> Image.Image:
    """Convert an 8-bit image to RGB with its transform to sRGB, composited on a background; empty: nothing is transparent."""
    colors = to_srgb(image, transform)
    if colors.mode == "RGB":
        return colors
    if not background:
        return colors.convert("RGB")
    whole = Image.new("RGB", colors.size, background)
    whole.paste(colors, mask=colors)
    return whole


def render_whole(image: Image.Image, transform: ImageCms.ImageCmsTransform | None, background: str) -> Image.Image:
    """Convert an 8-bit image as `render` does, in strips where conversion needs copies beside the result."""
    if image.mode == "RGB" and transform is None and not background:
        return render(image, transform, background)
    whole = Image.new("RGB", image.size)
    top = 0
    for strip in strips(image):
        whole.paste(render(strip, transform, background), (0, top))
        top += strip.height
    return whole
