"""Cache verdicts on pairs in the catalog, so that only new images are searched and compared.

Rows are keyed by the digests of pixels, and deleted when the options of the search or the meaning of a hash or verdict change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fototeca.collect.catalog import Catalog, MatchRow
from fototeca.curate.duplicates.clustering import Match
from fototeca.curate.duplicates.native_verify import VERSION as VERDICTS
from fototeca.curate.duplicates.native_verify import Judge, JudgedPair
from fototeca.curate.duplicates.signatures import VERSION as SIGNATURES
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.verdict import COPY, NONE, TURNED
from fototeca.curate.duplicates.verify_pairs import DuplicatePair, compare_pairs, find_duplicate_pairs, find_flat_pairs
from fototeca.curate.duplicates.view_hashes import VERSION, ViewHashes, hash_views, unpack_hashes
from fototeca.curate.union_find import Indices, UnionFind

SETTINGS = "dedup-search"
"""Key of the catalog's metadata with the settings of the cached pairs."""

BATCH = 20_000
"""Number of new images searched between writes, which is the most that an interrupted search loses."""

MAX_REFUSALS = 16
"""Pairs of one image that are compared without being copies. Two images that both have as many, as thousands of exposures of one
fixed camera, are not compared with each other; the most similar pairs are compared first."""

_WAITING = 256
"""Proposed pairs that are ordered by similarity."""

_WAVE = 32
"""Pairs compared at a time; those that the pairs before have connected are left out."""

Pair = tuple[bytes, bytes]


class PairCache:
    """Verdicts on pairs of images with distinct pixels.

    Attributes:
        ties: pairs of images that are tied, as indices with the match; of copies as many as connect them.
    """

    def __init__(self, catalog: Catalog, images: Signatures, judge: Judge, *, threshold: int, similarity: float) -> None:
        """Search the new images among all, and the known images among the new."""
        self.ties: list[tuple[int, int, Match]] = []
        self._catalog, self._judge = catalog, judge
        self._copies = UnionFind(len(images))
        self._refusals = np.zeros(len(images), np.int64)
        _delete_outdated(catalog, f"{SIGNATURES} {VERSION} {VERDICTS} {threshold} {similarity}")
        self._matches = {(row.a, row.b): Match(row.reason, row.distance, row.kind) for row in catalog.duplicate_cache.matches()}
        self._hashes, new = _load_hashes(catalog, images)
        self._places = {digest: index for index, digest in enumerate(images.digests)}
        for row in catalog.duplicate_cache.pairs():
            if row.a in self._places and row.b in self._places:  # a concurrent search may have stored other images
                self._tie(self._places[row.a], self._places[row.b], Match(row.reason, row.distance, row.kind))
        for pair, match in self._matches.items():
            self._count_refusal(pair, match)
        fresh = set(new)
        old = [index for index in range(len(images)) if index not in fresh]
        for start in range(0, len(new), BATCH):
            self._search(new[start : start + BATCH], old + new[:start], threshold)

    def _tie(self, a: int, b: int, match: Match) -> None:
        self.ties.append((a, b, match))
        if match.kind == COPY:
            self._copies.union(a, b)

    def _count_refusal(self, pair: Pair, match: Match) -> None:
        if match.kind not in (COPY, TURNED) and pair[0] in self._places and pair[1] in self._places:
            self._refusals[[self._places[digest] for digest in pair]] += 1

    def _is_settled(self, a: Indices, b: Indices) -> NDArray[np.bool_]:
        """Return which pairs are copies by way of others, or have been compared with enough others."""
        refused: NDArray[np.bool_] = np.minimum(self._refusals[a], self._refusals[b]) >= MAX_REFUSALS
        return self._copies.connected(a, b) | refused

    def _search(self, new: Sequence[int], old: Sequence[int], threshold: int) -> None:
        """Find the pairs of new images, and store them and the searched images in one transaction."""
        everything = [*old, *new]
        before = len(self.ties)
        waiting: dict[tuple[int, int], DuplicatePair] = {}
        seen: set[tuple[int, int]] = set()

        def propose(a: int, b: int, pair: DuplicatePair) -> None:
            key = (min(a, b), max(a, b))
            if key in seen:
                return
            waiting.setdefault(key, pair)
            if len(waiting) >= _WAITING:
                flush()

        def flush() -> None:
            seen.update(waiting)
            self._settle(sorted(waiting, key=lambda key: -waiting[key].similarity))
            waiting.clear()

        for queries, base in ((new, everything), (old, new)) if old else ((new, new),):
            rows, columns = np.array(queries), np.array(base)

            def is_settled(a: Indices, b: Indices, rows: Indices = rows, columns: Indices = columns) -> NDArray[np.bool_]:
                return self._is_settled(rows[a], columns[b])

            for copy in find_duplicate_pairs(self._hashes.take(queries), self._hashes.take(base), threshold, is_settled):
                propose(queries[copy.a], base[copy.b], copy)
        for copy in find_flat_pairs(self._hashes, new):
            propose(copy.a, copy.b, copy)
        flush()
        digests = self._hashes.images.digests
        self._catalog.duplicate_cache.add_search(
            [MatchRow(*self._pair(a, b), match.reason, match.distance, match.kind) for a, b, match in self.ties[before:]],
            [(digests[index], self._hashes.pack(index)) for index in new],
        )

    def _settle(self, proposed: Sequence[tuple[int, int]]) -> None:
        """Compare proposed pairs in waves, and tie those with a verdict other than none."""
        for start in range(0, len(proposed), _WAVE):
            wave = np.array(proposed[start : start + _WAVE]).reshape(-1, 2)
            pairs = [(int(a), int(b)) for a, b in wave[~self._is_settled(wave[:, 0], wave[:, 1])]]
            for (a, b), match in zip(pairs, self._look_up(pairs), strict=True):
                if match.kind != NONE:
                    self._tie(a, b, match)

    def find_matches(self, center: int, others: Sequence[int]) -> Mapping[int, Match]:
        """Return the matches of a center among the others, weak ones included; images that do not match it are left out."""
        matches = self._look_up([(center, other) for other in others])
        return {other: match for other, match in zip(others, matches, strict=True) if match.kind != NONE}

    def _look_up(self, pairs: Sequence[tuple[int, int]]) -> list[Match]:
        """Return the match of each pair, cached or compared now."""
        keys = [self._pair(*pair) for pair in pairs]
        self._compare([pair for pair, key in zip(pairs, keys, strict=True) if key not in self._matches])
        return [self._matches[key] for key in keys]

    def _compare(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Compare pairs, and store the results, negative ones included."""
        digests = self._hashes.images.digests
        ordered = [(a, b) if digests[a] < digests[b] else (b, a) for a, b in pairs]
        matches = {self._pair(*pair): Match("", 0.0, NONE) for pair in ordered}
        views = [found for found in compare_pairs(self._hashes, ordered) if found] if ordered else []
        for judged in self._judge.judge(views) if views else ():
            matches[self._pair(judged.pair.a, judged.pair.b)] = _match(judged)
        self._catalog.duplicate_cache.add_matches(
            MatchRow(*pair, match.reason, match.distance, match.kind) for pair, match in matches.items()
        )
        for pair, match in matches.items():
            self._count_refusal(pair, match)
        self._matches.update(matches)

    def _pair(self, first: int, second: int) -> Pair:
        a, b = sorted(self._hashes.images.digests[index] for index in (first, second))
        return a, b


def _match(judged: JudgedPair) -> Match:
    if judged.verdict.kind == NONE:
        return Match("", 0.0, NONE)
    return Match(judged.pair.reason, float(judged.pair.distance), judged.verdict.kind)


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
