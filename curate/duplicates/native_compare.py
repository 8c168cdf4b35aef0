"""Predict one aligned image from the other by tones and one filter, and measure what the prediction does not explain.

Blur, sharpening, resizing and compression are one filter, and noise in proportion to texture; a scratch is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fototeca.curate.duplicates.native_align import AlignedPair, Floats, compute_luma

Mask = NDArray[np.bool_]

_TONE_STEP = 3
_FILTER_SIDE = 7
_FILTER_PIXELS = 8000
_BLOCK, _STRIDE = 8, 4
_BAD = 12.0
_FLAT_SHARE = 0.4
MIN_BLOCKS = 20
"""Blocks below which two images are too small to be compared."""


@dataclass(frozen=True)
class Difference:
    """Difference of an image from its prediction.

    `residual`: third largest of the blocks' unexplained parts. `correlation`: of image and prediction after a high-pass filter.
    `area`, `energy`: share of the blocks that are not explained, and their share of the fine detail. `rest`: the correlation
    outside them. `detail`: standard deviation of the image's fine detail there, in gray levels.
    `noise`: noise of both in flat blocks, in gray levels; `noise_correlation`: of the two. `opacity`: third largest difference of
    opacity in a block, in levels; 0 where an image is opaque.
    """

    residual: float
    correlation: float
    area: float
    energy: float
    rest: float
    detail: float
    noise: tuple[float, float]
    noise_correlation: float
    opacity: float
    changed: Mask
    """Pixels (H, W) of the blocks that are not explained."""
    prediction: Floats
    """The prediction (H, W, 3)."""


def compare(pair: AlignedPair) -> Difference | None:
    """Return the difference of the second image from its prediction by the first; None where too little is left to compare."""
    toned = _match_tones(pair)
    predicted = _match_filter(toned, pair)
    if predicted is None:
        return None
    clipped = np.clip(predicted, 0, 255)
    return _measure(clipped, toned, pair)


def _match_tones(pair: AlignedPair) -> Floats:
    """Return the first image with the tones of the second: per channel a quadratic of the three channels."""
    rows, columns = np.nonzero(pair.mask[::_TONE_STEP, ::_TONE_STEP])
    small_a = cv2.GaussianBlur(pair.a, (0, 0), 2)[::_TONE_STEP, ::_TONE_STEP][rows, columns]
    small_b = cv2.GaussianBlur(pair.b, (0, 0), 2)[::_TONE_STEP, ::_TONE_STEP][rows, columns]
    design = _tone_terms(small_a).astype(np.float64)
    coefficients = [_fit_tone(design, small_b[:, channel].astype(np.float64), channel) for channel in range(3)]
    flat = _tone_terms(pair.a.reshape(-1, 3)) @ np.stack(coefficients, axis=1).astype(np.float32)
    return np.ascontiguousarray(flat.reshape(pair.a.shape))


def _solve(matrix: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.solve(matrix, target), dtype=np.float64)


def _tone_terms(rgb: Floats) -> Floats:
    """Return r, g, b, their squares and 1, (N, 7), scaled to about 1."""
    scaled = rgb / np.float32(255)
    return np.concatenate([scaled, scaled**2, np.ones((len(scaled), 1), np.float32)], axis=1)


def _fit_tone(design: NDArray[np.float64], target: NDArray[np.float64], channel: int) -> NDArray[np.float64]:
    """Return the coefficients (7,) of one channel by reweighted least squares; saturated pixels count as in a tobit model."""
    identity: NDArray[np.float64] = np.zeros(7)
    identity[channel] = 255.0
    ridge = np.eye(7) * 1e-4 * len(design)
    weights: NDArray[np.float64] = np.ones(len(design))
    coefficients = identity
    for _ in range(6):
        weighted = design * weights[:, None]
        coefficients = _solve(weighted.T @ design + ridge, weighted.T @ target + ridge @ identity)
        predicted = design @ coefficients
        error = np.abs(target - predicted)
        scale = max(1.0, float(np.median(error)) * 1.4826)
        weights = 1 / (1 + (error / (2.5 * scale)) ** 2)
        weights[(target >= 248) & (predicted > target + 3)] = 0
        weights[(target <= 7) & (predicted < target - 3)] = 0
    return coefficients


def _match_filter(toned: Floats, pair: AlignedPair) -> Floats | None:
    """Return the toned image after the linear filter that brings its luma closest to that of the second image."""
    half = _FILTER_SIDE // 2
    luma_a, luma_b = compute_luma(toned), compute_luma(pair.b)
    inner = pair.mask.copy()
    inner[:half], inner[-half:], inner[:, :half], inner[:, -half:] = False, False, False, False
    saturated = (luma_b >= 250) | (luma_b <= 5)
    places = np.flatnonzero(inner & ~saturated)
    if len(places) < 500:
        places = np.flatnonzero(inner)
    if len(places) < 200:
        return None
    places = places[:: max(1, len(places) // _FILTER_PIXELS)]
    rows, columns = np.divmod(places, luma_a.shape[1])
    windows = np.lib.stride_tricks.sliding_window_view(luma_a, (_FILTER_SIDE, _FILTER_SIDE))
    design = windows[rows - half, columns - half].reshape(len(places), -1).astype(np.float32)
    kernel = _fit_filter(design, luma_b[rows, columns])
    filtered: Floats = cv2.filter2D(toned, -1, kernel.reshape(_FILTER_SIDE, _FILTER_SIDE), borderType=cv2.BORDER_REFLECT_101)
    return filtered


def _fit_filter(design: Floats, target: Floats) -> Floats:
    """Return the filter (49,) by ridge regression towards the identity, fitted again without outliers."""
    size = design.shape[1]
    identity: NDArray[np.float64] = np.zeros(size, np.float64)
    identity[size // 2] = 1
    kept = np.ones(len(design), np.bool_)
    kernel = identity
    for _ in range(2):
        part, wanted = design[kept].astype(np.float64), target[kept].astype(np.float64)
        gram = part.T @ part
        ridge = np.eye(size) * (4.0 * len(part))
        kernel = _solve(gram + ridge, part.T @ wanted + ridge @ identity)
        error = np.abs(target - design @ kernel.astype(np.float32))
        kept = error <= 4 * 1.4826 * max(float(np.median(error)), 0.5)
    return kernel.astype(np.float32)


def _measure(predicted: Floats, toned: Floats, pair: AlignedPair) -> Difference | None:
    residual = cv2.GaussianBlur(pair.b - predicted, (0, 0), 1)
    luma_p, luma_b = compute_luma(predicted), compute_luma(pair.b)
    luma_r = compute_luma(residual)
    chroma_r = (residual[..., 0] - luma_r) ** 2 + (residual[..., 2] - luma_r) ** 2
    valid = _block_means(pair.mask.astype(np.float32)) > 0.999
    if valid.sum() < MIN_BLOCKS:
        return None
    error = _block_means(luma_r**2 + 0.25 * chroma_r)[valid]
    texture = _block_means(np.minimum(_gradient(luma_p), _gradient(luma_b)))[valid]
    color = _block_means(_color_texture(predicted, luma_p, pair.b, luma_b))[valid]
    order = np.argsort(texture)
    floor = float(np.median(error[order[: max(1, len(order) // 2)]]))
    top = order[-max(1, len(order) // 4) :]
    slope = float(np.median((error[top] - floor) / np.maximum(texture[top], 1e-3)))
    z = error / (min(floor, 40.0) + np.clip(slope, 0.02, 0.5) * texture + 0.15 * color + 4)
    high_p, high_b = luma_p - cv2.GaussianBlur(luma_p, (0, 0), 4), luma_b - cv2.GaussianBlur(luma_b, (0, 0), 4)
    bad = np.zeros(valid.shape, np.bool_)
    bad[valid] = z > _BAD
    changed = _pixels_of(bad, pair.mask.shape) & pair.mask
    rest_mask = pair.mask & ~changed
    energy = high_b**2
    noise, noise_correlation = _compare_noise(compute_luma(toned), luma_b, valid, pair.mask)
    return Difference(
        residual=float(np.partition(z, -3)[-3]),
        correlation=_correlate(high_p[pair.mask], high_b[pair.mask]),
        area=float((z > _BAD).mean()),
        energy=float(energy[changed].sum() / max(float(energy[pair.mask].sum()), 1e-6)),
        rest=_correlate(high_p[rest_mask], high_b[rest_mask]),
        detail=float(high_b[rest_mask].std()) if rest_mask.any() else 0.0,
        noise=noise,
        noise_correlation=noise_correlation,
        opacity=_compare_opacities(pair, valid),
        changed=changed,
        prediction=predicted,
    )


def _compare_opacities(pair: AlignedPair, valid: Mask) -> float:
    if pair.opacities is None:
        return 0.0
    a, b = (cv2.GaussianBlur(opacity, (0, 0), 1) for opacity in pair.opacities)
    return float(np.partition(_block_means(np.abs(a - b))[valid], -3)[-3])


def _block_means(values: Floats) -> Floats:
    """Return the means of the blocks of `_BLOCK` pixels at every `_STRIDE` pixels."""
    means: Floats = cv2.boxFilter(np.ascontiguousarray(values, dtype=np.float32), -1, (_BLOCK, _BLOCK), anchor=(0, 0))
    return means[: values.shape[0] - _BLOCK + 1 : _STRIDE, : values.shape[1] - _BLOCK + 1 : _STRIDE]


def _pixels_of(blocks: Mask, shape: tuple[int, ...]) -> Mask:
    """Return the pixels (H, W) that lie in any of the blocks."""
    corners = np.zeros(shape, np.uint8)
    corners[: blocks.shape[0] * _STRIDE : _STRIDE, : blocks.shape[1] * _STRIDE : _STRIDE] = blocks
    dilated = cv2.dilate(corners, np.ones((_BLOCK, _BLOCK), np.uint8), anchor=(_BLOCK - 1, _BLOCK - 1))
    return np.asarray(dilated, dtype=np.bool_)


def _gradient(luma: Floats) -> Floats:
    """Return the squared gradient of luma."""
    across, down = cv2.Sobel(luma, -1, 1, 0, scale=0.125), cv2.Sobel(luma, -1, 0, 1, scale=0.125)
    return np.asarray(across**2 + down**2, dtype=np.float32)


def _color_texture(first: Floats, luma_first: Floats, second: Floats, luma_second: Floats) -> Floats:
    """Return the smaller of the squared gradients of the color differences of two images."""
    gradients: list[Floats] = []
    for rgb, luma in ((first, luma_first), (second, luma_second)):
        blurred = [cv2.GaussianBlur(rgb[..., channel] - luma, (0, 0), 1.5) for channel in (0, 2)]
        gradients.append(_gradient(blurred[0]) + _gradient(blurred[1]))
    return np.asarray(np.minimum(gradients[0], gradients[1]), dtype=np.float32)


def _compare_noise(luma_a: Floats, luma_b: Floats, valid: Mask, mask: Mask) -> tuple[tuple[float, float], float]:
    """Return the noise of both images in the blocks that are flattest after a blur, and its correlation."""
    smooth = np.minimum(*(_gradient(cv2.GaussianBlur(luma, (0, 0), 2)) for luma in (luma_a, luma_b)), dtype=np.float32)
    texture = _block_means(smooth)
    flat = valid & (texture <= np.quantile(texture[valid], _FLAT_SHARE))
    chosen = _pixels_of(flat, mask.shape) & mask & (luma_b > 8) & (luma_b < 247)
    if chosen.sum() < 100:
        return (0.0, 0.0), 1.0
    a, b = ((luma - cv2.GaussianBlur(luma, (0, 0), 1.5))[chosen] for luma in (luma_a, luma_b))
    noise = 1.4826 * float(np.median(np.abs(a))), 1.4826 * float(np.median(np.abs(b)))
    return noise, _correlate(a, b)


def _correlate(first: Floats, second: Floats) -> float:
    if first.size < 2:
        return 1.0
    a, b = first - first.mean(), second - second.mean()
    strength = float(np.sqrt(np.dot(a, a) * np.dot(b, b)))
    return float(np.dot(a, b)) / strength if strength > 1e-6 else 1.0
