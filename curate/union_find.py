"""Disjoint sets of integers."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class UnionFind:
    """Disjoint sets of the indices 0 to size - 1, with path compression over whole arrays (Tarjan, JACM 1975)."""

    def __init__(self, size: int) -> None:
        self._parents = np.arange(size)

    def __len__(self) -> int:
        return len(self._parents)

    def roots(self, indices: Indices | None = None) -> Indices:
        """Return the representative of each index's set, (M,); of all indices by default."""
        indices = np.arange(len(self)) if indices is None else indices
        roots = self._parents[indices]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        self._parents[indices] = roots
        return roots

    def union(self, first: int, second: int) -> None:
        """Merge the sets of two indices."""
        left, right = self.roots(np.array([first, second]))
        self._parents[right] = left

    def connected(self, first: Indices, second: Indices) -> NDArray[np.bool_]:
        """Return for M pairs of indices, (M,) and (M,) or (1,), whether both are in one set."""
        same: NDArray[np.bool_] = self.roots(first) == self.roots(second)
        return same

    def sets(self) -> list[list[int]]:
        """Return the sets with two members or more, each sorted."""
        members = defaultdict(list)
        for index, root in enumerate(self.roots().tolist()):
            members[root].append(index)
        return [indices for indices in members.values() if len(indices) > 1]
