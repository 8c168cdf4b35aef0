"""Verified pairs of copies: proposed by hashes of one picture's views, decided by pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.likeness import cells, compare, flat, shifted
from curate.search import near
from curate.signatures import Signatures
from curate.views import FULL, WINDOWS, Box, dct_hashes, gradient_hashes, greys, trimmed

GREY = 0.94
"""Correlation of luminance that makes a proposed pair a verified one."""
COLOUR = 0.7
"""The same of colour."""
LOOSE_GREY = 0.85
"""What two members of one group must still reach, however the group was joined."""
_HOPEFUL = 0.5
"""A cut's place is searched only where the nearest of the fixed places is already this good."""

_CHUNK = 1024
_TURNED = ("near", "mirrored", "flipped", "rotated", "turned", "turned", "turned", "turned")
"""Names of `views.TURNS`."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class View:
    """One way to look at a picture: turned, without its border, or a window of it."""

    name: str
    turn: int = 0
    box: Box | None = FULL
    """None: within the picture's own plain border."""


VIEWS = (
    *(View(name, number) for number, name in enumerate(_TURNED)),
    View("bordered", box=None),
    *(View("cropped", box=window) for window in WINDOWS),
)


@dataclass(frozen=True)
class Copy:
    """Two pictures (by their index) found to be one: how, and in how many bits their hashes differ."""

    a: int
    b: int
    reason: str
    distance: int
    likeness: float


def find_copies(
    asked: Signatures, base: Signatures, threshold: int, joined: Callable[[int, int], bool] = lambda a, b: False
) -> Iterator[Copy]:
    """Verified pairs of a view of `asked` (index a) with a picture of `base` (index b).

    `asked` may be `base`: then a picture is not paired with itself. `joined(a, b)` says of a pair that it needs no check any
    more. Low-information pictures are left out: see `find_flat`.
    """
    base_alive = np.flatnonzero(~flat(base.thumbnails))
    asked_alive = base_alive if asked is base else np.flatnonzero(~flat(asked.thumbnails))
    hashes = tuple(_hashes(base, base_alive, View("near"), kind) for kind in ("dct", "gradient"))
    for view in VIEWS:
        indices, boxes = _boxes(asked, asked_alive, view)
        for kind, known in zip(("dct", "gradient"), hashes, strict=True):
            if kind == "gradient" and view.box != FULL:
                continue  # a cut moves every gradient; the cosine hash bears it better
            proposed, found, bits = near(_hashes(asked, indices, view, kind, boxes), known, threshold)
            pairs = [
                (int(indices[p]), int(base_alive[f]), int(n), boxes[p]) for p, f, n in zip(proposed, found, bits, strict=True)
            ]
            yield from _verified(asked, base, view, pairs, joined)


def find_flat(pictures: Signatures) -> Iterator[Copy]:
    """Pairs of low-information pictures whose pixels are all but equal."""
    indices = np.flatnonzero(flat(pictures.thumbnails))
    values = pictures.thumbnails[indices].astype(np.int16)
    means = values.mean(axis=(1, 2, 3))
    order = np.argsort(means, kind="stable")
    for place, index in enumerate(order):
        rest = order[place + 1 : np.searchsorted(means[order], means[index] + 1, side="right")]
        for other in rest[(np.abs(values[rest] - values[index]).max(axis=(1, 2, 3)) <= _FLAT_LEVELS)] if len(rest) else ():
            yield Copy(int(indices[index]), int(indices[other]), "flat", 0, 1.0)


_FLAT_LEVELS = 4
"""No pixel of two flat pictures' thumbnails may differ by more grey levels."""


def best_likeness(pictures: Signatures, centre: int, others: Sequence[int]) -> list[Copy]:
    """How each of `others` is best seen as a copy of `centre`, whichever is the view of which; loose ones left out."""
    found: dict[int, Copy] = {}
    for view in VIEWS:
        for forward in (True, False):
            pairs = [(centre, other) if forward else (other, centre) for other in others]
            indices, boxes = _boxes(pictures, np.array([pair[0] for pair in pairs], dtype=np.int64), view)
            places = dict(zip(indices.tolist(), boxes, strict=True))
            there = [(a, b, 0, places[a]) for a, b in pairs if a in places]
            for copy in _verified(pictures, pictures, view, there, lambda a, b: False, LOOSE_GREY):
                other = copy.b if forward else copy.a
                if other not in found or copy.likeness > found[other].likeness + 0.005:
                    found[other] = copy
    return [_with_bits(pictures, copy) for copy in found.values()]


