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
_TONE_RIDGE = 1e-5
_SATURATED_NEAR = 0.02
_SATURATED = 0.002
"""Share of channel values beyond 0 to 255 from which saturation before the filter is tried as well."""

_FILTER_SIDE = 7
_FILTER_PIXELS = 8000
_BLOCK, _STRIDE = 8, 4
_BAD = 12.0
_FLAT_SHARE = 0.4
MIN_NOISE = 0.5
"""Gray levels of noise below which the noise of two images cannot be compared."""

_SHARED_NOISE = 0.4
MIN_BLOCKS = 20
"""Blocks below which two images are too small to be compared."""


@dataclass(frozen=True)
class Difference:
    """Difference of an image from its prediction.

    `residual`: third largest of the blocks' unexplained parts. `correlation`: of image and prediction after a high-pass filter,
    or a band-pass filter where they share noise that compression reduced.
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
    differences = [_predict(toned, pair)]
    saturated = np.clip(toned, 0, 255)
    if float((saturated != toned)[pair.mask].mean()) > _SATURATED:
        differences.append(_predict(saturated, pair))
    return min((one for one in differences if one is not None), key=lambda one: one.residual, default=None)


def _predict(toned: Floats, pair: AlignedPair) -> Difference | None:
    """Return the difference after the filter. Saturation may come before it (bright, then compressed) or after it."""
    predicted = _match_filter(toned, pair)
    return None if predicted is None else _measure(np.clip(predicted, 0, 255), toned, pair)


def _match_tones(pair: AlignedPair) -> Floats:
    """Return the first image with the tones of the second: per channel a quadratic of the three channels."""
    rows, columns = np.nonzero(pair.mask[::_TONE_STEP, ::_TONE_STEP])
    small_a = cv2.GaussianBlur(pair.a, (0, 0), 2)[::_TONE_STEP, ::_TONE_STEP][rows, columns]
    small_b = cv2.GaussianBlur(pair.b, (0, 0), 2)[::_TONE_STEP, ::_TONE_STEP][rows, columns]
    design = _tone_terms(small_a).astype(np.float64)
    limits = [_saturated_near(side, rows, columns) for side in (pair.b >= 253, pair.b <= 2)]
    coefficients = [
        _fit_tone(design, small_b[:, channel].astype(np.float64), channel, limits[0][:, channel], limits[1][:, channel])
        for channel in range(3)
    ]
    flat = _tone_terms(pair.a.reshape(-1, 3)) @ np.stack(coefficients, axis=1).astype(np.float32)
    return np.ascontiguousarray(flat.reshape(pair.a.shape))


def _solve(matrix: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.solve(matrix, target), dtype=np.float64)


def _tone_terms(rgb: Floats) -> Floats:
    """Return r, g, b, their squares and 1, (N, 7), scaled to about 1."""
    scaled = rgb / np.float32(255)
    return np.concatenate([scaled, scaled**2, np.ones((len(scaled), 1), np.float32)], axis=1)


def _saturated_near(saturated: Mask, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Mask:
    """Return (N, 3): whether saturated pixels (H, W, 3) take part in the blurred value of each sample."""
    share: Floats = cv2.GaussianBlur(saturated.astype(np.float32), (0, 0), 2)[::_TONE_STEP, ::_TONE_STEP]
    return np.asarray(share[rows, columns] > _SATURATED_NEAR)


def _fit_tone(
    design: NDArray[np.float64], target: NDArray[np.float64], channel: int, high: Mask, low: Mask
) -> NDArray[np.float64]:
    """Return the coefficients (7,) of one channel by reweighted least squares.

    Samples (N,) near `high` or `low` saturation are lower or higher than their tone: they count only where the prediction does
    not lie beyond them, as in a tobit model.
    """
    identity: NDArray[np.float64] = np.zeros(7)
    identity[channel] = 255.0
    ridge = np.eye(7) * _TONE_RIDGE * len(design)
    weights: NDArray[np.float64] = np.ones(len(design))
    coefficients = identity
    for _ in range(6):
        weighted = design * weights[:, None]
        coefficients = _solve(weighted.T @ design + ridge, weighted.T @ target + ridge @ identity)
        predicted = design @ coefficients
        error = np.abs(target - predicted)
        scale = max(1.0, float(np.median(error)) * 1.4826)
        weights = 1 / (1 + (error / (2.5 * scale)) ** 2)
        weights[high & (predicted > target)] = 0
        weights[low & (predicted < target)] = 0
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
    noise, noise_correlation = _compare_noise((compute_luma(toned), luma_p), luma_b, valid, pair.mask)
    correlation = _correlate(high_p[pair.mask], high_b[pair.mask])
    if min(noise) >= MIN_NOISE and noise_correlation >= _SHARED_NOISE:
        band_p, band_b = (cv2.GaussianBlur(high, (0, 0), 1.5) for high in (high_p, high_b))
        correlation = max(correlation, _correlate(band_p[pair.mask], band_b[pair.mask]))
    return Difference(
        residual=float(np.partition(z, -3)[-3]),
        correlation=correlation,
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


def _compare_noise(lumas_a: tuple[Floats, Floats], luma_b: Floats, valid: Mask, mask: Mask) -> tuple[tuple[float, float], float]:
    """Return the noise of both images in the blocks that are flattest after a blur, and its correlation.

    `lumas_a`: the first image before and after the filter. A blur leaves noise that only the filtered image shares.
    """
    luma_a, filtered = lumas_a
    smooth = np.minimum(*(_gradient(cv2.GaussianBlur(luma, (0, 0), 2)) for luma in (luma_a, luma_b)), dtype=np.float32)
    texture = _block_means(smooth)
    flat = valid & (texture <= np.quantile(texture[valid], _FLAT_SHARE))
    chosen = _pixels_of(flat, mask.shape) & mask & (luma_b > 8) & (luma_b < 247)
    if chosen.sum() < 100:
        return (0.0, 0.0), 1.0
    a, f, b = ((luma - cv2.GaussianBlur(luma, (0, 0), 1.5))[chosen] for luma in (luma_a, filtered, luma_b))
    noise = 1.4826 * float(np.median(np.abs(a))), 1.4826 * float(np.median(np.abs(b)))
    return noise, max(_correlate(a, b), _correlate(f, b))


def _correlate(first: Floats, second: Floats) -> float:
    if first.size < 2:
        return 1.0
    a, b = first - first.mean(), second - second.mean()
    strength = float(np.sqrt(np.dot(a, a) * np.dot(b, b)))
    return float(np.dot(a, b)) / strength if strength > 1e-6 else 1.0
