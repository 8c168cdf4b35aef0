"""Exact search for all pairs of 64-bit hashes within a Hamming distance.

Hashes are divided into bands. If the radii of the bands, each plus one, sum to more than the threshold, two hashes within the
threshold differ in at least one band by no more than its radius (the pigeonhole principle; Norouzi, Punjani and Fleet, "Fast
Exact Search in Hamming Space with Multi-Index Hashing", 2014). Each query therefore searches only the buckets near its bands'
values. A pair counts in the first band that finds it, so no pair is returned twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import numpy as np
from numpy.typing import NDArray

from fototeca.curate.union_find import Indices

Hashes = NDArray[np.uint64]

HammingPairs = tuple[Indices, Indices, NDArray[np.uint8]]
"""Indices of queries, indices of the base, and the number of differing bits, (P,) each."""

MAX_THRESHOLD = 31
_BRUTE = 40_000_000
"""Number of comparisons up to which comparing all pairs is faster than building an index and compiling its code."""
_BLOCK = 4_000_000
_PART = 1 << 16
_CHUNK = 1 << 11
_BAND = 16
_BANDS = 64 // _BAND


def find_near_pairs(queries: Hashes, base: Hashes, threshold: int) -> HammingPairs:
    """Return all pairs (query, base) that differ in at most `threshold` bits, in no particular order.

    `queries`: (M,), `base`: (N,) of uint64. A distance of 0 counts, so a query that is in the base is paired with itself.

    Raises:
        ValueError: the threshold is not between 0 and 31.
    """
    _check(threshold)
    if len(queries) * len(base) <= _BRUTE:
        return _search_all(queries, base, threshold)
    return _search_bands(queries, base, threshold)


def iter_near_pairs(
    queries: Hashes, base: Hashes, threshold: int, is_settled: Callable[[Indices, Indices], bool]
) -> Iterator[HammingPairs]:
    """Yield the pairs of `find_near_pairs` in parts, so that thousands of equal hashes, as of video frames, fit in memory.

    Equal hashes are searched once. `is_settled` receives the indices of the queries and of the base that share two near hashes,
    before a part of their pairs is yielded; if it returns True, their remaining pairs are skipped.
    """
    query_hashes, query_sets = _group_equal(queries)
    base_hashes, base_sets = _group_equal(base)
    first, second, bits = find_near_pairs(query_hashes, base_hashes, threshold)
    widths = base_sets.sizes[second]
    ends = np.cumsum(query_sets.sizes[first] * widths)
    at, last = 0, int(ends[-1]) if len(ends) else 0
    while at < last:
        pair = int(np.searchsorted(ends, at, side="right"))
        if ends[pair] - at > _PART and is_settled(query_sets.members(first[pair]), base_sets.members(second[pair])):
            at = int(ends[pair])
            continue
        flat = np.arange(at, min(at + _PART, last))
        pairs = np.searchsorted(ends, flat, side="right")
        row, column = np.divmod(flat - ends[pairs] + query_sets.sizes[first[pairs]] * widths[pairs], widths[pairs])
        yield (
            query_sets.order[query_sets.starts[first[pairs]] + row],
            base_sets.order[base_sets.starts[second[pairs]] + column],
            bits[pairs],
        )
        at += len(flat)


@dataclass(frozen=True)
class _EqualHashes:
    """Indices that share each of the distinct hashes."""

    order: Indices
    starts: Indices
    sizes: Indices

    def members(self, number: int) -> Indices:
        """Return the indices that have the distinct hash `number`."""
        return self.order[self.starts[number] : self.starts[number] + self.sizes[number]]


def _group_equal(hashes: Hashes) -> tuple[Hashes, _EqualHashes]:
    distinct, inverse, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    return distinct, _EqualHashes(np.argsort(inverse, kind="stable"), np.cumsum(sizes) - sizes, sizes)


def _check(threshold: int) -> None:
    if not 0 <= threshold <= MAX_THRESHOLD:
        raise ValueError(f"the threshold must be between 0 and {MAX_THRESHOLD} bits, not {threshold}")


def _search_all(queries: Hashes, base: Hashes, threshold: int) -> HammingPairs:
    rows = max(1, _BLOCK // max(1, len(base)))
    parts = []
    for start in range(0, len(queries), rows):
        bits = np.bitwise_count(queries[start : start + rows, None] ^ base[None, :])
        query, match = np.nonzero(bits <= threshold)
        parts.append((query + start, match, bits[query, match]))
    return _concatenate(parts)


def _concatenate(parts: list[HammingPairs]) -> HammingPairs:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]


def _radii(threshold: int) -> NDArray[np.int64]:
    """Return the smallest radii, as even as possible, that miss no pair; -1 for a band that need not be searched."""
    spare = threshold + 1
    return np.array([spare // _BANDS + (band < spare % _BANDS) - 1 for band in range(_BANDS)], dtype=np.int64)


def _search_bands(queries: Hashes, base: Hashes, threshold: int) -> HammingPairs:
    """Search band by band; queries and base are sorted by the value of the band, and near buckets are compared."""
    from fototeca.curate.duplicates.hamming_kernel import join_buckets

    radii = _radii(threshold)
    threads = cpu_count() or 1
    values = [range(start, start + _CHUNK) for start in range(0, 1 << _BAND, _CHUNK)]
    query_bits, base_bits = _interleave(queries), _interleave(base)
    parts: list[HammingPairs] = []
    with ThreadPoolExecutor(threads) as pool:
        for band in range(_BANDS):
            rest = (_buckets(query_bits, band), _buckets(base_bits, band), band, _masks(int(radii[band])), radii, threshold)
            parts += pool.map(lambda chunk, r=rest: join_buckets(chunk, *r), values)
    return _concatenate(parts)


def _interleave(hashes: Hashes) -> Hashes:
    """Distribute the bits over the bands in turn; neighboring bits correlate and would fill few buckets."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    interleaved = bits.reshape(-1, _BAND, _BANDS).swapaxes(1, 2).reshape(-1, 64)
    return np.packbits(interleaved, axis=1).view(">u8").astype(np.uint64)[:, 0]


def _buckets(hashes: Hashes, band: int) -> tuple[Hashes, NDArray[np.int32], NDArray[np.int32]]:
    """Return the hashes sorted by the value of one band, their indices, and the start of each value's bucket (65,537)."""
    values = ((hashes >> np.uint64(64 - _BAND * (band + 1))) & np.uint64((1 << _BAND) - 1)).astype(np.uint16)
    order = np.argsort(values, kind="stable").astype(np.int32)
    counts = np.bincount(values, minlength=1 << _BAND)
    return hashes[order], order, np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _masks(radius: int) -> NDArray[np.uint16]:
    """Return all 16-bit values with at most `radius` bits set."""
    values = np.arange(1 << _BAND, dtype=np.uint16)
    return values[np.bitwise_count(values) <= radius]
