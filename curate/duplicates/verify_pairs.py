"""Find and verify pairs of duplicates: hashes of transformed views propose pairs, a comparison of pixels decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fototeca.curate.duplicates.hamming_search import HammingPairs, iter_near_pairs
from fototeca.curate.duplicates.pixel_similarity import average_cells, correlate, shift_box
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.transforms import FULL, SIDE, Box, compute_luma, find_content_box
from fototeca.curate.duplicates.view_hashes import HASH_COLUMNS, KINDS, View, ViewHashes
from fototeca.curate.union_find import Indices

MIN_LUMA_CORRELATION = 0.94
"""Correlation of luma that a proposed pair needs to be verified."""
MIN_COLOR_CORRELATION = 0.7
"""Correlation of color that a proposed pair needs to be verified."""
WHOLE_COLOR_CORRELATION = 0.3
"""The same where both images are compared as they are: the comparison at native detail follows."""
FLAT = "flat"
"""Reason of a pair of low-information images that are nearly equal."""
LOOSE_LUMA_CORRELATION = 0.85
"""Correlation of luma that a member of a group needs with the center of the group."""
_MIN_SEARCH_CORRELATION = 0.5
"""Correlation at the nearest fixed window above which the position of a crop is searched."""

_CHUNK = 1024


@dataclass(frozen=True)
class DuplicatePair:
    """Two images, by index, that are alike at small size: by which view, and how many bits their hashes differ in.

    `similarity`: correlation of luma. The view cuts `box` of `a` and turns it by `TURNS[turn]`. `is_reversed`: a is of the
    base and b of the queries.
    """

    a: int
    b: int
    reason: str
    distance: int
    similarity: float
    box: Box = FULL
    turn: int = 0
    is_reversed: bool = False


IsConnected = Callable[[Indices, Indices], NDArray[np.bool_]]
"""Returns for M pairs, given as indices (M,) and (M,) or (1,), which are connected already and need no check."""


def _none_connected(a: Indices, b: Indices) -> NDArray[np.bool_]:
    return np.zeros(max(len(a), len(b)), np.bool_)


def find_duplicate_pairs(
    queries: ViewHashes, base: ViewHashes, threshold: int, is_connected: IsConnected = _none_connected
) -> Iterator[DuplicatePair]:
    """Yield verified pairs of a view of `queries` (index a) with an image of `base` (index b).

    `threshold`: bits in which hashes may differ. Images with equal pixels are not paired. Low-information images are left out:
    see `find_flat_pairs`.
    """
    for column, (view, kind) in enumerate(HASH_COLUMNS):
        whole = KINDS.index(kind)
        rows, columns = np.flatnonzero(queries.present[:, column]), np.flatnonzero(base.present[:, whole])

        def is_settled(first: Indices, second: Indices, rows: Indices = rows, columns: Indices = columns) -> bool:
            left, right = rows[first], columns[second]
            return bool(is_connected(left, right[:1]).all() and is_connected(left[:1], right).all())

        near_pairs = iter_near_pairs(queries.hashes[rows, column], base.hashes[columns, whole], threshold, is_settled)
        for first, second, bits in near_pairs:
            yield from _verify(queries.images, base.images, view, (rows[first], columns[second], bits), is_connected)


def find_flat_pairs(hashes: ViewHashes, new: Sequence[int]) -> Iterator[DuplicatePair]:
    """Yield pairs of a new low-information image with another whose pixels are nearly equal.

    Only as many pairs are yielded as connect all images that are nearly equal.
    """
    indices = np.flatnonzero(~hashes.present[:, 0])
    if not len(indices):
        return
    values = hashes.images.thumbnails[indices]
    coarse = values.reshape(len(values), 4, SIDE // 4, 4, SIDE // 4, 3).mean(axis=(2, 4)).reshape(len(values), -1)
    means = coarse.mean(axis=1)
    order = np.argsort(means, kind="stable")
    lows = np.searchsorted(means[order], means - 1, side="left")
    highs = np.searchsorted(means[order], means + 1, side="right")
    sets = np.arange(len(indices))
    for place in np.flatnonzero(np.isin(indices, new)):
        rest = order[lows[place] : highs[place]]
        rest = rest[sets[rest] != sets[place]]
        rest = rest[np.abs(coarse[rest] - coarse[place]).max(axis=1) <= _FLAT_LEVELS]
        for start in range(0, len(rest), _CHUNK):
            part = rest[start : start + _CHUNK]
            for match in part[_equal_flat(values[part], values[place])]:
                yield DuplicatePair(int(indices[place]), int(indices[match]), FLAT, 0, 1.0)
                sets[sets == sets[match]] = sets[place]


_FLAT_LEVELS = 4
"""Largest difference of a pixel in the thumbnails of two nearly equal flat images, in gray levels."""


def compare_pairs(hashes: ViewHashes, pairs: Sequence[tuple[int, int]]) -> list[list[DuplicatePair]]:
    """Return for each pair the views under which it is most similar, the best of each turn, the most similar turn first.

    Both directions are tried, so a and b may be swapped. Pairs that are not even loosely similar have no view. A flat image
    matches other flat images only.
    """
    found: list[dict[int, DuplicatePair]] = [{} for _ in pairs]
    place = {pair: number for number, pair in enumerate(pairs)}
    for match in _flat_pairs(hashes, pairs):
        found[place[match.a, match.b]][0] = match
    for column, (view, kind) in enumerate(HASH_COLUMNS):
        for forward in (True, False) if kind == "dct" else ():
            directed = [pair if forward else pair[::-1] for pair in pairs]
            valid = [pair for pair in directed if hashes.present[pair[0], column] and hashes.present[pair[1], 0]]
            a, b = np.array(valid, np.int64).reshape(-1, 2).T
            proposed = (a, b, np.zeros(len(a), np.uint8))
            for match in _verify(hashes.images, hashes.images, view, proposed, _none_connected, LOOSE_LUMA_CORRELATION):
                best = found[place[(match.a, match.b) if forward else (match.b, match.a)]]
                if match.turn not in best or match.similarity > best[match.turn].similarity + _MARGIN:
                    bits = (int(hashes.hashes[match.a, column]) ^ int(hashes.hashes[match.b, 0])).bit_count()
                    best[match.turn] = replace(match, distance=bits)
    return [sorted(best.values(), key=lambda match: -match.similarity + _MARGIN * bool(match.turn)) for best in found]


_MARGIN = 0.005
"""Margin of similarity by which a later view must win to be preferred."""


def _flat_pairs(hashes: ViewHashes, pairs: Sequence[tuple[int, int]]) -> Iterator[DuplicatePair]:
    thumbnails = hashes.images.thumbnails
    for a, b in pairs:
        if not hashes.present[a, 0] and not hashes.present[b, 0] and _equal_flat(thumbnails[[a]], thumbnails[b])[0]:
            yield DuplicatePair(a, b, FLAT, 0, 1.0)


def _equal_flat(thumbnails: NDArray[np.integer], reference: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which thumbnails (N, SIDE, SIDE, 3) are nearly equal to the reference."""
    differences = np.abs(thumbnails.astype(np.int16) - reference.astype(np.int16))
    equal: NDArray[np.bool_] = differences.max(axis=(1, 2, 3)) <= _FLAT_LEVELS
    return equal


