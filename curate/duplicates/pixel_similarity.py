"""Compare aligned images pixel by pixel, color included, to verify pairs that hashes propose.

Both images are averaged over GRID × GRID cells, one of them turned or cropped as the proposal states. Correlation removes
brightness and contrast, and the strength of color, but not its pattern.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fototeca.curate.duplicates.transforms import FULL, SIDE, Box, apply_turn

GRID = 32
MIN_LUMA_DEVIATION = 5.0
"""Standard deviation of luma, in gray levels, below which correlations and hashes of an image are meaningless."""

MIN_COLOR_DEVIATION = 3.0
"""Standard deviation of color differences below which they are ignored."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Similarity:
    """Correlations of M aligned pairs, each (M,)."""

    luma: Floats
    """Correlation of luma, -1 to 1."""
    color: Floats
    """Correlation of the two color differences; 1 where an image has none."""

    def reaches(self, luma: float, color: float) -> NDArray[np.bool_]:
        """Return which pairs reach both correlations."""
        return (self.luma >= luma) & (self.color >= color)


def average_cells(thumbnails: NDArray[np.uint8], box: Box = FULL, turn: int = 0) -> Floats:
    """Average a box of each thumbnail (N, SIDE, SIDE, 3) over GRID × GRID cells and apply a turn.

    Returns luma and two color differences, (N, 3, GRID²).
    """
    down, across = _cell_weights(box[0], box[1]), _cell_weights(box[2], box[3])
    rgb = np.moveaxis(np.asarray(thumbnails, dtype=np.float32), 3, 1)
    means = np.moveaxis(down @ rgb @ across.T, 1, 3)
    turned = np.asarray(apply_turn(means, turn))
    luma = turned @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    planes = np.stack([luma, turned[..., 0] - luma, turned[..., 2] - luma], axis=1)
    return planes.reshape(len(thumbnails), 3, GRID * GRID)


def correlate(a: Floats, b: Floats) -> Similarity:
    """Correlate M pairs of images given as `average_cells`, (M, 3, GRID²) each."""
    a, b = a - a.mean(axis=2, keepdims=True), b - b.mean(axis=2, keepdims=True)
    products, squares_a, squares_b = (a * b).sum(axis=2), (a * a).sum(axis=2), (b * b).sum(axis=2)
    luma = products[:, 0] / np.sqrt(np.maximum(squares_a[:, 0] * squares_b[:, 0], 1e-6))
    strength_a, strength_b = squares_a[:, 1:].sum(axis=1), squares_b[:, 1:].sum(axis=1)
    color = products[:, 1:].sum(axis=1) / np.sqrt(np.maximum(strength_a * strength_b, 1e-6))
    colorless = np.minimum(strength_a, strength_b) < 2 * GRID * GRID * MIN_COLOR_DEVIATION**2
    return Similarity(luma, np.where(colorless, np.float32(1), color))


def is_flat(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which thumbnails (N, SIDE, SIDE, 3) have too little contrast to be compared."""
    if len(thumbnails) == 0:
        return np.zeros(0, dtype=np.bool_)
    parts = [average_cells(thumbnails[start : start + 1024])[:, 0].std(axis=1) for start in range(0, len(thumbnails), 1024)]
    return np.concatenate(parts) < MIN_LUMA_DEVIATION


def shift_box(box: Box, step: float) -> Iterator[Box]:
    """Yield the box shifted by a step in nine directions, none included, clipped to the image."""
    for down in (-step, 0.0, step):
        for across in (-step, 0.0, step):
            down_ = float(np.clip(down, -box[0], 1 - box[1]))
            across_ = float(np.clip(across, -box[2], 1 - box[3]))
            yield box[0] + down_, box[1] + down_, box[2] + across_, box[3] + across_


def _cell_weights(start: float, stop: float) -> Floats:
    """Return the weights that average GRID equal parts of start..stop of a line, (GRID, SIDE)."""
    cuts = np.linspace(start, stop, GRID + 1) * SIDE
    pixels = np.arange(SIDE + 1)
    overlap = np.minimum(cuts[1:, None], pixels[None, 1:]) - np.maximum(cuts[:-1, None], pixels[None, :-1])
    weights: Floats = (np.maximum(overlap, 0) * GRID / (stop - start) / SIDE).astype(np.float32)
    return weights
