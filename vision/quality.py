"""How good one image is as an image: continuous scores, cheap enough to be made while it is decoded anyway."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fototeca.vision.image import Grey, grey_levels
from fototeca.vision.kernels import bend, even_lines

_SAMPLED = 120
_LINES = 24
_STEPS = (1, 2, 4, 8)
_ROUNDING = 1.0
"""What rounding to whole grey levels adds to the squared second differences, along rows and columns together."""
_EVEN = 10.0
"""Grey levels within which a line of pixels counts as empty."""


def quality(image: Image.Image | Grey) -> dict[str, float]:
    """Scores, each between 0 and 1, of an upright image of any mode, or of its grey levels (H, W) where they are at hand.

    sharpness: how much of the detail is fine (about 0.25 when blurred, 0.4 in a photograph, more in drawings and noise).
    brightness: mean grey level. shadows, highlights: the grey level under which 5% and 95% of the pixels lie.
    contrast: the grey levels' standard deviation, 0.5 at most. entropy: of the grey levels, in bytes.
    border: share of the area that lies in plain strips along the sides. aspect: the short side by the long one.
    """
    grey = grey_levels(image)
    step = max(1, min(grey.shape) // _SAMPLED)
    sample = Image.fromarray(np.ascontiguousarray(grey[::step, ::step]))
    shares = np.array(sample.histogram()) / (sample.width * sample.height)
    mean, square = (shares @ _POWERS).tolist()
    shadows, highlights = np.searchsorted(np.cumsum(shares), (0.05, 0.95)).tolist()
    present = shares[shares > 0]
    small = np.asarray(sample.reduce(2))
    top, bottom, left, right = borders(small)
    return {
        "sharpness": _sharpness(grey),
        "brightness": mean / 255,
        "shadows": shadows / 255,
        "highlights": highlights / 255,
        "contrast": max(square - mean**2, 0.0) ** 0.5 / 255,
        "entropy": abs(float(present @ np.log2(present))) / 8,
        "border": 1 - (len(small) - top - bottom) * (small.shape[1] - left - right) / small.size,
        "aspect": min(grey.shape) / max(grey.shape),
    }


def _sharpness(grey: Grey) -> float:
    """Root mean square of second differences over steps of 1, 2, 4 and 8 pixels along some lines; the smallest ratio of two.

    A smooth signal's second difference grows with the square of the step, so a blurred image has a ratio near 1/4; at a
    sharp edge the ratio is 1/2. Taking ratios makes the score independent of contrast. Images under 17 pixels count as sharp.
    """
    if min(grey.shape) < 2 * _STEPS[-1] + 1:
        return 1.0
    energy = np.zeros(len(_STEPS))
    for lines in (grey, grey.T):
        some = np.ascontiguousarray(lines[:: max(1, len(lines) // _LINES)])
        energy += [bend(some, step) for step in _STEPS]
    strength = np.sqrt(np.maximum(energy - _ROUNDING, _ROUNDING / 4))
    return float(min(*(strength[:-1] / strength[1:]), 1.0))


def borders(grey: Grey) -> tuple[int, int, int, int]:
    """Lines at the top, bottom, left and right of a grey image (H, W) that are of one even tone; none if all of it is."""
    top, bottom = even_lines(grey, _EVEN), even_lines(grey[::-1], _EVEN)
    if top == len(grey):
        return 0, 0, 0, 0
    inside = grey[top : len(grey) - bottom]
    return top, bottom, even_lines(inside.T, _EVEN), even_lines(inside.T[::-1], _EVEN)


_POWERS = np.arange(256.0)[:, None] ** (1, 2)
"""Every grey level and its square."""