def _with_bits(pictures: Signatures, copy: Copy) -> Copy:
    whole = View("near")
    first, second = (int(_hashes(pictures, np.array([index]), whole, "dct")[0]) for index in (copy.a, copy.b))
    return Copy(copy.a, copy.b, copy.reason, (first ^ second).bit_count(), copy.likeness)


def _boxes(pictures: Signatures, indices: NDArray[np.int64], view: View) -> tuple[NDArray[np.int64], list[Box]]:
    """The pictures that have the view, and where it lies in each."""
    if view.box is not None:
        return indices, [view.box] * len(indices)
    found = [(index, trimmed(grey)) for index in indices.tolist() for grey in greys(pictures.thumbnails[index : index + 1])]
    there = [(index, box) for index, box in found if box is not None]
    return np.array([index for index, _ in there], dtype=np.int64), [box for _, box in there]


def _hashes(pictures: Signatures, indices: NDArray[np.int64], view: View, kind: str, boxes: Sequence[Box] = ()) -> Hashes:
    """One hash of a view of each of some pictures."""
    make = dct_hashes if kind == "dct" else gradient_hashes
    turns = range(view.turn, view.turn + 1)
    if view.box is None:
        rows = [make(greys(pictures.thumbnails[[i]]), box, turns)[:, 0] for i, box in zip(indices, boxes, strict=True)]
    else:
        parts = [indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK)]
        rows = [make(greys(pictures.thumbnails[part]), view.box, turns)[:, 0] for part in parts]
    return np.concatenate(rows) if rows else np.empty(0, np.uint64)


Proposed = tuple[int, int, int, Box]


def _verified(
    asked: Signatures,
    base: Signatures,
    view: View,
    proposed: Sequence[Proposed],
    joined: Callable[[int, int], bool],
    grey: float = GREY,
) -> Iterator[Copy]:
    for start in range(0, len(proposed), _CHUNK):
        part = [
            pair
            for pair in proposed[start : start + _CHUNK]
            if (asked is not base or pair[0] != pair[1]) and not joined(*pair[:2])
        ]
        if part:
            yield from _checked(asked, base, view, part, grey)


def _checked(asked: Signatures, base: Signatures, view: View, part: list[Proposed], grey: float) -> Iterator[Copy]:
    seen = base.thumbnails[[pair[1] for pair in part]]
    other = cells(seen)
    shown = asked.thumbnails[[pair[0] for pair in part]]
    if view.box is None:
        mine = np.concatenate([cells(shown[[place]], pair[3]) for place, pair in enumerate(part)])
    else:
        mine = cells(shown, view.box, view.turn)
    result = compare(mine, other)
    same, likeness = result.same(grey, COLOUR), result.grey
    if view.name == "cropped":
        for place in np.flatnonzero(~same & (result.grey >= _HOPEFUL)):
            same[place], likeness[place] = _search_place(shown[[place]], other[[place]], part[place][3], grey)
    for place in np.flatnonzero(same):
        a, b, bits, _ = part[place]
        yield Copy(a, b, view.name, bits, float(likeness[place]))


def _search_place(shown: NDArray[np.uint8], other: NDArray[np.float32], box: Box, grey: float) -> tuple[bool, float]:
    """Move a cut about in two ever smaller steps; whether it fits somewhere, and how well."""
    best, best_box, fits = -1.0, box, False
    for step in (0.025, 0.0125):
        for tried in list(shifted(best_box, step)):
            result = compare(cells(shown, tried), other)
            if result.grey[0] > best:
                best, best_box, fits = float(result.grey[0]), tried, bool(result.same(grey, COLOUR)[0])
    return fits, best
