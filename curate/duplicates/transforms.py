"""What of an image is hashed for the search: all of it turned eight ways, without its plain border, and its inner windows.

Everything is made from a small thumbnail, so that one decode per image is enough for ever.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fototeca.vision.quality import border_widths

SIDE = 64
"""Thumbnails have SIDE × SIDE pixels, whatever the image's shape."""

LOW = 8
TURNS = tuple((transposed, down, across) for transposed in (False, True) for down in (False, True) for across in (False, True))
"""The eight flips and rotations: first perhaps transposed, then perhaps flipped upside down, then left to right."""

Floats = NDArray[np.float32]
Hashes = NDArray[np.uint64]
Box = tuple[float, float, float, float]
"""Top, bottom, left, right, as shares of the thumbnail's side."""

FULL: Box = (0.0, 1.0, 0.0, 1.0)


def _windows() -> tuple[Box, ...]:
    """Where a crop may have been taken: nine places for 90% of the sides, four for 95%, the middle for less."""
    found: list[Box] = [(y, y + 0.9, x, x + 0.9) for y in (0.0, 0.05, 0.1) for x in (0.0, 0.05, 0.1)]
    found += [(y, y + 0.95, x, x + 0.95) for y in (0.0, 0.05) for x in (0.0, 0.05)]
    return (*found, (0.075, 0.925, 0.075, 0.925), (0.1, 0.9, 0.1, 0.9))


WINDOWS = _windows()


def greys(thumbnails: NDArray[np.uint8]) -> Floats:
    """Luma of thumbnails (N, SIDE, SIDE, 3), as float32 (N, SIDE, SIDE)."""
    return thumbnails.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def trimmed(grey: Floats) -> Box | None:
    """The part of one grey thumbnail within its plain border, or None when it has none worth trimming."""
    top, bottom, left, right = border_widths(np.clip(grey, 0, 255).astype(np.uint8))
    if max(top, bottom, left, right) < 2 or top + bottom > SIDE // 2 or left + right > SIDE // 2:
        return None
    # the line where border and image meet mixes both
    return tuple(  # type: ignore[return-value]
        edge / SIDE for edge in (top + (top > 0), SIDE - bottom - (bottom > 0), left + (left > 0), SIDE - right - (right > 0))
    )


def turn(images: NDArray[np.generic], number: int) -> NDArray[np.generic]:
    """Images (N, H, W, ...) flipped or rotated as TURNS[number] says."""
    transposed, down, across = TURNS[number]
    turned = images.swapaxes(1, 2) if transposed else images
    return turned[:, :: -1 if down else 1, :: -1 if across else 1]


def dct_hashes(grey: Floats, box: Box, turns: range = range(1)) -> Hashes:
    """pHash-like hashes (N, len(turns)) of a box of each image, turned; bits of 8×8 cosine sums against their median."""
    down, across = _cosines(box[0], box[1]), _cosines(box[2], box[3])
    sums = down @ grey @ across.T
    signs = np.where(np.arange(LOW) % 2, -1, 1).astype(np.float32)
    columns = []
    for number in turns:
        transposed, flipped, mirrored = TURNS[number]
        turned = sums.swapaxes(1, 2) if transposed else sums
        turned = turned * signs[:, None] if flipped else turned
        turned = (turned * signs if mirrored else turned).reshape(len(grey), -1)
        columns.append(_pack(turned > np.median(turned[:, 1:], axis=1, keepdims=True)))
    return np.stack(columns, axis=1)


def gradient_hashes(grey: Floats, box: Box, turns: range = range(1)) -> Hashes:
    """dHash-like hashes (N, len(turns)) of a box of each image, turned; bits say where it grows brighter to the right."""
    columns = []
    for number in turns:
        turned = np.asarray(turn(grey, number))
        place = _turn_box(box, number)
        means = _areas(place[0], place[1], LOW) @ turned @ _areas(place[2], place[3], LOW + 1).T
        columns.append(_pack((means[:, :, 1:] > means[:, :, :-1]).reshape(len(grey), -1)))
    return np.stack(columns, axis=1)


def _turn_box(box: Box, number: int) -> Box:
    transposed, down, across = TURNS[number]
    top, bottom, left, right = (box[2], box[3], box[0], box[1]) if transposed else box
    top, bottom = (1 - bottom, 1 - top) if down else (top, bottom)
    left, right = (1 - right, 1 - left) if across else (left, right)
    return top, bottom, left, right


def _cosines(start: float, stop: float) -> Floats:
    """The first cosines of the part start..stop of a line, integrated over its pixels: (LOW, SIDE)."""
    edges = np.clip(np.arange(SIDE + 1) / SIDE, start, stop)
    phase = np.pi * np.arange(LOW)[:, None] * (edges - start) / (stop - start)
    waves = np.arange(LOW)[1:, None]
    return np.vstack([np.diff(edges) * np.pi / (stop - start), np.diff(np.sin(phase[1:]), axis=1) / waves]).astype(np.float32)


def _areas(start: float, stop: float, parts: int) -> Floats:
    """Means over equal parts of start..stop of a line: (parts, SIDE)."""
    cuts = np.linspace(start, stop, parts + 1)
    pixels = np.arange(SIDE + 1) / SIDE
    overlap = np.minimum(cuts[1:, None], pixels[None, 1:]) - np.maximum(cuts[:-1, None], pixels[None, :-1])
    shares: Floats = (np.maximum(overlap, 0) * parts / (stop - start)).astype(np.float32)
    return shares


def _pack(bits: NDArray[np.bool_]) -> Hashes:
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64)[:, 0]
