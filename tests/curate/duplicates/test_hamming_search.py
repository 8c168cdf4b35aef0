"""Tests for the search of hash pairs within a Hamming distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fototeca.curate.duplicates import hamming_search as search


def make_hashes(seed: int, size: int) -> search.Hashes:
    """Return hashes with clusters, duplicates and many that share most bits."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 1 << 64, size, dtype=np.uint64, endpoint=False)
    hashes[: size // 4] &= np.uint64(0xFF)
    flips = np.uint64(1) << rng.integers(0, 64, size // 4).astype(np.uint64)
    hashes[size // 4 : 2 * (size // 4)] = hashes[2 * (size // 4) : 3 * (size // 4)] ^ flips
    hashes[-3:] = hashes[-4]
    return hashes


def brute_force_pairs(queries: search.Hashes, base: search.Hashes, threshold: int) -> set[tuple[int, int, int]]:
    """Return all pairs within the threshold by comparing every hash with every other."""
    return {
        (i, j, (int(a) ^ int(b)).bit_count())
        for i, a in enumerate(queries)
        for j, b in enumerate(base)
        if (int(a) ^ int(b)).bit_count() <= threshold
    }


def to_tuples(pairs: search.Pairs) -> list[tuple[int, int, int]]:
    """Return pairs as tuples."""
    return [(int(a), int(b), int(bits)) for a, b, bits in zip(*pairs, strict=True)]


@pytest.mark.parametrize("threshold", [0, 1, 2, 3, 4, 8, 10, 13])
def test_index_finds_every_pair_once(monkeypatch: pytest.MonkeyPatch, threshold: int) -> None:
    """The index finds every near pair exactly once, between two lists and within one list."""
    monkeypatch.setattr(search, "_BRUTE", -1)
    queries, base = make_hashes(1, 90), np.concatenate([make_hashes(1, 90)[:40], make_hashes(2, 80)])
    result = to_tuples(search.find_near_pairs(queries, base, threshold))
    assert len(result) == len(set(result))
    assert set(result) == brute_force_pairs(queries, base, threshold)
    own_pairs = to_tuples(search.find_near_pairs(base, base, threshold))
    assert len(own_pairs) == len(set(own_pairs))
    assert set(own_pairs) == brute_force_pairs(base, base, threshold)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 14), st.integers(1, 40), st.integers(0, 40))
def test_index_equals_brute_force(seed: int, threshold: int, num_queries: int, num_base: int) -> None:
    """The index and the brute-force search find the same pairs for any distribution of hashes."""
    queries, base = make_hashes(seed, num_queries + 4), make_hashes(seed + 1, num_base + 4)[:num_base]
    by_index = to_tuples(search._search_bands(queries, base, threshold))
    assert len(by_index) == len(set(by_index))
    assert (
        set(by_index)
        == set(to_tuples(search.find_near_pairs(queries, base, threshold)))
        == brute_force_pairs(queries, base, threshold)
    )


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 10), st.integers(0, 60), st.integers(0, 60), st.integers(1, 9))
def test_parts_contain_every_pair_once(seed: int, threshold: int, num_queries: int, num_base: int, part: int) -> None:
    """Batches of any size contain every pair once; pairs of settled hashes may be omitted."""
    queries, base = make_hashes(seed, 64)[:num_queries] & np.uint64(0x3F), make_hashes(seed + 1, 64)[:num_base] & np.uint64(0x3F)
    expected = brute_force_pairs(queries, base, threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_PART", part)
        parts = list(search.iter_near_pairs(queries, base, threshold, lambda a, b: False))
        assert all(0 < len(first) <= part for first, _, _ in parts)
        result = [pair for pairs in parts for pair in to_tuples(pairs)]
        assert len(result) == len(set(result)) and set(result) == expected

        def is_settled(a: search.Indices, b: search.Indices) -> bool:
            assert len({int(queries[index]) for index in a}) == len({int(base[index]) for index in b}) == 1
            return bool((a % 2 == 0).all())

        result = [pair for pairs in search.iter_near_pairs(queries, base, threshold, is_settled) for pair in to_tuples(pairs)]
        odd = {int(queries[index]) for index in range(len(queries)) if index % 2}
        assert set(result) <= expected and {pair for pair in expected if int(queries[pair[0]]) in odd} <= set(result)


@pytest.mark.parametrize("threshold", [4, 10])
def test_ten_thousand_hashes_with_large_buckets(threshold: int) -> None:
    """The index equals brute force on 10,000 hashes, a quarter of them in few buckets."""
    hashes = make_hashes(5, 10_000)
    actual, expected = (
        np.stack(search._search_bands(hashes, hashes, threshold)),
        np.stack(search._search_all(hashes, hashes, threshold)),
    )
    assert actual.shape[1] > 2_000_000
    assert np.array_equal(actual[:, np.lexsort(actual)], expected[:, np.lexsort(expected)])


@pytest.mark.parametrize("threshold", [-1, 32])
def test_threshold_is_bounded(threshold: int) -> None:
    """A threshold outside 0 to 31 raises an error."""
    with pytest.raises(ValueError, match="between 0 and 31"):
        search.find_near_pairs(make_hashes(0, 8), make_hashes(0, 8), threshold)
