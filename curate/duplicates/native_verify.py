"""Decide how two images that look alike at small size are tied, by comparing them at native detail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import cpu_count

import cv2
import numpy as np
from numpy.typing import NDArray

from fototeca.curate.duplicates.native_align import AlignedPair, align, compute_luma, cut_view, is_richer
from fototeca.curate.duplicates.native_compare import MIN_NOISE, Difference, compare
from fototeca.curate.duplicates.native_pixels import PixelCache
from fototeca.curate.duplicates.verdict import ALTERED, COPY, NONE, OVERLAY, RESHOT, TURNED, UNVERIFIED, Verdict
from fototeca.curate.duplicates.verify_pairs import FLAT, MIN_LUMA_CORRELATION, DuplicatePair
from fototeca.vision.threads import image_threads

VERSION = 1
"""Raised when verdicts change; cached ones are then discarded."""

DEFAULT_SIMILARITY = 0.8
"""Minimum similarity of a copy, 0.5 to 1: the least correlation of fine detail; see `max_residual` for the unexplained part."""

MIN_SIMILARITY = 0.5

_RESIDUAL_AT_DEFAULT = 12.0
_MAX_NOISE_CORRELATION = 0.2
_MIN_REST, _MAX_ENERGY, _MAX_AREA = 0.85, 0.30, 0.15
_MAX_OPACITY = 24.0
_DOUBT = 4.0
_PLAIN_DETAIL = 3.0
_FLAT_DIFFERENCE = 6.0

_STRENGTH = {COPY: 0, TURNED: 0, RESHOT: 1, OVERLAY: 2, ALTERED: 3, UNVERIFIED: 4, NONE: 5}

Views = Sequence[DuplicatePair]
"""Proposals of one pair by different views, the most similar first; `a` and `b` are the same or swapped."""


@dataclass(frozen=True)
class JudgedPair:
    """A pair with the view by which it was compared, and the verdict."""

    pair: DuplicatePair
    verdict: Verdict


def max_residual(similarity: float) -> float:
    """Return the largest unexplained part of a block that a copy may have: 12 at 0.8, 6 at 0.9, 0 at 1."""
    return _RESIDUAL_AT_DEFAULT * (1 - similarity) / (1 - DEFAULT_SIMILARITY)


class Judge:
    """Compares pairs of two sets of images, given as indices."""

    def __init__(self, queries: PixelCache, base: PixelCache, similarity: float = DEFAULT_SIMILARITY) -> None:
        self._queries, self._base, self._similarity = queries, base, similarity

    def judge(self, pairs: Sequence[Views]) -> list[JudgedPair]:
        """Return the verdict on each pair, by several threads."""
        with _one_thread_each(), image_threads(cpu_count() or 1) as pool:
            return list(pool.map(self._judge_views, pairs))

    def _judge_views(self, views: Views) -> JudgedPair:
        """Return the strongest verdict over the views; further views are tried until one says copy."""
        best = None
        for pair in views:
            if best is not None and pair.similarity < MIN_LUMA_CORRELATION:
                break
            judged = JudgedPair(pair, self._judge_view(pair))
            if best is None or _STRENGTH[judged.verdict.kind] < _STRENGTH[best.verdict.kind]:
                best = judged
            if not _STRENGTH[best.verdict.kind]:
                break
        assert best is not None, "a pair has a view"
        return best

    def _judge_view(self, pair: DuplicatePair) -> Verdict:
        sources = (self._base, self._queries) if pair.is_reversed else (self._queries, self._base)
        first, second = sources[0].read(pair.a), sources[1].read(pair.b)
        unknown = Verdict(UNVERIFIED if pair.similarity >= MIN_LUMA_CORRELATION else NONE)
        if first is None or second is None:
            return unknown
        if pair.reason == FLAT:
            return _judge_flat(first, second)
        view = cut_view(first, pair.box, pair.turn)
        verdict = self._judge_pixels(view, second, unknown)
        return replace(verdict, kind=TURNED) if verdict.kind == COPY and pair.turn else verdict

    def _judge_pixels(self, first: NDArray[np.uint8], second: NDArray[np.uint8], unknown: Verdict) -> Verdict:
        """Predict the more saturated or blurrier image from the other, and the other way where that leaves doubt.

        `unknown`: the verdict where the images cannot be aligned.
        """
        aligned = align(first, second)
        if aligned is None or is_richer(aligned.b, aligned.a):
            first, second = second, first
            aligned = align(first, second) or aligned
        if aligned is None:
            return unknown
        difference = compare(aligned)
        if difference is None:  # too few blocks: the comparison of cells stands
            return replace(unknown, kind=COPY if unknown.kind == UNVERIFIED else NONE)
        limit = max_residual(self._similarity)
        if not self._is_copy(difference) and difference.residual <= _DOUBT * limit:
            reverse = align(second, first)
            other = compare(reverse) if reverse else None
            if reverse and other and other.residual < difference.residual:
                aligned, difference = reverse, other
        return self._classify(aligned, difference)

    def _is_copy(self, difference: Difference) -> bool:
        is_explained = difference.residual <= max_residual(self._similarity)
        return is_explained and difference.correlation >= self._similarity and difference.opacity <= _MAX_OPACITY

    def _classify(self, pair: AlignedPair, difference: Difference) -> Verdict:
        d = difference
        if self._is_copy(d):
            is_reshot = min(d.noise) >= MIN_NOISE and d.noise_correlation < _MAX_NOISE_CORRELATION
            return Verdict(RESHOT if is_reshot else COPY, d.correlation, d.residual)
        is_plain = d.detail < _PLAIN_DETAIL  # fine detail is noise, whose correlation means nothing
        if is_plain and d.residual <= max_residual(self._similarity) and d.opacity <= _MAX_OPACITY:
            return Verdict(RESHOT, d.correlation, d.residual)
        agrees = is_plain or (d.rest >= _MIN_REST and d.energy <= _MAX_ENERGY)
        if not agrees or d.area > _MAX_AREA:
            return Verdict(NONE, d.correlation, d.residual)
        is_overlay = d.opacity <= _MAX_OPACITY and _is_translucent(pair, d)
        return Verdict(OVERLAY if is_overlay else ALTERED, d.correlation, d.residual)


def _is_translucent(pair: AlignedPair, difference: Difference) -> bool:
    """Return True if the changed pixels lie under a layer that lets the prediction shine through."""
    predicted, actual = compute_luma(difference.prediction), compute_luma(pair.b)
    change = cv2.GaussianBlur(actual - predicted, (0, 0), 1)
    changed = difference.changed & (np.abs(change) > 6)
    if changed.sum() < 200:
        return False
    below, above, sign = predicted[changed], actual[changed], change[changed] > 0
    if max(sign.mean(), 1 - sign.mean()) < 0.9 or below.std() < 1 or above.std() < 1:
        return False
    correlation = float(np.corrcoef(below, above)[0, 1])
    slope = correlation * float(above.std() / below.std())
    return correlation >= 0.5 and 0.3 <= slope <= 1.3


def _judge_flat(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Verdict:
    """Compare two images of nearly one color, which have no detail to align; a mark on one of them makes it altered."""
    size = min(first.shape[1], second.shape[1]), min(first.shape[0], second.shape[0])
    a, b = (cv2.resize(pixels[..., :3], size, interpolation=cv2.INTER_AREA).astype(np.float32) for pixels in (first, second))
    difference = cv2.GaussianBlur(b - a, (0, 0), 1.5)
    difference -= np.median(difference, axis=(0, 1))
    noise = 1.4826 * float(np.median(np.abs(difference)))
    is_marked = float(np.sort(np.abs(difference).max(axis=2), axis=None)[-4:].min(initial=255)) > _FLAT_DIFFERENCE + 8 * noise
    return Verdict(ALTERED if is_marked else COPY, 1.0)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let OpenCV use the calling thread only: the pairs are compared by several."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
