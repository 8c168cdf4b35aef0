"""Align two images at native detail: cut and turn one as a view states, bring both to one size, and refine by an affine warp."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fototeca.curate.duplicates.transforms import FULL, Box, apply_turn

Floats = NDArray[np.float32]

WORKING_SIDE = 512
"""Longest side of two images that are compared, in pixels; both get the smaller size of the two."""

_SMALLEST_SIDE = 128
"""Smaller images are enlarged to this longest side."""

MAX_STRETCH = 0.15
"""Largest difference of the warp from the identity, and largest shift in parts of a side; a larger one is no alignment."""

_COARSE, _FINE_ITERATIONS = ((96, 30), (192, 15)), 5
"""Longest side in pixels and iterations of the coarse levels of the alignment, and iterations at working size."""

_SHIFT_BONUS = 0.005
"""Correlation by which an affine warp must exceed a shift at reduced size."""

_SHIFT_SUFFICES = 0.985
"""Correlation of a shift at reduced size above which no affine warp is tried there."""

_SMOOTHING = 5
_SHARPER = 1.15
_BLACK, _WHITE, _SATURATION = 1, 254, 0.005
"""Levels of saturated pixels, and the difference of their shares from which the less saturated image predicts the other."""

_GRAY = 1.5
"""Mean difference of the largest and smallest channel, in levels, below which an image is gray."""

_MARGIN = 0.025
"""Part of each side that is not compared: edges of a crop or border are rarely exact."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class AlignedPair:
    """Two images of one size, (H, W, 3) in levels 0 to 255, the pixels that both show, (H, W), and their opacities, (H, W)."""

    a: Floats
    b: Floats
    mask: NDArray[np.bool_]
    opacities: tuple[Floats, Floats] | None = None
    """Levels 0 to 255; None unless both images have transparent pixels."""


def compute_luma(pixels: Floats) -> Floats:
    """Return the luma (H, W) of pixels (H, W, 3 or 4)."""
    return np.ascontiguousarray(pixels[..., :3] @ _LUMA)


def cut_view(pixels: NDArray[np.uint8], box: Box = FULL, turn: int = 0) -> NDArray[np.uint8]:
    """Return the part of an image (H, W, C) within a box, turned by `TURNS[turn]`."""
    height, width = pixels.shape[:2]
    top, bottom = round(box[0] * height), round(box[1] * height)
    left, right = round(box[2] * width), round(box[3] * width)
    turned: NDArray[np.uint8] = apply_turn(pixels[None, top:bottom, left:right], turn)[0]
    return turned


def align(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> AlignedPair | None:
    """Return two images at one size with the first warped onto the second; None if they cannot be aligned.

    The images are RGB, (H, W, 3), or RGB with opacity, (H, W, 4). Opacity is used where both have it.
    """
    channels = min(first.shape[2], second.shape[2])
    height, width = (min(first.shape[axis], second.shape[axis]) for axis in (0, 1))
    scale = min(1.0, WORKING_SIDE / max(height, width)) * max(1.0, _SMALLEST_SIDE / max(height, width))
    size = max(16, round(width * scale)), max(16, round(height * scale))
    a, b = (_resize(pixels[..., :channels], size) for pixels in (first, second))
    warp = _find_warp(compute_luma(a), compute_luma(b))
    if warp is None:
        return None
    warped = cv2.warpAffine(a, warp, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
    opacities = (warped[..., 3], b[..., 3]) if channels == 4 else None
    colors = [np.ascontiguousarray(pixels[..., :3]) for pixels in (warped, b)]
    return AlignedPair(colors[0], colors[1], _overlap(warp, size), opacities)


def is_richer(first: Floats, second: Floats) -> bool:
    """Return True if the second of two aligned images follows from the first rather than the other way.

    The first is then in color and the second gray, or it is clearly less saturated, or as saturated and with more fine detail in
    relation to its contrast.
    """
    grays = [_is_gray(pixels) for pixels in (first, second)]
    if grays[0] != grays[1]:
        return grays[1]
    lost = [float(((pixels <= _BLACK) | (pixels >= _WHITE)).mean()) for pixels in (first, second)]
    if abs(lost[0] - lost[1]) > _SATURATION:
        return lost[0] < lost[1]
    shares = []
    for pixels in (first, second):
        luma = compute_luma(pixels)
        shares.append(float((luma - cv2.GaussianBlur(luma, (0, 0), 2)).std()) / max(float(luma.std()), 1e-3))
    return shares[0] > _SHARPER * shares[1]


def _is_gray(pixels: Floats) -> bool:
    """Return True if the channels differ by less than the noise of JPEG compression."""
    return float((pixels.max(axis=2) - pixels.min(axis=2)).mean()) < _GRAY


def _resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Floats:
    if pixels.shape[1::-1] == size:
        return np.ascontiguousarray(pixels, dtype=np.float32)
    shrinks = size[0] <= pixels.shape[1] and size[1] <= pixels.shape[0]
    resized = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)


def _find_warp(a: Floats, b: Floats) -> Floats | None:
    """Return the affine warp (2, 3) that maps pixels of b to pixels of a (Evangelidis and Psarakis, PAMI 2008).

    At reduced size a shift alone is tried first: an affine warp errs by pixels where little but noise or a weave can be aligned.
    """
    height, width = b.shape
    warps = []
    for motion in (cv2.MOTION_TRANSLATION, cv2.MOTION_AFFINE):
        warp, correlation = np.eye(2, 3, dtype=np.float32), -1.0
        for side, iterations in _COARSE:
            correlation, warp = _refine(a, b, warp, (side, iterations, motion))
        warps.append((correlation - _SHIFT_BONUS * (motion == cv2.MOTION_AFFINE), warp))
        if correlation >= _SHIFT_SUFFICES:
            break
    correlation, warp = max(warps, key=lambda found: found[0])
    if correlation < 0:
        return None
    correlation, warp = _refine(a, b, warp, (WORKING_SIDE, _FINE_ITERATIONS, cv2.MOTION_AFFINE))
    stretched = np.abs(warp[:, :2] - np.eye(2)).max() > MAX_STRETCH
    center = np.array([width / 2, height / 2], np.float32)
    shift = np.abs(warp[:, :2] @ center + warp[:, 2] - center) / (width, height)
    return None if correlation < 0 or stretched or shift.max() > MAX_STRETCH else warp


def _refine(a: Floats, b: Floats, warp: Floats, level: tuple[int, int, int]) -> tuple[float, Floats]:
    """Return the correlation after a refinement, and the warp; -1 where it does not converge. Level: side, iterations, motion."""
    side, iterations, motion = level
    height, width = b.shape
    scale = min(1.0, side / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small_a, small_b = (cv2.resize(luma, size, interpolation=cv2.INTER_AREA) if scale < 1 else luma for luma in (a, b))
    start = warp.copy()
    start[:, 2] *= scale
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, iterations, 1e-5)
    try:
        correlation, found = cv2.findTransformECC(small_b, small_a, start, motion, criteria, None, _SMOOTHING)
    except cv2.error:  # it does not converge
        return -1.0, warp
    found[:, 2] /= scale
    return float(correlation), found


def _overlap(warp: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of the second image that the warped first covers, without a margin."""
    width, height = size
    across, down = max(1, round(width * _MARGIN)), max(1, round(height * _MARGIN))
    inner = np.zeros((height, width), np.uint8)
    inner[down : height - down, across : width - across] = 1
    covered = cv2.warpAffine(inner, warp, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    return np.asarray(cv2.erode(covered & inner, np.ones((7, 7), np.uint8)), dtype=np.bool_)
