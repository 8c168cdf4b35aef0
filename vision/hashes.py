"""Perceptual hashes of one picture: 64 bits, as 16 hex digits."""

from __future__ import annotations

from functools import lru_cache

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
"""The DCT hash looks at a grey picture of SIDE × SIDE pixels."""

_LOW = 8
_CAUTION = 10.0
"""A coefficient this close to the median could fall on either side of it through rounding: the reference decides then.
One pixel of the small picture that is one level off moves a coefficient by at most 4."""

_PIECE = 24_000
"""Pixels that are made floats at once: under 100 kB, which memory already at hand can hold."""

Floats = NDArray[np.float32]


def phash(image: Image.Image) -> str:
    """The DCT hash: exactly `str(imagehash.phash(image))`, which manifests promise, in less than half its time.

    Pillow's Lanczos resize and the DCT are done as small matrix products. Where a bit hangs on rounding, and for tiny or
    tall pictures (which Pillow shrinks down before across), imagehash itself is asked.
    """
    if image.height > 1.5 * image.width or min(image.size) < 2 * SIDE:
        return str(imagehash.phash(image))
    grey = np.asarray(image.convert("L"))
    across = np.clip(np.floor(_across(grey) + 0.5), 0, 255)
    small = np.clip(np.floor(lanczos(grey.shape[0]).T @ across + 0.5), 0, 255)
    low = _DCT @ small.astype(np.float64) @ _DCT.T
    ordered = np.sort(low, axis=None)
    if ordered[_LOW * _LOW // 2] - ordered[_LOW * _LOW // 2 - 1] < 2 * _CAUTION:
        return str(imagehash.phash(image))
    return _hex(low > np.median(ordered))


def _across(grey: NDArray[np.uint8]) -> Floats:
    """Every line shrunk to SIDE pixels, some lines at a time: large fresh arrays cost more than the sums (bench/collect.py)."""
    weights = lanczos(grey.shape[1])
    step = max(1, _PIECE // grey.shape[1])
    return np.concatenate([grey[top : top + step].astype(np.float32) @ weights for top in range(0, len(grey), step)])


def dhash(image: Image.Image) -> str:
    """The gradient hash: exactly `str(imagehash.dhash(image))`."""
    small = np.asarray(image.convert("L").resize((_LOW + 1, _LOW), Image.Resampling.LANCZOS))
    return _hex(small[:, 1:] > small[:, :-1])


def distance(a: str, b: str) -> int:
    """Bits in which two hashes differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


@lru_cache(maxsize=256)
def lanczos(length: int) -> Floats:
    """Weights (length, SIDE) that shrink a line of pixels as Pillow's Lanczos filter does, in its fixed-point steps."""
    scale = length / SIDE
    stretch = max(scale, 1.0)
    weights = np.zeros((length, SIDE))
    for column in range(SIDE):
        centre, reach = (column + 0.5) * scale, 3 * stretch
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), length)
        x = (np.arange(first, last) - centre + 0.5) / stretch
        kernel = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
        weights[first:last, column] = np.rint(kernel / kernel.sum() * (1 << 22)) / (1 << 22)
    return weights.astype(np.float32)


def _hex(bits: NDArray[np.bool_]) -> str:
    return np.packbits(bits.ravel()).tobytes().hex()


_DCT = 2 * np.cos(np.pi * np.arange(_LOW)[:, None] * (2 * np.arange(SIDE) + 1) / (2 * SIDE))
"""The first rows of scipy's unnormalised DCT-II, (8, SIDE)."""
