"""Compiled inner loop of the search for near hashes, in its own module because only large searches need numba."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]
Buckets = tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int32]]
"""Hashes sorted by the value of one band, their indices, and the start of each value's bucket."""


def join_buckets(
    values: range, queries: Buckets, base: Buckets, band: int, masks: NDArray[np.uint16], radii: NDArray[np.int64], threshold: int
) -> Pairs:
    """Return the pairs of the queries in the buckets `values` with the hashes of the near buckets of the base."""
    capacity = 4 * int(queries[2][values.stop] - queries[2][values.start]) + 1024
    while True:
        query, match, bits = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.uint8)
        needed = _join(*queries, *base, values.start, values.stop, band, masks, radii, threshold, query, match, bits)
        if needed <= capacity:
            return query[:needed].copy(), match[:needed].copy(), bits[:needed].copy()
        capacity = needed


@njit(nogil=True, cache=True)
def _count(value: np.uint64) -> np.uint64:
    """Count the bits set; compilers turn this sum into one instruction."""
    value = value - ((value >> np.uint64(1)) & np.uint64(0x5555555555555555))
    value = (value & np.uint64(0x3333333333333333)) + ((value >> np.uint64(2)) & np.uint64(0x3333333333333333))
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (value * np.uint64(0x0101010101010101)) >> np.uint64(56)


@njit(nogil=True, cache=True)
def _earlier(difference: np.uint64, band: int, radii: NDArray[np.int64]) -> bool:
    """Return True if an earlier band finds the pair too."""
    for other in range(band):
        part = (difference >> np.uint64(48 - 16 * other)) & np.uint64(0xFFFF)
        if np.int64(_count(part)) <= radii[other]:
            return True
    return False


@njit(nogil=True, cache=True)
def _join(  # type: ignore[no-untyped-def]  # noqa: ANN202
    query_hashes,  # noqa: ANN001
    query_order,  # noqa: ANN001
    query_offsets,  # noqa: ANN001
    hashes,  # noqa: ANN001
    order,  # noqa: ANN001
    offsets,  # noqa: ANN001
    start,  # noqa: ANN001
    stop,  # noqa: ANN001
    band,  # noqa: ANN001
    masks,  # noqa: ANN001
    radii,  # noqa: ANN001
    threshold,  # noqa: ANN001
    query,  # noqa: ANN001
    match,  # noqa: ANN001
    bits,  # noqa: ANN001
):
    """Fill the three outputs up to their length; return the number of pairs. Types are inferred by numba."""
    total = 0
    for value in range(start, stop):
        for place in range(len(masks)):
            other = value ^ np.int64(masks[place])
            for i in range(query_offsets[value], query_offsets[value + 1]):
                for j in range(offsets[other], offsets[other + 1]):
                    difference = query_hashes[i] ^ hashes[j]
                    distance = np.int64(_count(difference))
                    if distance > threshold or _earlier(difference, band, radii):
                        continue
                    if total < len(query):
                        query[total] = query_order[i]
                        match[total] = order[j]
                        bits[total] = distance
                    total += 1
    return total
