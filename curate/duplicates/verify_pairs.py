"""Verified pairs of copies: proposed by hashes of one image's views, decided by pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fototeca.curate.duplicates.hamming_search import Indices, Pairs, near_in_parts
from fototeca.curate.duplicates.pixel_similarity import cells, compare, shifted
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.transforms import SIDE, Box, greys, trimmed
from fototeca.curate.duplicates.view_hashes import COLUMNS, KINDS, View, ViewHashes

GREY = 0.94
"""Correlation of luminance that makes a proposed pair a verified one."""
COLOUR = 0.7
"""The same of colour."""
LOOSE_GREY = 0.85
"""What two members of one group must still reach, however the group was joined."""
_HOPEFUL = 0.5
"""A cut's place is searched only where the nearest of the fixed places is already this good."""

_CHUNK = 1024


@dataclass(frozen=True)
class DuplicatePair:
    """Two images (by their index) found to be one: how, and in how many bits their hashes differ."""

    a: int
    b: int
    reason: str
    distance: int
    likeness: float


Joined = Callable[[Indices, Indices], NDArray[np.bool_]]
"""Says of M pairs, given as indices (M,) and (M,), or one of them (1,), which need no check any more."""


def _none_joined(a: Indices, b: Indices) -> NDArray[np.bool_]:
    return np.zeros(max(len(a), len(b)), np.bool_)


def find_copies(asked: ViewHashes, base: ViewHashes, threshold: int, joined: Joined = _none_joined) -> Iterator[DuplicatePair]:
    """Verified pairs of a view of `asked` (index a) with an image of `base` (index b).

    Where both have an image of the same pixels, it is not paired with itself. Low-information images are left out: see
    `find_flat`.
    """
    for column, (view, kind) in enumerate(COLUMNS):
        whole = KINDS.index(kind)
        indices, alive = np.flatnonzero(asked.there[:, column]), np.flatnonzero(base.there[:, whole])

        def settled(queries: Indices, others: Indices, indices: Indices = indices, alive: Indices = alive) -> bool:
            ours, theirs = indices[queries], alive[others]
            return bool(joined(ours, theirs[:1]).all() and joined(ours[:1], theirs).all())

        for queries, others, bits in near_in_parts(asked.hashes[indices, column], base.hashes[alive, whole], threshold, settled):
            proposed = indices[queries], alive[others], bits
            yield from _verified(asked.images, base.images, view, proposed, joined)


def find_flat(looked: ViewHashes, new: Sequence[int]) -> Iterator[DuplicatePair]:
    """Pairs of a new low-information image with any other whose pixels are all but equal: enough of them to tie together all
    that are."""
    indices = np.flatnonzero(~looked.there[:, 0])
    if not len(indices):
        return
    values = looked.images.thumbnails[indices]
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
            for other in part[_as_flat(values[part], values[place])]:
                yield DuplicatePair(int(indices[place]), int(indices[other]), "flat", 0, 1.0)
                sets[sets == sets[other]] = sets[place]


_FLAT_LEVELS = 4
"""No pixel of two flat images' thumbnails may differ by more grey levels."""


def best_likeness(looked: ViewHashes, pairs: Sequence[tuple[int, int]]) -> list[DuplicatePair]:
    """How each pair is best seen as copies, whichever is the view of which; pairs that are not even loosely alike left out.

    A flat image is like another flat one or like none.
    """
    found = {(copy.a, copy.b): copy for copy in _flat_pairs(looked, pairs)}
    for column, (view, kind) in enumerate(COLUMNS):
        for forward in (True, False) if kind == "dct" else ():
            turned = [pair if forward else pair[::-1] for pair in pairs]
            there = [pair for pair in turned if looked.there[pair[0], column] and looked.there[pair[1], 0]]
            a, b = np.array(there, np.int64).reshape(-1, 2).T
            for copy in _verified(
                looked.images, looked.images, view, (a, b, np.zeros(len(a), np.uint8)), _none_joined, LOOSE_GREY
            ):
                pair = (copy.a, copy.b) if forward else (copy.b, copy.a)
                if pair not in found or copy.likeness > found[pair].likeness + 0.005:
                    bits = (int(looked.hashes[copy.a, column]) ^ int(looked.hashes[copy.b, 0])).bit_count()
                    found[pair] = DuplicatePair(*pair, copy.reason, bits, copy.likeness)
    return list(found.values())


def _flat_pairs(looked: ViewHashes, pairs: Sequence[tuple[int, int]]) -> Iterator[DuplicatePair]:
    thumbnails = looked.images.thumbnails
    for a, b in pairs:
        if not looked.there[a, 0] and not looked.there[b, 0] and _as_flat(thumbnails[[a]], thumbnails[b])[0]:
            yield DuplicatePair(a, b, "flat", 0, 1.0)


def _as_flat(many: NDArray[np.integer], one: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which of many thumbnails are all but equal to one."""
    alike: NDArray[np.bool_] = np.abs(many.astype(np.int16) - one.astype(np.int16)).max(axis=(1, 2, 3)) <= _FLAT_LEVELS
    return alike


def _verified(
    asked: Signatures, base: Signatures, view: View, proposed: Pairs, joined: Joined, grey: float = GREY
) -> Iterator[DuplicatePair]:
    unsettled = ~joined(proposed[0], proposed[1])
    a, b, bits = proposed[0][unsettled], proposed[1][unsettled], proposed[2][unsettled]
    for start in range(0, len(a), _CHUNK):
        part = slice(start, start + _CHUNK)
        open_ = ~joined(a[part], b[part])
        pairs = zip(a[part][open_].tolist(), b[part][open_].tolist(), bits[part][open_].tolist(), strict=True)
        if others := [pair for pair in pairs if asked.digests[pair[0]] != base.digests[pair[1]]]:
            yield from _checked(asked, base, view, others, grey)


def _checked(
    asked: Signatures, base: Signatures, view: View, part: list[tuple[int, int, int]], grey: float
) -> Iterator[DuplicatePair]:
    seen = base.thumbnails[[pair[1] for pair in part]]
    other = cells(seen)
    shown = asked.thumbnails[[pair[0] for pair in part]]
    if view.box is None:
        mine = np.concatenate([cells(shown[[place]], _within(shown[[place]])) for place in range(len(part))])
    else:
        mine = cells(shown, view.box, view.turn)
    result = compare(mine, other)
    same, likeness = result.same(grey, COLOUR), result.grey
    if view.name == "cropped" and view.box is not None:
        for place in np.flatnonzero(~same & (result.grey >= _HOPEFUL)):
            same[place], likeness[place] = _search_place(shown[[place]], other[[place]], view.box, grey)
    for place in np.flatnonzero(same):
        a, b, bits = part[place]
        yield DuplicatePair(a, b, view.name, bits, float(likeness[place]))


def _within(shown: NDArray[np.uint8]) -> Box:
    """The part of an image (1, SIDE, SIDE, 3) within its border."""
    box = trimmed(greys(shown)[0])
    assert box is not None, "only images with a border have this view"
    return box


def _search_place(shown: NDArray[np.uint8], other: NDArray[np.float32], box: Box, grey: float) -> tuple[bool, float]:
    """Move a cut about in two ever smaller steps; whether it fits somewhere, and how well."""
    best, best_box, fits = -1.0, box, False
    for step in (0.025, 0.0125):
        for tried in list(shifted(best_box, step)):
            result = compare(cells(shown, tried), other)
            if result.grey[0] > best:
                best, best_box, fits = float(result.grey[0]), tried, bool(result.same(grey, COLOUR)[0])
    return fits, best
