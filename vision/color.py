"""Convert images of any mode, depth and ICC profile to 8-bit sRGB.

Profiles of strangers are data: one that is broken, too long, of another color model than its image, or that maps all colors to
nearly one is ignored.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

MAX_PROFILE = 4_000_000
"""Bytes; longer profiles are ignored. Those of printing presses have up to 3 MB."""

_SAME = 2
"""Levels; a profile that changes no color by more is sRGB."""

_RANGE = 64
"""Levels; a profile whose darkest and brightest color are closer is ignored."""

_TOPS = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Largest values of 8, 10, 12, 14 and 16 bits; cameras and microscopes store fewer bits than the file format has."""

_MODELS = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode by the color space of a profile."""

_CLASSES = frozenset(("mntr", "scnr", "prtr", "spac"))
"""Device classes of profiles that describe the colors of an image."""

_STRIP = 256
"""Rows converted at a time."""

_BASE = {"RGB": "RGB", "RGBA": "RGB", "P": "RGB", "PA": "RGB", "L": "L", "LA": "L", "1": "L", "CMYK": "CMYK"}
"""Mode that a profile is applied to, by the mode of the image."""


def eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit and 32-bit grey levels by the bits in use, floats by their range; return other images unchanged."""
    if not image.mode.startswith(("I", "F")):
        return image
    parts = [np.asarray(part).max(initial=0) for part in strips(image)]
    largest = max(float(np.max(parts, initial=0)), 1.0)
    top = next((top for top in _TOPS if top >= largest), largest) if image.mode.startswith("I") else largest
    levels = np.empty((image.height, image.width), np.uint8)
    place = 0
    for part in strips(image):  # as numbers of 64 bits, the whole would take eight times the memory of the result
        values = np.asarray(part, dtype=np.float64)
        levels[place : place + len(values)] = np.clip(values / top * 255, 0, 255)
        place += len(values)
    grey = Image.fromarray(levels)
    grey.info["icc_profile"] = image.info.get("icc_profile")
    return grey


def strips(image: Image.Image) -> Iterator[Image.Image]:
    """Yield an image in strips from top to bottom, so that it is never held converted as a whole."""
    for top in range(0, image.height, _STRIP):
        yield image.crop((0, top, image.width, min(top + _STRIP, image.height)))


def has_alpha(image: Image.Image) -> bool:
    """Return True if the image has an alpha channel or a transparent color."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def find_transform(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from the image's profile to sRGB; None if it has none, its profile is sRGB or is ignored."""
    if image.mode == "LAB":
        return _lab_transform()
    profile = image.info.get("icc_profile")
    base = _BASE.get(image.mode)
    if base is None or not isinstance(profile, bytes) or not 0 < len(profile) <= MAX_PROFILE:
        return None
    return _transform(profile, base)


def to_srgb(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    """Convert an 8-bit image to RGB, or to RGBA if it has transparency."""
    if not has_alpha(image):
        return _to_rgb(image, transform)
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    if transform is None:
        return rgba
    rgb = _to_rgb(image if image.mode in ("L", "LA") else rgba, transform)
    rgb.putalpha(rgba.getchannel("A"))
    return rgb


def _to_rgb(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    """Convert to RGB without regard to transparency; the result may be modified."""
    if transform is None:
        return (image.copy() if image.readonly else image) if image.mode == "RGB" else image.convert("RGB")
    mode = _BASE.get(image.mode, image.mode)
    base = image if image.mode == mode else image.convert(mode)
    converted = ImageCms.applyTransform(base, transform)
    assert converted is not None
    return converted


@lru_cache(maxsize=8)  # profiles of up to MAX_PROFILE bytes are its keys
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        space, kind = opened.profile.xcolor_space.strip(), opened.profile.device_class.strip()
        if _MODELS.get(space) != mode or kind not in _CLASSES:
            return None
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
        probes = _probes(mode)
        converted = ImageCms.applyTransform(Image.fromarray(probes, mode), transform)
    except Exception:  # Little CMS and Pillow raise anything on broken profiles
        return None
    colors = np.asarray(converted, dtype=np.int16)
    if np.ptp(colors.mean(axis=-1)) < _RANGE:
        return None
    plain = probes if mode == "RGB" else np.repeat(probes[..., None], 3, axis=-1)
    return None if mode != "CMYK" and np.abs(colors - plain).max() <= _SAME else transform


def _probes(mode: str) -> NDArray[np.uint8]:
    """Return an image of colors that span a color model, dark and bright ones among them."""
    levels = np.linspace(0, 255, 256 if mode == "L" else 9 if mode == "RGB" else 5).astype(np.uint8)
    if mode == "L":
        return levels[None]
    return np.stack(np.meshgrid(*[levels] * len(mode), indexing="ij"), axis=-1).reshape(1, -1, len(mode))


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
