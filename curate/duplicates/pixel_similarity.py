"""Whether two images are the same image: compared pixel by pixel, aligned, colour included.

Hashes only propose; this decides. Both images are averaged over a grid of GRID × GRID cells, one of them turned or cut as
the proposal says. Brightness and contrast are divided out by correlating; so is the strength of colour, but not its pattern.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fototeca.curate.duplicates.transforms import FULL, SIDE, Box, turn

GRID = 32
FLAT = 5.0
"""An image whose grey levels deviate less than this has too little in it for correlation, or for a hash, to mean anything."""

COLOURLESS = 3.0
"""Colour differences that deviate less than this say nothing."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Similarity:
    """How alike M aligned pairs are, each value (M,)."""

    grey: Floats
    """Correlation of luminance, -1 to 1."""
    colour: Floats
    """Correlation of the two colour differences; 1 where both images have none."""

    def same(self, grey: float, colour: float) -> NDArray[np.bool_]:
        """Which pairs reach both."""
        return (self.grey >= grey) & (self.colour >= colour)


def cells(thumbnails: NDArray[np.uint8], box: Box = FULL, number: int = 0) -> Floats:
    """Means over the cells of a box of each thumbnail (N, SIDE, SIDE, 3), turned.

    Returns luminance and two colour differences, (N, 3, GRID²).
    """
    down, across = _shares(box[0], box[1]), _shares(box[2], box[3])
    rgb = np.moveaxis(np.asarray(thumbnails, dtype=np.float32), 3, 1)
    means = np.moveaxis(down @ rgb @ across.T, 1, 3)
    turned = np.asarray(turn(means, number))
    grey = turned @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    planes = np.stack([grey, turned[..., 0] - grey, turned[..., 2] - grey], axis=1)
    return planes.reshape(len(thumbnails), 3, GRID * GRID)


def compare(a: Floats, b: Floats) -> Similarity:
    """The likeness of images given as `cells` (M, 3, GRID²), pair by pair."""
    a, b = a - a.mean(axis=2, keepdims=True), b - b.mean(axis=2, keepdims=True)
    products, squares_a, squares_b = (a * b).sum(axis=2), (a * a).sum(axis=2), (b * b).sum(axis=2)
    grey = products[:, 0] / np.sqrt(np.maximum(squares_a[:, 0] * squares_b[:, 0], 1e-6))
    strength_a, strength_b = squares_a[:, 1:].sum(axis=1), squares_b[:, 1:].sum(axis=1)
    colour = products[:, 1:].sum(axis=1) / np.sqrt(np.maximum(strength_a * strength_b, 1e-6))
    silent = np.minimum(strength_a, strength_b) < 2 * GRID * GRID * COLOURLESS**2
    return Similarity(grey, np.where(silent, np.float32(1), colour))


def flat(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which thumbnails (N, SIDE, SIDE, 3) have next to nothing in them."""
    if len(thumbnails) == 0:
        return np.zeros(0, dtype=np.bool_)
    parts = [cells(thumbnails[start : start + 1024])[:, 0].std(axis=1) for start in range(0, len(thumbnails), 1024)]
    return np.concatenate(parts) < FLAT


def shifted(box: Box, step: float) -> Iterator[Box]:
    """The nine boxes a step up, down, left and right of one, kept within the image."""
    for down in (-step, 0.0, step):
        for across in (-step, 0.0, step):
            down_ = float(np.clip(down, -box[0], 1 - box[1]))
            across_ = float(np.clip(across, -box[2], 1 - box[3]))
            yield box[0] + down_, box[1] + down_, box[2] + across_, box[3] + across_


def _shares(start: float, stop: float) -> Floats:
    """Means over GRID equal parts of start..stop of a line: (GRID, SIDE)."""
    cuts = np.linspace(start, stop, GRID + 1) * SIDE
    pixels = np.arange(SIDE + 1)
    overlap = np.minimum(cuts[1:, None], pixels[None, 1:]) - np.maximum(cuts[:-1, None], pixels[None, :-1])
    shares: Floats = (np.maximum(overlap, 0) * GRID / (stop - start) / SIDE).astype(np.float32)
    return shares
