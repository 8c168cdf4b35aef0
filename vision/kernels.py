"""Compiled loops over the pixels of one image; they release the interpreter lock."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Levels = NDArray[np.uint8]

_FIXED = 22
"""Fraction bits of Pillow's fixed-point resampling weights."""


def rgb_to_grey(pixels: Levels) -> Levels:
    """Convert RGB (H, W, 3) to grey levels (H, W), exactly as Pillow's convert("L"): ITU-R 601-2 luma in fixed point."""
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
    """Resize grey levels (H, W) to (side, side), exactly as Pillow's Lanczos filter: horizontally first, in fixed point."""
    across = np.empty((len(grey), side), np.uint8)
    _shrink_lines(np.ascontiguousarray(grey), *_lanczos(grey.shape[1], side), across)
    small = np.empty((side, side), np.uint8)
    _shrink_lines(np.ascontiguousarray(across.T), *_lanczos(len(grey), side), small)
    return small.T


@njit(nogil=True, cache=True)
def _shrink_lines(lines: Levels, first: NDArray[np.int64], weights: NDArray[np.int32], small: Levels) -> None:
    """Resample each line of (N, L) to (N, side) with `weights` (side, taps) starting at pixel `first` (side,)."""
    taps = weights.shape[1]
    for number in range(len(lines)):
        line = lines[number]
        for column in range(len(first)):
            part, weight = line[first[column] : first[column] + taps], weights[column]
            total = np.int32(1 << (_FIXED - 1))
            for tap in range(taps):  # zero-based slices, which the compiler vectorizes
                total += np.int32(part[tap]) * weight[tap]
            level = total >> _FIXED
            small[number, column] = 0 if level < 0 else 255 if level > 255 else level


@lru_cache(maxsize=256)
def _lanczos(length: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the first source pixel (side,) and the weights (side, taps) of each target pixel."""
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
def second_differences(lines: Levels, step: int) -> float:
    """Return the mean square of the second differences with a step of `step` pixels along lines (N, L)."""
    total, count = np.int64(0), 0
    for number in range(len(lines)):
        for place in range(0, lines.shape[1] - 2 * step, step):
            middle = np.int64(lines[number, place + step])
            difference = np.int64(lines[number, place]) + np.int64(lines[number, place + 2 * step]) - 2 * middle
            total += difference * difference
            count += 1
    return total / count


@njit(nogil=True, cache=True)
def count_uniform_lines(lines: Levels, tolerance: float) -> int:
    """Count the leading lines (N, L) whose range and distance from the first line's mean are at most `tolerance`."""
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
