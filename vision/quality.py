"""How good one picture is as a picture: continuous scores, cheap enough to be made while it is decoded anyway."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEASURES = ("sharpness", "brightness", "shadows", "highlights", "contrast", "entropy", "border", "aspect")
"""What `quality` measures."""

_SAMPLED = 120
_SMALL = 64
_LINES = 48
_STEPS = (1, 2, 4, 8)
_ROUNDING = 1.0
"""What rounding to whole grey levels adds to the squared second differences, along rows and columns together."""
_EVEN = 10.0
"""Grey levels within which a line of pixels counts as empty."""


def quality(image: Image.Image) -> dict[str, float]:
    """Scores of an upright picture of any mode, each between 0 and 1.

    sharpness: how much of the detail is fine (about 0.25 when blurred, 0.4 in a photograph, more in drawings and noise).
    brightness: mean grey level. shadows, highlights: the grey level under which 5% and 95% of the pixels lie.
    contrast: the grey levels' standard deviation, 0.5 at most. entropy: of the grey levels, in bytes.
    border: share of the area that lies in plain strips along the sides. aspect: the short side by the long one.
    """
    grey = np.asarray(image.convert("L"))
    step = max(1, min(grey.shape) // _SAMPLED)
    sample = np.ascontiguousarray(grey[::step, ::step])
    shares = np.bincount(sample.ravel(), minlength=256) / sample.size
    mean = float(shares @ _LEVELS)
    below = np.cumsum(shares)
    present = shares[shares > 0]
    small = np.asarray(Image.fromarray(sample).resize((_SMALL, _SMALL), Image.Resampling.BOX))
    top, bottom, left, right = borders(small)
    return {
        "sharpness": _sharpness(grey),
        "brightness": mean / 255,
        "shadows": float(np.searchsorted(below, 0.05)) / 255,
        "highlights": float(np.searchsorted(below, 0.95)) / 255,
        "contrast": float(np.sqrt(max(float(shares @ _LEVELS**2) - mean**2, 0.0))) / 255,
        "entropy": float(abs(present @ np.log2(present))) / 8,
        "border": 1 - (_SMALL - top - bottom) * (_SMALL - left - right) / _SMALL**2,
        "aspect": min(image.size) / max(image.size),
    }


def _sharpness(grey: NDArray[np.uint8]) -> float:
    """Root mean square of second differences over steps of 1, 2, 4 and 8 pixels along some lines; the smallest ratio of two.

    A smooth signal's second difference grows with the square of the step, so a blurred picture has a ratio near 1/4; at a
    sharp edge the ratio is 1/2. Taking ratios makes the score independent of contrast. Pictures under 17 pixels count as sharp.
    """
    if min(grey.shape) < 2 * _STEPS[-1] + 1:
        return 1.0
    energy = np.zeros(len(_STEPS))
    for lines in (grey, grey.T):
        signed = lines[:: max(1, len(lines) // _LINES)].astype(np.int16)
        for index, step in enumerate(_STEPS):
            bend = (2 * signed[:, step:-step] - signed[:, : -2 * step] - signed[:, 2 * step :]).ravel().astype(np.float32)
            energy[index] += bend @ bend / len(bend)
    strength = np.sqrt(np.maximum(energy - _ROUNDING, _ROUNDING / 4))
    return float(min(*(strength[:-1] / strength[1:]), 1.0))


def borders(grey: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Lines at the top, bottom, left and right of a grey picture (H, W) that are of one even tone; none if all of it is."""
    top, bottom = _edge(grey), _edge(grey[::-1])
    if top == len(grey):
        return 0, 0, 0, 0
    inside = grey[top : len(grey) - bottom]
    return top, bottom, _edge(inside.T), _edge(inside.T[::-1])


def _edge(lines: NDArray[np.uint8]) -> int:
    """How many lines, from the first on, are even in themselves and alike."""
    means = lines.mean(axis=1)
    even = (np.ptp(lines, axis=1) <= _EVEN) & (np.abs(means - means[0]) <= _EVEN)
    return len(lines) if even.all() else int(np.argmin(even))


_LEVELS = np.arange(256.0)
