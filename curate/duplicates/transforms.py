"""Transforms and hashes of thumbnails: eight turns, removal of a plain border, and inner windows.

All of them are computed from a stored thumbnail, so an image is decoded once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fototeca.vision.quality import border_widths

SIDE = 64
"""Side of a thumbnail in pixels; images are squeezed into a square."""

LOW = 8
TURNS = tuple((transposed, down, across) for transposed in (False, True) for down in (False, True) for across in (False, True))
"""The eight flips and rotations: whether to transpose, then to flip vertically, then horizontally."""

Floats = NDArray[np.float32]
Hashes = NDArray[np.uint64]
Box = tuple[float, float, float, float]
"""Top, bottom, left, right, as fractions of the side of the thumbnail."""

FULL: Box = (0.0, 1.0, 0.0, 1.0)


def _windows() -> tuple[Box, ...]:
    """Return typical crops: nine positions of 90% of the sides, four of 95%, and two central ones of 85% and 80%."""
    windows: list[Box] = [(y, y + 0.9, x, x + 0.9) for y in (0.0, 0.05, 0.1) for x in (0.0, 0.05, 0.1)]
    windows += [(y, y + 0.95, x, x + 0.95) for y in (0.0, 0.05) for x in (0.0, 0.05)]
    return (*windows, (0.075, 0.925, 0.075, 0.925), (0.1, 0.9, 0.1, 0.9))


WINDOWS = _windows()


def compute_luma(thumbnails: NDArray[np.uint8]) -> Floats:
    """Compute the luma of thumbnails (N, SIDE, SIDE, 3) as float32 (N, SIDE, SIDE)."""
    return thumbnails.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def find_content_box(luma: Floats) -> Box | None:
    """Return the part of a luma thumbnail within its plain border; None if it has no border of two pixels or more."""
    top, bottom, left, right = border_widths(np.clip(luma, 0, 255).astype(np.uint8))
    if max(top, bottom, left, right) < 2 or top + bottom > SIDE // 2 or left + right > SIDE // 2:
        return None
    # the edge row blends border and image
    return tuple(  # type: ignore[return-value]
        edge / SIDE for edge in (top + (top > 0), SIDE - bottom - (bottom > 0), left + (left > 0), SIDE - right - (right > 0))
    )


def apply_turn(images: NDArray[np.generic], number: int) -> NDArray[np.generic]:
    """Flip or rotate images (N, H, W, ...) by TURNS[number]."""
    transposed, down, across = TURNS[number]
    turned = images.swapaxes(1, 2) if transposed else images
    return turned[:, :: -1 if down else 1, :: -1 if across else 1]


def dct_hashes(luma: Floats, box: Box, turns: range = range(1)) -> Hashes:
    """Compute pHash-like hashes (N, len(turns)) of a box of each image, turned: 8×8 cosine sums compared with their median."""
    down, across = _cosines(box[0], box[1]), _cosines(box[2], box[3])
    sums = down @ luma @ across.T
    signs = np.where(np.arange(LOW) % 2, -1, 1).astype(np.float32)
    columns = []
    for number in turns:
        transposed, flipped, mirrored = TURNS[number]
        turned = sums.swapaxes(1, 2) if transposed else sums
        turned = turned * signs[:, None] if flipped else turned
        turned = (turned * signs if mirrored else turned).reshape(len(luma), -1)
        columns.append(_pack(turned > np.median(turned[:, 1:], axis=1, keepdims=True)))
    return np.stack(columns, axis=1)


def gradient_hashes(luma: Floats, box: Box, turns: range = range(1)) -> Hashes:
    """Compute dHash-like hashes (N, len(turns)) of a box of each image, turned: bits are set where luma rises to the right."""
    columns = []
    for number in turns:
        turned = np.asarray(apply_turn(luma, number))
        place = _turn_box(box, number)
        means = _part_weights(place[0], place[1], LOW) @ turned @ _part_weights(place[2], place[3], LOW + 1).T
        columns.append(_pack((means[:, :, 1:] > means[:, :, :-1]).reshape(len(luma), -1)))
    return np.stack(columns, axis=1)


def _turn_box(box: Box, number: int) -> Box:
    transposed, down, across = TURNS[number]
    top, bottom, left, right = (box[2], box[3], box[0], box[1]) if transposed else box
    top, bottom = (1 - bottom, 1 - top) if down else (top, bottom)
    left, right = (1 - right, 1 - left) if across else (left, right)
    return top, bottom, left, right


def _cosines(start: float, stop: float) -> Floats:
    """Return the first cosines over start..stop of a line, integrated over its pixels, (LOW, SIDE)."""
    edges = np.clip(np.arange(SIDE + 1) / SIDE, start, stop)
    phase = np.pi * np.arange(LOW)[:, None] * (edges - start) / (stop - start)
    waves = np.arange(LOW)[1:, None]
    return np.vstack([np.diff(edges) * np.pi / (stop - start), np.diff(np.sin(phase[1:]), axis=1) / waves]).astype(np.float32)


def _part_weights(start: float, stop: float, parts: int) -> Floats:
    """Return the weights that average equal parts of start..stop of a line, (parts, SIDE)."""
    cuts = np.linspace(start, stop, parts + 1)
    pixels = np.arange(SIDE + 1) / SIDE
    overlap = np.minimum(cuts[1:, None], pixels[None, 1:]) - np.maximum(cuts[:-1, None], pixels[None, :-1])
    weights: Floats = (np.maximum(overlap, 0) * parts / (stop - start)).astype(np.float32)
    return weights


def _pack(bits: NDArray[np.bool_]) -> Hashes:
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64)[:, 0]