def _verify(
    queries: Signatures,
    base: Signatures,
    view: View,
    proposed: HammingPairs,
    is_connected: IsConnected,
    min_luma: float = MIN_LUMA_CORRELATION,
) -> Iterator[DuplicatePair]:
    """Yield the proposed pairs that pixels confirm, without those connected already and those with equal pixels."""
    pending = ~is_connected(proposed[0], proposed[1])
    a, b, bits = proposed[0][pending], proposed[1][pending], proposed[2][pending]
    for start in range(0, len(a), _CHUNK):
        part = slice(start, start + _CHUNK)
        pending = ~is_connected(a[part], b[part])
        pairs = zip(a[part][pending].tolist(), b[part][pending].tolist(), bits[part][pending].tolist(), strict=True)
        if distinct := [pair for pair in pairs if queries.digests[pair[0]] != base.digests[pair[1]]]:
            yield from _compare_views(queries, base, view, distinct, min_luma)


def _compare_views(
    queries: Signatures, base: Signatures, view: View, pairs: list[tuple[int, int, int]], min_luma: float
) -> Iterator[DuplicatePair]:
    """Yield the pairs (a, b, bits) whose thumbnails correlate when a is transformed as the view states."""
    targets = average_cells(base.thumbnails[[pair[1] for pair in pairs]])
    thumbnails = queries.thumbnails[[pair[0] for pair in pairs]]
    if view.box is None:
        views = np.concatenate([average_cells(thumbnails[[n]], _border_box(thumbnails[[n]])) for n in range(len(pairs))])
    else:
        views = average_cells(thumbnails, view.box, view.turn)
    similarity = correlate(views, targets)
    whole = view.box == FULL and not view.turn
    matches = similarity.reaches(min_luma, WHOLE_COLOR_CORRELATION if whole else MIN_COLOR_CORRELATION)
    for place, (a, b, bits) in enumerate(pairs):
        luma, box = float(similarity.luma[place]), view.box or _border_box(thumbnails[[place]])
        is_match = bool(matches[place])
        if view.name == "cropped" and not is_match and luma >= _MIN_SEARCH_CORRELATION:
            is_match, luma, box = _search_crop(thumbnails[[place]], targets[[place]], box, min_luma)
        if is_match:
            yield DuplicatePair(a, b, view.name, bits, luma, box, view.turn)


def _border_box(thumbnail: NDArray[np.uint8]) -> Box:
    """Return the part of an image (1, SIDE, SIDE, 3) within its border."""
    box = find_content_box(compute_luma(thumbnail)[0])
    assert box is not None, "only images with a border have this view"
    return box


def _search_crop(thumbnail: NDArray[np.uint8], target: NDArray[np.float32], box: Box, min_luma: float) -> tuple[bool, float, Box]:
    """Search the position of a crop around `box` in two steps.

    Returns whether it matches, its best correlation of luma, and where.
    """
    best, best_box, is_match = -1.0, box, False
    for step in (0.025, 0.0125):
        for candidate in list(shift_box(best_box, step)):
            similarity = correlate(average_cells(thumbnail, candidate), target)
            if similarity.luma[0] > best:
                best, best_box = float(similarity.luma[0]), candidate
                is_match = bool(similarity.reaches(min_luma, MIN_COLOR_CORRELATION)[0])
    return is_match, best, best_box
