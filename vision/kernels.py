"""Loops over the pixels of one image, compiled; other threads run meanwhile."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Levels = NDArray[np.uint8]

_FIXED = 22
"""Bits behind the point in Pillow's weights for resizing."""


def grey_of(pixels: Levels) -> Levels:
    """(H, W) of RGB (H, W, 3), exactly as Pillow's convert("L") has them: ITU-R 601-2 luma in its fixed-point steps."""
    levels = np.empty(pixels.shape[:2], np.uint8)
    _fill_grey(pixels.reshape(-1), levels.reshape(-1))
    return levels


@njit(nogil=True, cache=True)
def _fill_grey(values: Levels, levels: Levels) -> None:
    for place in range(levels.size):
        red, green, blue = np.uint32(values[3 * place]), np.uint32(values[3 * place + 1]), np.uint32(values[3 * place + 2])
        total = np.uint32(19595) * red + np.uint32(38470) * green + np.uint32(7471) * blue + np.uint32(32768)
        levels[place] = total >> np.uint32(16)


def shrink(grey: Levels, side: int) -> Levels:
    """Grey levels (H, W) as Pillow's Lanczos filter makes them (side, side): across, then down, in its fixed-point steps."""
    across = np.empty((len(grey), side), np.uint8)
    _shrink_lines(np.ascontiguousarray(grey), *_lanczos(grey.shape[1], side), across)
    small = np.empty((side, side), np.uint8)
    _shrink_lines(np.ascontiguousarray(across.T), *_lanczos(len(grey), side), small)
    return small.T


@njit(nogil=True, cache=True)
def _shrink_lines(lines: Levels, first: NDArray[np.int64], weights: NDArray[np.int32], small: Levels) -> None:
    """Each line of (N, L) to (N, side); `weights` (side, taps) from the pixel `first` (side,) on."""
    taps = weights.shape[1]
    for number in range(len(lines)):
        line = lines[number]
        for column in range(len(first)):
            part, weight = line[first[column] : first[column] + taps], weights[column]
            total = np.int32(1 << (_FIXED - 1))
            for tap in range(taps):  # slices from their beginning on: the compiler makes wide instructions of it
                total += np.int32(part[tap]) * weight[tap]
            level = total >> _FIXED
            small[number, column] = 0 if level < 0 else 255 if level > 255 else level


@lru_cache(maxsize=256)
def _lanczos(length: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """For each of `side` pixels the first of the line's pixels that it is made of (side,), and their weights (side, taps)."""
    stretch = length / side
    taps = min(length, int(6 * stretch) + 2)
    firsts, weights = np.empty(side, np.int64), np.zeros((side, taps), np.int32)
    for column in range(side):
        centre, reach = (column + 0.5) * stretch, 3 * stretch
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), length)
        x = (np.arange(first, last) - centre + 0.5) / stretch
        kernel = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
        firsts[column] = begin = min(first, length - taps)
        weights[column, first - begin : last - begin] = np.rint(kernel / kernel.sum() * (1 << _FIXED))
    return firsts, weights


@njit(nogil=True, cache=True)
def bend(lines: Levels, step: int) -> float:
    """Mean square of the second differences, over steps of `step` pixels, along the lines (N, L)."""
    total, count = np.int64(0), 0
    for number in range(len(lines)):
        for place in range(0, lines.shape[1] - 2 * step, step):
            middle = np.int64(lines[number, place + step])
            difference = np.int64(lines[number, place]) + np.int64(lines[number, place + 2 * step]) - 2 * middle
            total += difference * difference
            count += 1
    return total / count


@njit(nogil=True, cache=True)
def even_lines(lines: Levels, tolerance: float) -> int:
    """How many lines, from the first on, are even in themselves and alike: no further apart than `tolerance`."""
    middle = 0.0
    for number in range(len(lines)):
        low, high, total = 255, 0, 0
        for place in range(lines.shape[1]):
            level = int(lines[number, place])
            low, high, total = min(low, level), max(high, level), total + level
        mean = total / lines.shape[1]
        if number == 0:
            middle = mean
        if high - low > tolerance or abs(mean - middle) > tolerance:
            return number
    return len(lines)
