"""Quality scores of one image."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fototeca.vision.image import Grey, grey_levels
from fototeca.vision.kernels import count_uniform_lines, second_differences

_SAMPLED = 120
_LINES = 24
_STEPS = (1, 2, 4, 8)
_ROUNDING = 1.0
"""Contribution of rounding to whole grey levels to the squared second differences, rows and columns added."""
_EVEN = 10.0
"""Range of grey levels within which a line of pixels counts as uniform."""


def quality(image: Image.Image | Grey) -> dict[str, float]:
    """Return quality scores between 0 and 1.

    sharpness: share of fine detail (about 0.25 when blurred, 0.4 in a photograph, more in drawings and noise).
    brightness: mean grey level. shadows, highlights: 5th and 95th percentile of the grey levels.
    contrast: standard deviation of the grey levels, at most 0.5. entropy: of the grey levels, in bytes.
    border: share of the area in uniform strips along the sides. aspect: shorter side divided by the longer.

    Args:
        image: upright, of any mode, or its grey levels (H, W).
    """
    grey = grey_levels(image)
    step = max(1, min(grey.shape) // _SAMPLED)
    sample = Image.fromarray(np.ascontiguousarray(grey[::step, ::step]))
    shares = np.array(sample.histogram()) / (sample.width * sample.height)
    mean, square = (shares @ _POWERS).tolist()
    shadows, highlights = np.searchsorted(np.cumsum(shares), (0.05, 0.95)).tolist()
    present = shares[shares > 0]
    small = np.asarray(sample.reduce(2))
    top, bottom, left, right = border_widths(small)
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
    """Return the smallest ratio of RMS second differences at successive steps of 1, 2, 4 and 8 pixels.

    The second difference of a smooth signal grows with the square of the step, so a blurred image has a ratio near 1/4; a
    sharp edge has 1/2. Ratios do not depend on contrast. Images under 17 pixels count as sharp.
    """
    if min(grey.shape) < 2 * _STEPS[-1] + 1:
        return 1.0
    energy = np.zeros(len(_STEPS))
    for lines in (grey, grey.T):
        sampled = np.ascontiguousarray(lines[:: max(1, len(lines) // _LINES)])
        energy += [second_differences(sampled, step) for step in _STEPS]
    strength = np.sqrt(np.maximum(energy - _ROUNDING, _ROUNDING / 4))
    return float(min(*(strength[:-1] / strength[1:]), 1.0))


def border_widths(grey: Grey) -> tuple[int, int, int, int]:
    """Return the number of uniform lines at the top, bottom, left and right of a grey image (H, W).

    All four are 0 if the whole image is uniform.
    """
    top, bottom = count_uniform_lines(grey, _EVEN), count_uniform_lines(grey[::-1], _EVEN)
    if top == len(grey):
        return 0, 0, 0, 0
    inside = grey[top : len(grey) - bottom]
    return top, bottom, count_uniform_lines(inside.T, _EVEN), count_uniform_lines(inside.T[::-1], _EVEN)


_POWERS = np.arange(256.0)[:, None] ** (1, 2)
"""First and second power of every grey level, (256, 2)."""
