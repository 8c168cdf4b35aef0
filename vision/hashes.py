"""Perceptual hashes of one picture: 64 bits, as 16 hex digits."""

from __future__ import annotations

import imagehash
from PIL import Image


def phash(image: Image.Image) -> str:
    """The DCT hash: exactly `str(imagehash.phash(image))`, which manifests promise."""
    return str(imagehash.phash(image))


def dhash(image: Image.Image) -> str:
    """The gradient hash: exactly `str(imagehash.dhash(image))`."""
    return str(imagehash.dhash(image))


def distance(a: str, b: str) -> int:
    """Bits in which two hashes differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()
