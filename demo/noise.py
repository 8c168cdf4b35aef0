"""Random textures for the drawn images: smooth noise, and grain for surfaces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Field = npt.NDArray[np.float32]
"""(height, width) float32."""


def smooth(rng: np.random.Generator, size: tuple[int, int], cell: float, *, stretch: float = 1.0) -> Field:
    """Noise in 0..1 whose blobs are about `cell` pixels wide (times `stretch` across). `size` is (width, height)."""
    width, height = size
    across, down = max(2, round(width / (cell * stretch))), max(2, round(height / cell))
    grid = Image.fromarray((rng.random((down, across)) * 255).astype(np.uint8))
    return np.asarray(grid.resize(size, Image.Resampling.BICUBIC), dtype=np.float32) / np.float32(255)


def fractal(rng: np.random.Generator, size: tuple[int, int], cell: float, octaves: int = 4, *, stretch: float = 1.0) -> Field:
    """Sum of smooth noises, each half as wide and half as strong as the one before, in about 0..1."""
    total = np.zeros(size[::-1], dtype=np.float32)
    weight = 0.0
    for octave in range(octaves):
        strength = 0.5**octave
        total += strength * smooth(rng, size, max(2.0, cell * strength), stretch=stretch)
        weight += strength
    return np.clip((total / weight - 0.5) * 1.6 + 0.5, 0, 1)


def textured(
    rng: np.random.Generator,
    size: tuple[int, int],
    colour: tuple[int, ...],
    strength: float,
    cell: float,
    *,
    stretch: float = 1.0,
) -> Image.Image:
    """A surface of one colour with blotches and grain; `strength` is the blotches' share of full brightness."""
    pattern = fractal(rng, size, cell, 3, stretch=stretch) - 0.5
    grain = rng.standard_normal(size[::-1]).astype(np.float32) * strength * 0.18
    light = 1 + (pattern * 2 * strength + grain)[..., None]
    return Image.fromarray(np.clip(np.array(colour, dtype=np.float32) * light, 0, 255).astype(np.uint8))
