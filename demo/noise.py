"""Random textures for drawn images: smooth noise, fractal noise and textured surfaces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Field = npt.NDArray[np.float32]
"""(height, width) float32."""


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], cell: float, *, stretch: float = 1.0) -> Field:
    """Return noise in 0..1 with blobs about `cell` pixels wide (times `stretch` horizontally). `size` is (width, height)."""
    width, height = size
    across, down = max(2, round(width / (cell * stretch))), max(2, round(height / cell))
    grid = Image.fromarray((rng.random((down, across)) * 255).astype(np.uint8))
    return np.asarray(grid.resize(size, Image.Resampling.BICUBIC), dtype=np.float32) / np.float32(255)


def fractal_noise(
    rng: np.random.Generator, size: tuple[int, int], cell: float, octaves: int = 4, *, stretch: float = 1.0
) -> Field:
    """Return a sum of smooth noises, in about 0..1; each octave halves the blob width and the strength."""
    total = np.zeros(size[::-1], dtype=np.float32)
    weight = 0.0
    for octave in range(octaves):
        strength = 0.5**octave
        total += strength * smooth_noise(rng, size, max(2.0, cell * strength), stretch=stretch)
        weight += strength
    return np.clip((total / weight - 0.5) * 1.6 + 0.5, 0, 1)


def textured_surface(
    rng: np.random.Generator,
    size: tuple[int, int],
    color: tuple[int, ...],
    strength: float,
    cell: float,
    *,
    stretch: float = 1.0,
) -> Image.Image:
    """Return a surface of one color with blotches and grain (RGB); `strength` is the blotches' share of full brightness."""
    pattern = fractal_noise(rng, size, cell, 3, stretch=stretch) - 0.5
    grain = rng.standard_normal(size[::-1]).astype(np.float32) * strength * 0.18
    light = 1 + (pattern * 2 * strength + grain)[..., None]
    return Image.fromarray(np.clip(np.array(color, dtype=np.float32) * light, 0, 255).astype(np.uint8))
