"""Cache duplicate pairs in the catalog, so that only new images are searched and verified.

Rows are keyed by the digests of pixels, and deleted when the threshold or the meaning of a hash changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fototeca.collect.catalog import Catalog, MatchRow
from fototeca.curate.duplicates.clustering import Match
from fototeca.curate.duplicates.signatures import VERSION as SIGNATURES
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.verify_pairs import DuplicatePair, compare_pairs, find_duplicate_pairs, find_flat_pairs
from fototeca.curate.duplicates.view_hashes import VERSION, ViewHashes, hash_views, unpack_hashes
from fototeca.curate.union_find import Indices, UnionFind

SETTINGS = "dedup-search"
"""Key of the catalog's metadata with the settings of the cached pairs."""

BATCH = 20_000
"""Number of new images searched between writes, which is the most that an interrupted search loses."""

Pair = tuple[bytes, bytes]


class PairCache:
    """Duplicate pairs among images with distinct pixels."""

    def __init__(self, catalog: Catalog, images: Signatures, threshold: int) -> None:
        """Search the new images among all, and the known images among the new."""
        self._catalog = catalog
        self.components = UnionFind(len(images))
        self.ties: list[tuple[int, int]] = []
        """The verified pairs, as many as connect the components."""
        _delete_outdated(catalog, f"{SIGNATURES} {VERSION} {threshold}")
        self._hashes, new = _load_hashes(catalog, images)
        place = {digest: index for index, digest in enumerate(images.digests)}
        for pair in catalog.duplicate_cache.pairs():
            if pair.a in place and pair.b in place:  # a concurrent search may have stored other images
                self._tie(place[pair.a], place[pair.b])
        fresh = set(new)
        old = [index for index in range(len(images)) if index not in fresh]
        for start in range(0, len(new), BATCH):
            self._search(new[start : start + BATCH], old + new[:start], threshold)
        self._matches = {(row.a, row.b): Match(row.reason, row.distance) for row in catalog.duplicate_cache.matches()}

    def _tie(self, a: int, b: int) -> None:
        self.components.union(a, b)
        self.ties.append((a, b))

    def _search(self, new: Sequence[int], old: Sequence[int], threshold: int) -> None:
        """Find the pairs of new images, and store them and the searched images in one transaction."""
        everything = [*old, *new]
        added: list[MatchRow] = []

        def add(a: int, b: int, pair: DuplicatePair) -> None:
            if not self.components.connected(np.array([a]), np.array([b]))[0]:
                self._tie(a, b)
                added.append(MatchRow(*self._pair(a, b), pair.reason, float(pair.distance)))

        for queries, base in ((new, everything), (old, new)) if old else ((new, new),):
            rows, columns = np.array(queries), np.array(base)

            def is_connected(a: Indices, b: Indices, rows: Indices = rows, columns: Indices = columns) -> NDArray[np.bool_]:
                return self.components.connected(rows[a], columns[b])

            for copy in find_duplicate_pairs(self._hashes.take(queries), self._hashes.take(base), threshold, is_connected):
                add(queries[copy.a], base[copy.b], copy)
        for copy in find_flat_pairs(self._hashes, new):
            add(copy.a, copy.b, copy)
        digests = self._hashes.images.digests
        self._catalog.duplicate_cache.add_search(added, [(digests[index], self._hashes.pack(index)) for index in new])

    def find_matches(self, center: int, others: Sequence[int]) -> Mapping[int, Match]:
        """Return the matches of a center among the others; images that do not match it are left out."""
        pairs = {other: self._pair(center, other) for other in others}
        self._compare([other for other, pair in pairs.items() if pair not in self._matches], center)
        matches = {other: self._matches[pair] for other, pair in pairs.items()}
        return {other: match for other, match in matches.items() if match.reason}

    def _compare(self, others: Sequence[int], center: int) -> None:
        """Compare pairs that are not cached, and store the results, negative ones included."""
        digests = self._hashes.images.digests
        pairs = [(center, other) if digests[center] < digests[other] else (other, center) for other in others]
        matches = {self._pair(*pair): Match("", 0.0) for pair in pairs}
        for copy in compare_pairs(self._hashes, pairs):
            matches[self._pair(copy.a, copy.b)] = Match(copy.reason, float(copy.distance))
        self._catalog.duplicate_cache.add_matches(
            MatchRow(*pair, match.reason, match.distance) for pair, match in matches.items()
        )
        self._matches.update(matches)

    def _pair(self, first: int, second: int) -> Pair:
        a, b = sorted(self._hashes.images.digests[index] for index in (first, second))
        return a, b


def _delete_outdated(catalog: Catalog, settings: str) -> None:
    """Delete pairs that were found with other settings."""
    if catalog.metadata.get(SETTINGS) == settings:
        return
    with catalog.transaction():
        catalog.duplicate_cache.clear()
        catalog.metadata.set(SETTINGS, settings)


def _load_hashes(catalog: Catalog, images: Signatures) -> tuple[ViewHashes, list[int]]:
    """Return the images with their hashes, cached or computed, and the indices of the images that were not searched yet."""
    cached = catalog.duplicate_cache.view_hashes()
    new = [index for index, digest in enumerate(images.digests) if digest not in cached]
    hashed = hash_views(images.take(new))
    cached.update((hashed.images.digests[place], hashed.pack(place)) for place in range(len(hashed)))
    return unpack_hashes(images, [cached[digest] for digest in images.digests]), new
