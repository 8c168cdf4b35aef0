"""All near pairs of hashes are found, each once, however they are spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fototeca.curate.duplicates import hamming_search as search


def crowded(seed: int, size: int) -> search.Hashes:
    """Hashes as images have them: clusters, repeated ones, and many that share most bits."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 1 << 64, size, dtype=np.uint64, endpoint=False)
    hashes[: size // 4] &= np.uint64(0xFF)
    flips = np.uint64(1) << rng.integers(0, 64, size // 4).astype(np.uint64)
    hashes[size // 4 : 2 * (size // 4)] = hashes[2 * (size // 4) : 3 * (size // 4)] ^ flips
    hashes[-3:] = hashes[-4]
    return hashes


def expected(queries: search.Hashes, base: search.Hashes, threshold: int) -> set[tuple[int, int, int]]:
    """The answer by comparing all with all in plain Python."""
    return {
        (i, j, (int(a) ^ int(b)).bit_count())
        for i, a in enumerate(queries)
        for j, b in enumerate(base)
        if (int(a) ^ int(b)).bit_count() <= threshold
    }


def listed(pairs: search.Pairs) -> list[tuple[int, int, int]]:
    """Pairs as tuples."""
    return [(int(a), int(b), int(bits)) for a, b, bits in zip(*pairs, strict=True)]


@pytest.mark.parametrize("threshold", [0, 1, 2, 3, 4, 8, 10, 13])
def test_index_misses_nothing(monkeypatch: pytest.MonkeyPatch, threshold: int) -> None:
    """With the index forced, every near pair comes exactly once: between two lists, and of a list with itself."""
    monkeypatch.setattr(search, "_BRUTE", -1)
    queries, base = crowded(1, 90), np.concatenate([crowded(1, 90)[:40], crowded(2, 80)])
    found = listed(search.find_near_pairs(queries, base, threshold))
    assert len(found) == len(set(found))
    assert set(found) == expected(queries, base, threshold)
    own = listed(search.find_near_pairs(base, base, threshold))
    assert len(own) == len(set(own))
    assert set(own) == expected(base, base, threshold)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 14), st.integers(1, 40), st.integers(0, 40))
def test_index_and_comparison_of_all_agree(seed: int, threshold: int, asked: int, known: int) -> None:
    """Whichever way is taken, however hashes are spread, the pairs are the same."""
    queries, base = crowded(seed, asked + 4), crowded(seed + 1, known + 4)[:known]
    by_index = listed(search._search_bands(queries, base, threshold))
    assert len(by_index) == len(set(by_index))
    assert set(by_index) == set(listed(search.find_near_pairs(queries, base, threshold))) == expected(queries, base, threshold)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 10), st.integers(0, 60), st.integers(0, 60), st.integers(1, 9))
def test_parts_are_the_whole(seed: int, threshold: int, asked: int, known: int, part: int) -> None:
    """Crowds of equal hashes, cut anywhere: every pair comes once, but for what is settled, which may be left out."""
    queries, base = crowded(seed, 64)[:asked] & np.uint64(0x3F), crowded(seed + 1, 64)[:known] & np.uint64(0x3F)
    wanted = expected(queries, base, threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_PART", part)
        parts = list(search.iter_near_pairs(queries, base, threshold, lambda a, b: False))
        assert all(0 < len(first) <= part for first, _, _ in parts)
        found = [pair for pairs in parts for pair in listed(pairs)]
        assert len(found) == len(set(found)) and set(found) == wanted

        def settled(a: search.Indices, b: search.Indices) -> bool:
            assert len({int(queries[one]) for one in a}) == len({int(base[one]) for one in b}) == 1
            return bool((a % 2 == 0).all())

        found = [pair for pairs in search.iter_near_pairs(queries, base, threshold, settled) for pair in listed(pairs)]
        odd = {int(queries[one]) for one in range(len(queries)) if one % 2}
        assert set(found) <= wanted and {pair for pair in wanted if int(queries[pair[0]]) in odd} <= set(found)


@pytest.mark.parametrize("threshold", [4, 10])
def test_crowds_of_thousands(threshold: int) -> None:
    """Ten thousand hashes, a quarter of them in few buckets."""
    hashes = crowded(5, 10_000)
    found, wanted = (
        np.stack(search._search_bands(hashes, hashes, threshold)),
        np.stack(search._search_all(hashes, hashes, threshold)),
    )
    assert found.shape[1] > 2_000_000
    assert np.array_equal(found[:, np.lexsort(found)], wanted[:, np.lexsort(wanted)])


@pytest.mark.parametrize("threshold", [-1, 32])
def test_threshold_is_bounded(threshold: int) -> None:
    """A threshold that half of all pairs would pass is refused."""
    with pytest.raises(ValueError, match="between 0 and 31"):
        search.find_near_pairs(crowded(0, 8), crowded(0, 8), threshold)
