"""All pairs of 64-bit hashes within a Hamming distance, none missed, without comparing all with all.

Hashes are cut into bands. Two hashes that differ in at most `threshold` bits differ, in some band, in no more bits than
that band's radius, if the radii, each with one added, add up to more than the threshold (the pigeonhole principle; Norouzi,
Punjani and Fleet 2014, "Fast exact search in Hamming space with multi-index hashing"). So each query looks only into the
buckets of its bands' near values. A pair is taken in the first band that finds it, so none comes twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]
Pairs = tuple[Indices, Indices, NDArray[np.uint8]]
"""Indices of queries, indices of the base, bits in which they differ."""

MAX_THRESHOLD = 31
_BRUTE = 40_000_000
"""Up to so many comparisons, comparing all with all is quicker than building an index (and compiling its code)."""
_BLOCK = 4_000_000
_PART = 1 << 16
_CHUNK = 1 << 11
_BAND = 16
_BANDS = 64 // _BAND


def near(queries: Hashes, base: Hashes, threshold: int) -> Pairs:
    """All pairs (query, base) that differ in at most `threshold` bits, in no stated order.

    queries: (M,), base: (N,) of uint64. A distance of 0 counts, so a query that is in the base finds itself.
    ValueError unless 0 <= threshold <= 31.
    """
    _check(threshold)
    if len(queries) * len(base) <= _BRUTE:
        return _brute(queries, base, threshold)
    return _banded(queries, base, threshold)


def near_in_parts(queries: Hashes, base: Hashes, threshold: int, settled: Callable[[Indices, Indices], bool]) -> Iterator[Pairs]:
    """The pairs of `near` in parts, so that thousands of equal hashes (a film, a camera that does not move) fill no memory.

    Equal hashes are searched once. `settled` is asked, before a part is made, of the indices of two crowds whose hashes are
    equal within each: where their pairs are of no interest any more, the rest of them is passed over.
    """
    asked, crowds = _crowds(queries)
    known, others = _crowds(base)
    first, second, bits = near(asked, known, threshold)
    widths = others.sizes[second]
    ends = np.cumsum(crowds.sizes[first] * widths)
    at, last = 0, int(ends[-1]) if len(ends) else 0
    while at < last:
        pair = int(np.searchsorted(ends, at, side="right"))
        if ends[pair] - at > _PART and settled(crowds.members(first[pair]), others.members(second[pair])):
            at = int(ends[pair])
            continue
        flat = np.arange(at, min(at + _PART, last))
        pairs = np.searchsorted(ends, flat, side="right")
        row, column = np.divmod(flat - ends[pairs] + crowds.sizes[first[pairs]] * widths[pairs], widths[pairs])
        yield crowds.order[crowds.starts[first[pairs]] + row], others.order[others.starts[second[pairs]] + column], bits[pairs]
        at += len(flat)


@dataclass(frozen=True)
class _Crowds:
    """Which indices share each of the distinct hashes."""

    order: Indices
    starts: Indices
    sizes: Indices

    def members(self, crowd: int) -> Indices:
        return self.order[self.starts[crowd] : self.starts[crowd] + self.sizes[crowd]]


def _crowds(hashes: Hashes) -> tuple[Hashes, _Crowds]:
    distinct, inverse, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    return distinct, _Crowds(np.argsort(inverse, kind="stable"), np.cumsum(sizes) - sizes, sizes)


def _check(threshold: int) -> None:
    if not 0 <= threshold <= MAX_THRESHOLD:
        raise ValueError(f"the threshold must lie between 0 and {MAX_THRESHOLD} bits, not {threshold}")


def _brute(queries: Hashes, base: Hashes, threshold: int) -> Pairs:
    rows = max(1, _BLOCK // max(1, len(base)))
    parts = []
    for start in range(0, len(queries), rows):
        bits = np.bitwise_count(queries[start : start + rows, None] ^ base[None, :])
        query, found = np.nonzero(bits <= threshold)
        parts.append((query + start, found, bits[query, found]))
    return _joined(parts)


def _joined(parts: list[Pairs]) -> Pairs:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]


def _radii(threshold: int) -> NDArray[np.int64]:
    """The smallest radii, as even as can be, that miss nothing; -1 for a band that need not be looked into."""
    spare = threshold + 1
    return np.array([spare // _BANDS + (band < spare % _BANDS) - 1 for band in range(_BANDS)], dtype=np.int64)


def _banded(queries: Hashes, base: Hashes, threshold: int) -> Pairs:
    """Queries and base are sorted by each band's value, so that near buckets are compared bucket against bucket."""
    from fototeca.curate.duplicates.hamming_kernel import join_buckets

    radii = _radii(threshold)
    threads = cpu_count() or 1
    values = [range(start, start + _CHUNK) for start in range(0, 1 << _BAND, _CHUNK)]
    asked, dealt = _deal(queries), _deal(base)
    parts: list[Pairs] = []
    with ThreadPoolExecutor(threads) as pool:
        for band in range(_BANDS):
            rest = (_buckets(asked, band), _buckets(dealt, band), band, _masks(int(radii[band])), radii, threshold)
            parts += pool.map(lambda chunk, r=rest: join_buckets(chunk, *r), values)
    return _joined(parts)


def _deal(hashes: Hashes) -> Hashes:
    """Deal the bits out to the bands like cards: neighbouring bits of a hash are alike, and would crowd few buckets."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    dealt = bits.reshape(-1, _BAND, _BANDS).swapaxes(1, 2).reshape(-1, 64)
    return np.packbits(dealt, axis=1).view(">u8").astype(np.uint64)[:, 0]


def _buckets(dealt: Hashes, band: int) -> tuple[Hashes, NDArray[np.int32], NDArray[np.int32]]:
    """The hashes sorted by one band's value, their indices, and where each value's bucket begins (65,537)."""
    values = ((dealt >> np.uint64(64 - _BAND * (band + 1))) & np.uint64((1 << _BAND) - 1)).astype(np.uint16)
    order = np.argsort(values, kind="stable").astype(np.int32)
    counts = np.bincount(values, minlength=1 << _BAND)
    return dealt[order], order, np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _masks(radius: int) -> NDArray[np.uint16]:
    """All 16-bit values with at most `radius` bits set."""
    values = np.arange(1 << _BAND, dtype=np.uint16)
    return values[np.bitwise_count(values) <= radius]
