"""Pairs of copies that lasts: what was found among images once is kept, and only new images are searched and verified.

Everything is kept by the digests of pixels, in the catalog, and forgotten when the threshold or the meaning of a hash changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fototeca.collect.catalog import Catalog
from fototeca.curate.duplicates.clustering import Components, Match
from fototeca.curate.duplicates.hamming_search import Indices
from fototeca.curate.duplicates.signatures import VERSION as SIGNATURES
from fototeca.curate.duplicates.signatures import Signatures
from fototeca.curate.duplicates.verify_pairs import DuplicatePair, best_likeness, find_copies, find_flat
from fototeca.curate.duplicates.view_hashes import VERSION, ViewHashes, look, unpack

SETTINGS = "dedup-search"
"""Where the catalog's facts keep what the pairs were found with."""

BATCH = 20_000
"""New images searched before what was found is kept: what a search that is killed may lose."""

Pair = tuple[bytes, bytes]


class Pairs:
    """The pairs among images with distinct pixels."""

    def __init__(self, catalog: Catalog, images: Signatures, threshold: int) -> None:
        """Search what was not searched before: the new among all, and the old among the new."""
        self._catalog = catalog
        self.components = Components(len(images))
        _forget_others(catalog, f"{SIGNATURES} {VERSION} {threshold}")
        self._looked, new = _look(catalog, images)
        place = {digest: index for index, digest in enumerate(images.digests)}
        for row in catalog.connection.execute("SELECT a, b FROM copies"):
            if row["a"] in place and row["b"] in place:  # another search, going on beside this one, knows more images
                self.components.join(place[row["a"]], place[row["b"]])
        fresh = set(new)
        old = [index for index in range(len(images)) if index not in fresh]
        for start in range(0, len(new), BATCH):
            self._search(new[start : start + BATCH], old + new[:start], threshold)
        self._ties = {
            (row["a"], row["b"]): Match(row["reason"], row["distance"])
            for row in catalog.connection.execute("SELECT a, b, reason, distance FROM ties")
        }

    def _search(self, new: Sequence[int], old: Sequence[int], threshold: int) -> None:
        """Find what ties new images to any; kept with the fact that they were searched, all or nothing."""
        everything = [*old, *new]
        added: list[tuple[bytes, bytes, str, float]] = []

        def add(a: int, b: int, copy: DuplicatePair) -> None:
            if not self.components.joined(np.array([a]), np.array([b]))[0]:
                self.components.join(a, b)
                added.append((*self._pair(a, b), copy.reason, float(copy.distance)))

        for asked, base in ((new, everything), (old, new)) if old else ((new, new),):
            ours, theirs = np.array(asked), np.array(base)

            def joined(a: Indices, b: Indices, ours: Indices = ours, theirs: Indices = theirs) -> NDArray[np.bool_]:
                return self.components.joined(ours[a], theirs[b])

            for copy in find_copies(self._looked.take(asked), self._looked.take(base), threshold, joined):
                add(asked[copy.a], base[copy.b], copy)
        for copy in find_flat(self._looked, new):
            add(copy.a, copy.b, copy)
        digests = self._looked.images.digests
        with self._catalog.transaction() as sql:
            sql.executemany("INSERT OR IGNORE INTO copies (a, b, reason, distance) VALUES (?, ?, ?, ?)", added)
            rows = [(digests[index], self._looked.pack(index)) for index in new]
            sql.executemany("INSERT OR IGNORE INTO searched (digest, looks) VALUES (?, ?)", rows)

    def ties(self, centre: int, others: Sequence[int]) -> Mapping[int, Match]:
        """How others are alike to a centre; those that are not are left out."""
        asked = {other: self._pair(centre, other) for other in others}
        self._compare([other for other, pair in asked.items() if pair not in self._ties], centre)
        found = {other: self._ties[pair] for other, pair in asked.items()}
        return {other: tie for other, tie in found.items() if tie.reason}

    def _compare(self, others: Sequence[int], centre: int) -> None:
        """Look at pairs that nobody asked for before, and keep the verdicts."""
        digests = self._looked.images.digests
        pairs = [(centre, other) if digests[centre] < digests[other] else (other, centre) for other in others]
        verdicts = {self._pair(*pair): Match("", 0.0) for pair in pairs}
        for copy in best_likeness(self._looked, pairs):
            verdicts[self._pair(copy.a, copy.b)] = Match(copy.reason, float(copy.distance))
        with self._catalog.transaction() as sql:
            rows = [(*pair, tie.reason, tie.distance) for pair, tie in verdicts.items()]
            sql.executemany("INSERT OR IGNORE INTO ties (a, b, reason, distance) VALUES (?, ?, ?, ?)", rows)
        self._ties.update(verdicts)

    def _pair(self, one: int, other: int) -> Pair:
        a, b = sorted(self._looked.images.digests[index] for index in (one, other))
        return a, b


def _forget_others(catalog: Catalog, settings: str) -> None:
    """Forget what was found with other settings."""
    if catalog.fact(SETTINGS) == settings:
        return
    with catalog.transaction() as sql:
        for table in ("searched", "copies", "ties"):
            sql.execute(f"DELETE FROM {table}")
        catalog.set_fact(SETTINGS, settings)


def _look(catalog: Catalog, images: Signatures) -> tuple[ViewHashes, list[int]]:
    """The images with their hashes, kept or made now, and the indices of those that were never searched."""
    kept = {row["digest"]: row["looks"] for row in catalog.connection.execute("SELECT digest, looks FROM searched")}
    new = [index for index, digest in enumerate(images.digests) if digest not in kept]
    made = look(images.take(new))
    kept.update((made.images.digests[place], made.pack(place)) for place in range(len(made)))
    return unpack(images, [kept[digest] for digest in images.digests]), new
