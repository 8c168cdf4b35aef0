"""Tests for disjoint sets."""

from __future__ import annotations

import numpy as np

from fototeca.curate.union_find import UnionFind


def test_union_find_merges_sets() -> None:
    """Unions are transitive, and sets with one member are not listed."""
    sets = UnionFind(7)
    for first, second in ((0, 3), (5, 3), (1, 6)):
        sets.union(first, second)
    assert sets.sets() == [[0, 3, 5], [1, 6]]
    assert sets.connected(np.array([0, 0, 1]), np.array([5, 1, 6])).tolist() == [True, False, True]
    assert len(set(sets.roots().tolist())) == 4
