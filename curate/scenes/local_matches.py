"""Compare two photographs by local features that agree on one affine map: SIFT keypoints and RANSAC.

Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004; Arandjelović and Zisserman, "Three things everyone
should know to improve object retrieval", CVPR 2012 (square roots of normalized descriptors).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fototeca.core.workspace import Workspace
from fototeca.vision.feature_math import FloatArray
from fototeca.vision.image import DECODE_VERSION, DecodeError, decode_pixels
from fototeca.vision.store import RowStore
from fototeca.vision.threads import image_threads

KEYPOINTS = 300
"""Keypoints stored per image, the strongest first."""

SIDE = 320
"""Longest side, in pixels, at which keypoints are found."""

_DESCRIPTOR, _POSITION = 128, 4
_RATIO = 0.8
"""Largest ratio of the distances to the nearest and the second nearest descriptor."""

_REPROJECTION = 8.0
"""Largest distance, in pixels, of a match from the affine map."""

_THREADS = 2
_BATCH = 64

Keypoints = NDArray[np.uint8]
"""(KEYPOINTS, 132): a descriptor of 128 bytes and a position of two 16-bit numbers; rows of zeros where an image has fewer."""


class KeypointCache:
    """Keypoints of images in the workspace's cache, 40 KB per image, memory-mapped."""

    def __init__(self, workspace: Workspace) -> None:
        folder = workspace.cache / "keypoints" / f"sift-{SIDE}-d{DECODE_VERSION}"
        self._store = RowStore(folder, (KEYPOINTS, _DESCRIPTOR + _POSITION), np.uint8)

    def __getitem__(self, image_id: str) -> Keypoints:
        """Return the keypoints of an image. KeyError if `ensure` was not called for it."""
        return np.asarray(self._store[image_id], np.uint8)

    def ensure(self, items: Sequence[tuple[str, Path]]) -> None:
        """Find the keypoints of images that are not cached yet. An unreadable image has none."""
        if all(image_id in self._store for image_id, _ in items):
            return
        with self._store.writing(), image_threads(_THREADS) as pool:
            missing = [(image_id, path) for image_id, path in dict(items).items() if image_id not in self._store]
            with tqdm(total=len(missing), desc="finding keypoints", unit="img", disable=None) as bar:
                for start in range(0, len(missing), _BATCH):
                    part = missing[start : start + _BATCH]
                    self._store.append([image_id for image_id, _ in part], pool.map(_read_keypoints, [path for _, path in part]))
                    bar.update(len(part))


@cache
def _sift() -> cv2.SIFT:
    return cv2.SIFT.create(nfeatures=KEYPOINTS)


def _read_keypoints(path: Path) -> Keypoints:
    try:
        return find_keypoints(decode_pixels(path))
    except (DecodeError, OSError):
        return np.zeros((KEYPOINTS, _DESCRIPTOR + _POSITION), np.uint8)


def find_keypoints(pixels: NDArray[np.uint8]) -> Keypoints:
    """Return the strongest keypoints of an RGB image (H, W, 3)."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    gray = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    points, descriptors = _sift().detectAndCompute(gray, None)
    rows = np.zeros((KEYPOINTS, _DESCRIPTOR + _POSITION), np.uint8)
    if descriptors is not None and len(points):
        order = sorted(range(len(points)), key=lambda i: (-points[i].response, points[i].pt, points[i].angle))[:KEYPOINTS]
        rows[: len(order), :_DESCRIPTOR] = descriptors[order].astype(np.uint8)
        positions = np.array([points[i].pt for i in order], np.float32) * 64  # 1/64 pixel, at most 20,480
        rows[: len(order), _DESCRIPTOR:] = np.clip(positions, 0, 65535).astype("<u2").view(np.uint8).reshape(len(order), -1)
    return rows


def count_agreeing(first: Keypoints, second: Keypoints) -> int:
    """Return how many mutual matches of two images agree on one affine map; the result is deterministic."""
    a, b = _descriptors(first), _descriptors(second)
    if min(len(a), len(b)) < 8:
        return 0
    similarities = a @ b.T
    nearest = np.argpartition(-similarities, 1, axis=1)[:, :2]
    values = np.take_along_axis(similarities, nearest, axis=1)
    best = nearest[np.arange(len(a)), values.argmax(axis=1)]
    distances = 2 - 2 * np.sort(values, axis=1)
    distinct = distances[:, 1] < _RATIO**2 * distances[:, 0]
    mutual = similarities.argmax(axis=0)[best] == np.arange(len(a))
    chosen = distinct & mutual
    if chosen.sum() < 5:
        return 0
    _, agreeing = cv2.estimateAffine2D(
        _positions(first)[: len(a)][chosen],
        _positions(second)[best[chosen]],
        method=cv2.RANSAC,
        ransacReprojThreshold=_REPROJECTION,
        maxIters=500,
    )
    return 0 if agreeing is None else int(agreeing.sum())


def _descriptors(rows: Keypoints) -> FloatArray:
    """Return the square roots of the normalized descriptors, (K, 128), without the rows of zeros."""
    values = rows[:, :_DESCRIPTOR].astype(np.float32)
    sums = values.sum(axis=1, keepdims=True)
    return np.asarray(np.sqrt(values[sums[:, 0] > 0] / sums[sums[:, 0] > 0]), np.float32)


def _positions(rows: Keypoints) -> FloatArray:
    """Return the positions (KEYPOINTS, 2) in pixels."""
    return np.asarray(np.ascontiguousarray(rows[:, _DESCRIPTOR:]).view("<u2") / 64, np.float32)
