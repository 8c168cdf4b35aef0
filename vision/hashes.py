"""Perceptual hashes of one picture: 64 bits, as 16 hex digits."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vision.image import Grey, grey_levels

SIDE = 32
"""The DCT hash looks at a grey picture of SIDE × SIDE pixels."""

_LOW = 8
_CAUTION = 10.0
"""A coefficient this close to the median could fall on either side of it through rounding: it is reckoned again, exactly.
One pixel of the small picture that is one level off moves a coefficient by at most 4."""
_EQUAL = 1e-6
"""Coefficients no further apart are one value to any order of summing: imagehash decides then."""

_PIECE = 160_000
"""Pixels that are made floats at once: few enough for memory that is at hand already (docs/experiments.md)."""
_BLOCKS = 4
"""Columns of the small picture are reckoned in so many blocks, each from the part of the lines that it is made of."""

Precision = Literal["float32", "float64"]
Floats = NDArray[Any]
"""Of either precision."""


def phash(picture: Image.Image | Grey) -> str:
    """The DCT hash: exactly `str(imagehash.phash(image))`, which manifests promise, in a third of its time.

    `picture`: of any mode, or its grey levels (H, W) where they are at hand. Pillow's Lanczos resize and the DCT are done as
    small matrix products, in single precision; where a bit could hang on rounding again in double precision, in which
    Pillow's fixed-point sums are exact. Tiny and tall pictures (which Pillow shrinks down before across) and those whose
    coefficients are equal are left to imagehash.
    """
    grey = grey_levels(picture)
    height, width = grey.shape
    if height <= 1.5 * width and min(height, width) >= 2 * SIDE:
        trials: tuple[tuple[Precision, float], ...] = (("float32", _CAUTION), ("float64", _EQUAL))
        for precision, caution in trials:
            low = _DCT @ _shrunk(grey, precision) @ _DCT.T
            ordered = np.sort(low, axis=None)
            below, above = ordered[_LOW * _LOW // 2 - 1 : _LOW * _LOW // 2 + 1]
            if above - below >= 2 * caution:
                return _hex(low > (below + above) / 2)
    return str(imagehash.phash(Image.fromarray(grey)))


def _shrunk(grey: Grey, precision: Precision) -> Floats:
    """The picture as Pillow's Lanczos filter makes it SIDE × SIDE: across, then down, each rounded to whole levels."""
    across = np.empty((len(grey), SIDE), precision)
    step = max(1, _PIECE // grey.shape[1])
    for top in range(0, len(grey), step):
        lines = grey[top : top + step].astype(precision)
        for part, columns, weights in _blocks(grey.shape[1], precision):
            np.matmul(lines[:, part], weights, out=across[top : top + step, columns])
    return _levels(lanczos(len(grey)).T @ _levels(across))


def _levels(values: Floats) -> Floats:
    """Rounded as fixed-point sums are, and kept within the grey levels; in place."""
    values += 0.5
    np.floor(values, out=values)
    return np.clip(values, 0, 255, out=values)


@lru_cache(maxsize=64)
def _blocks(width: int, precision: Precision) -> list[tuple[slice, slice, Floats]]:
    """For each block of columns: the part of a line that it is made of, the columns, and the weights between them."""
    blocks = []
    for first in range(0, SIDE, SIDE // _BLOCKS):
        columns = slice(first, first + SIDE // _BLOCKS)
        used = np.flatnonzero(lanczos(width)[:, columns].any(axis=1))
        part = slice(int(used[0]), int(used[-1]) + 1)
        blocks.append((part, columns, lanczos(width)[part, columns].astype(precision)))
    return blocks


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
